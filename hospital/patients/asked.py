"""
What was typed, or scanned, into the one box: which search it asks for, or why it asks for none.

Pure. Nothing is looked up here, and no message repeats what was typed.
"""

import re
import unicodedata
from dataclasses import dataclass, field
from datetime import date
from typing import ClassVar, Final

from stdnum import luhn
from stdnum.iso7064 import mod_11_2

from hospital.crypto.normalising import document_number
from hospital.errors import Refusal

LONGEST: Final = 200  # characters
SHORTEST: Final = 4  # characters a document number usually has
_LATIN: Final = 3  # letters before a date from which on they are a name: passports begin with two

EMPTY = "请输入证件号码、患者编号，或姓名和出生日期"
TOO_LONG = "输入过长，请只输入一个号码，或姓名和出生日期"
TOO_SHORT = "证件号码太短，请输入完整号码"
MISTYPED_NUMBER = "如果输入的是患者编号，校验位不符，可能输错了一位，请核对"
NAME_ALONE = "只凭姓名不能查找，请加上出生日期，如：张三 1990-05-06"
BIRTH_ALONE = "只凭出生日期不能查找，请加上姓名，如：张三 1990-05-06"
NO_SUCH_DAY = "出生日期不存在，请核对"
NOT_YET_BORN = "出生日期在今天之后，请核对"
DOUBTFUL_CHECK = "身份证号码的校验位不符，可能输错了一位，请核对"
DOUBTFUL_LENGTH = "居民身份证号码应为 18 位，旧证为 15 位，请核对"
PERHAPS_A_DATE = "如果输入的是出生日期，请加上姓名"
PERHAPS_A_NAME = "如果要按姓名查找，出生日期请写全年、月、日"

_BETWEEN: Final = r"\s*[-/.·．－／—–\s{}]\s*"
_SPELT: Final = re.compile(
    r"(?<!\d)(\d{4})"
    + _BETWEEN.format("年")
    + r"(\d{1,2})"
    + _BETWEEN.format("月")
    + r"(\d{1,2})(?!\d)\s*[日号]?"
)
_COMPACT: Final = re.compile(r"(?<!\d)(\d{4})(\d{2})(\d{2})(?!\d)")  # GB/T 7408.1-2023 5.2.2.1
_AROUND: Final = " \t\r\n,，、;；:：/|-."
_HAN: Final = "\u2e80-\U0003ffff"
_WITHIN_HAN: Final = re.compile(rf"(?<=[{_HAN}])\s+(?=[{_HAN}])")
_STROKES: Final = re.compile(r"[-‐–—_./·]")
_OURS: Final = re.compile(r"P\d{10}", re.ASCII)  # `enrolment` makes them
_CITIZEN: Final = re.compile(r"\d{17}[\dX]|\d{15}", re.ASCII)
# Card readers put the name and more beside it.
_BESIDE: Final = rf"[^\s,;:|/{_HAN}]"
_CITIZEN_ALONE: Final = re.compile(rf"(?<!{_BESIDE})({_CITIZEN.pattern})(?!{_BESIDE})", re.ASCII)
_NEARLY_CITIZEN: Final = re.compile(r"\d{16,17}X?|\d{18}[\dX]|\d{19}", re.ASCII)
_OUTDATED: Final = 15


class Unclear(Refusal):
    """Nothing can be looked for by this; the sentence says what is missing."""

    code = "unclear"

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class ByDocument:
    """
    A document number, of whatever type.

    :param also: the whole text, where it may be a number by itself; so may whatever is typed
    :param doubt: what may be wrong with it, for when nobody is found
    """

    number: str = field(repr=False)
    also: str = field(default="", repr=False)
    doubt: str = ""
    kind: ClassVar = "document"
    words: ClassVar = "证件号码"


@dataclass(frozen=True)
class ByNumber:
    """:param also: a document number that looks like one of ours"""

    number: str
    also: str = field(default="", repr=False)
    doubt: ClassVar = ""
    kind: ClassVar = "number"
    words: ClassVar = "患者编号"


@dataclass(frozen=True)
class ByNameAndBirth:
    """:param also: a document number that looks like letters and a day"""

    name: str = field(repr=False)
    born: date = field(repr=False)
    also: str = field(default="", repr=False)
    doubt: ClassVar = ""
    kind: ClassVar = "name_birth"
    words: ClassVar = "姓名和出生日期"


Asked = ByDocument | ByNumber | ByNameAndBirth


def read(typed: str, *, today: date) -> Asked:
    """
    Return what to look for: a patient number, a name with a birth date, or a document number.

    Some documents are numbered like any of these, so the whole text is always looked for as well.

    :raises Unclear: it is none of them
    """
    # Card readers frame what they send; a copied number brings marks nobody sees.
    text = "".join(one for one in typed if one.isspace() or not _is_invisible(one)).strip()
    whole = document_number(text)
    if len(text) > LONGEST:
        raise Unclear(TOO_LONG)
    if not any(one.isalnum() for one in whole):
        raise Unclear(EMPTY)
    if not any(one.isdigit() for one in whole):
        raise Unclear(NAME_ALONE)
    return (
        _beside_a_name(text, whole) or _name_and_birth(text, whole, today=today) or _number(whole)
    )


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf"}


def _beside_a_name(text: str, whole: str) -> ByDocument | None:
    found = set(_CITIZEN_ALONE.findall(unicodedata.normalize("NFKC", text).upper()))
    return _citizen(found.pop(), whole) if len(found) == 1 else None


def _name_and_birth(text: str, whole: str, *, today: date) -> ByNameAndBirth | ByDocument | None:
    found = _SPELT.search(text) or _COMPACT.search(text)
    if found is None:
        return None
    before, after = text[: found.start()].strip(_AROUND), text[found.end() :].strip(_AROUND)
    name = _WITHIN_HAN.sub("", f"{before} {after}".strip())
    if not name and found.re is _SPELT:
        return ByDocument(whole, doubt=BIRTH_ALONE)
    if not _is_name(name):
        return None
    try:
        born = date(*map(int, found.groups()))
    except ValueError:
        return ByDocument(whole, doubt=NO_SUCH_DAY)
    if born > today:
        return ByDocument(whole, doubt=NOT_YET_BORN)
    return ByNameAndBirth(name, born, also=whole)


def _is_name(text: str) -> bool:
    letters = [one for one in text if one.isalpha()]
    return not any(one.isdigit() for one in text) and (
        len(letters) >= _LATIN or any(not one.isascii() for one in letters)
    )


def _number(whole: str) -> ByNumber | ByDocument:
    bare = _STROKES.sub("", whole)
    if _OURS.fullmatch(bare):
        if luhn.is_valid(bare[1:]):
            return ByNumber(bare, also=whole)
        return _document(bare, whole, doubt=MISTYPED_NUMBER)
    if _CITIZEN.fullmatch(bare):
        return _citizen(bare, whole)
    return ByDocument(whole, doubt=_doubt(whole, bare))


def _citizen(number: str, whole: str) -> ByDocument:
    is_sound = len(number) == _OUTDATED or mod_11_2.is_valid(number)
    return _document(number, whole, doubt="" if is_sound else DOUBTFUL_CHECK)


def _document(number: str, whole: str, *, doubt: str) -> ByDocument:
    return ByDocument(number, also="" if whole == number else whole, doubt=doubt)


def _doubt(whole: str, bare: str) -> str:
    if len(whole) < SHORTEST:
        return TOO_SHORT
    if _NEARLY_CITIZEN.fullmatch(bare):
        return DOUBTFUL_LENGTH
    if _COMPACT.fullmatch(whole):
        return PERHAPS_A_DATE
    return "" if whole.isascii() else PERHAPS_A_NAME
