"""
Whether a document number and a name can be what they are said to be. Pure: nothing is looked up.

What stops is wrong for certain (GB 11643-1999: check digit, birth date; the shape a document's
issuer prints). The area code only warns: places were renamed and abolished, their numbers stay.
"""

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Final

from stdnum.iso7064 import mod_11_2

from hospital.crypto.normalising import document_number, person_name
from hospital.patients import documents
from hospital.patients.documents import CITIZEN, WITHOUT_NUMBER, DocumentType

OLDEST: Final = 130  # years
LONGEST_NUMBER: Final = 64
LONGEST_NAME: Final = 128

# Of GB/T 2260: the first two digits of a citizen number.
_PROVINCES: Final = (
    {*range(11, 16), *range(21, 24), *range(31, 38), *range(41, 47)}
    | {*range(50, 55), *range(61, 66)}
    | {71, 81, 82, 83}
)
_OF_HMT: Final = ("81", "82", "83")  # 香港、澳门、台湾
_CITIZEN: Final = re.compile(r"\d{17}[\dX]", re.ASCII)
_FORMER: Final = re.compile(r"\d{15}", re.ASCII)  # before 1999; still on old papers
_FOREIGN_FORMER: Final = re.compile(r"[A-Z]{3}\d{12}", re.ASCII)  # until 2023
_SHAPES: Final[dict[int, tuple[re.Pattern[str], str]]] = {
    DocumentType.PASSPORT: (
        re.compile(r"[A-Z0-9]{5,20}"),
        "护照号码由 5 至 20 位字母和数字组成",
    ),
    DocumentType.HOME_RETURN: (
        re.compile(r"[HM]\d{8}(\d{2})?", re.ASCII),
        "回乡证号码为 H 或 M 加 8 位数字",
    ),
    DocumentType.TAIWAN: (re.compile(r"\d{8}|\d{10}", re.ASCII), "台胞证号码为 8 位或 10 位数字"),
    DocumentType.BIRTH_CERTIFICATE: (
        re.compile(r"[A-Z]\d{9}", re.ASCII),
        "出生医学证明编号为 1 位字母加 9 位数字",
    ),
}
_CHINESE_PASSPORT: Final = re.compile(
    r"(E[0-9A-HJ-NP-Z]\d{7}|[DSPKM][A-Z]?\d{7,8}|G\d{8}|1[45]\d{7})"
)
_FREE: Final = re.compile(r"[^\x00-\x1f\x7f]+")

_DOTS: Final = "·•‧・．･∙⋅"
_HAN: Final = (
    "\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"  # 〇, and every extension
)
_PRIVATE: Final = re.compile("[\ue000-\uf8ff]")  # of card readers whose fonts are their own
_NAME: Final = re.compile(
    f"[{_HAN}\ue000-\uf8ffA-Za-z\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u1e00-\u1eff"
    f"{_DOTS} '’.\\-]+"
)
_SPREAD: Final = re.compile(f"(?<=[{_HAN}\ue000-\uf8ff]) (?=[{_HAN}\ue000-\uf8ff])")
_DIGITS: Final = re.compile(r"\d{6}")  # fewer are a time, a room, an extension
_LETTER: Final = re.compile(f"[{_HAN}\ue000-\uf8ffA-Za-z\u00c0-\u024f\u1e00-\u1eff]")
_OF_NEWBORN: Final = re.compile(r".+之(长|次|幼|大|小|[一二三四五])?[子女]")


@dataclass(frozen=True)
class Finding:
    """
    One thing that is not as it should be; never says the value itself.

    :param about: "number", "name" or "born": what somebody has to look at again
    :param stops: it cannot be right; what does not stop is for a person to judge
    """

    code: str
    about: str
    message: str
    stops: bool = True


def judge(document_type: int, number: str, *, today: date) -> list[Finding]:
    """Return what speaks against this number being on a document of this type."""
    number = document_number(number)
    if document_type in WITHOUT_NUMBER:
        return [_number("not_numbered", "此类没有证件号码，请留空")] if number else []
    if document_type == DocumentType.BUSINESS:
        return [_number("not_a_person", "营业执照不是个人证件")]
    if not number:
        return [_number("missing", "请输入证件号码")]
    if document_type in CITIZEN:
        return list(_judge_citizen(document_type, number, today=today))
    if document_type == DocumentType.FOREIGN_RESIDENCE:
        return list(_judge_foreign(number, today=today))
    return list(_judge_shape(document_type, number))


def judge_birth(born: date, *, today: date) -> list[Finding]:
    """Return what speaks against somebody alive having been born then."""
    if born > today:
        return [Finding("born_later", "born", "出生日期在今天之后")]
    if documents.age(born, today=today) > OLDEST:
        return [Finding("too_old", "born", f"年龄超过 {OLDEST} 岁，请核对出生日期")]
    return []


def judge_name(document_type: int, name: str) -> list[Finding]:
    """Return what speaks against this being the name of a person with such a document."""
    name = clean_name(name)
    if not name:
        missing = Finding("name_missing", "name", "请输入姓名")
        return [] if document_type == DocumentType.EMERGENCY else [missing]
    if len(name) > LONGEST_NAME:
        return [Finding("name_long", "name", f"姓名不能超过 {LONGEST_NAME} 个字符")]
    if not _NAME.fullmatch(name) or not _LETTER.search(name):
        return [Finding("name_characters", "name", "姓名只能用汉字、字母和间隔号，不能有数字")]
    return list(_doubts_of_name(document_type, name))


def clean_name(name: str) -> str:
    """
    Return a name as it is kept: composed, without blanks around it or runs of them inside.

    Between Han characters there are none: 张 三 is how forms are filled in, not another name.
    """
    return _SPREAD.sub("", re.sub(r"\s+", " ", unicodedata.normalize("NFC", name))).strip()


def tells_who(text: str, *names: str) -> bool:
    """Return whether free text has one of these names in it, or what may be a number of theirs."""
    told, spaceless = document_number(text), (_spaceless(name) for name in names)
    return bool(_DIGITS.search(told)) or any(
        len(name) > 1 and name in _spaceless(text) for name in spaceless
    )


def _judge_citizen(document_type: int, number: str, *, today: date) -> Iterator[Finding]:
    if _FORMER.fullmatch(number):
        number = documents.canonical_number(document_type, number)
        yield _number("former", "15 位旧号码，将按 18 位登记，请核对", stops=False)
    elif not _CITIZEN.fullmatch(number):
        yield _number("length", f"号码应为 18 位数字（末位可为 X），现有 {len(number)} 位")
        return
    yield from _judge_digits(number, today=today)
    province = number[:2]
    if document_type == DocumentType.HMT_RESIDENCE:
        if province not in _OF_HMT:
            yield _number("not_hmt", "港澳台居民居住证号码以 81、82 或 83 开头")
    elif province in _OF_HMT:
        yield _number("like_hmt", "号码像是港澳台居民居住证，请核对证件类型", stops=False)
    elif number[0] == "9":
        yield _number("like_foreign", "号码像是外国人永久居留身份证，请核对证件类型", stops=False)
    elif int(province) not in _PROVINCES:
        yield _number("area", "地区码不在现行表中，请核对原件", stops=False)


def _judge_foreign(number: str, *, today: date) -> Iterator[Finding]:
    if _FOREIGN_FORMER.fullmatch(number):
        return
    if number[:1] != "9" or not _CITIZEN.fullmatch(number):
        yield _number("foreign", "号码应为 9 开头的 18 位，或旧证的 3 位字母加 12 位数字")
        return
    yield from _judge_digits(number, today=today)


def _judge_digits(number: str, *, today: date) -> Iterator[Finding]:
    if not mod_11_2.is_valid(number):
        yield _number("checksum", "校验码不对，请对照原件逐位核对")
        return
    born = documents.birth_date(DocumentType.RESIDENT, number)
    if born is None:
        yield _number("no_such_day", "号码中的出生日期不存在")
        return
    for found in judge_birth(born, today=today):
        yield _number(found.code, f"号码中的{found.message}")


def _judge_shape(document_type: int, number: str) -> Iterator[Finding]:
    shape, message = _SHAPES.get(document_type, (_FREE, "号码含有不能输入的字符"))
    if len(number) > LONGEST_NUMBER:
        yield _number("long", f"号码不能超过 {LONGEST_NUMBER} 个字符")
    elif not shape.fullmatch(number):
        yield _number("shape", message)
    elif document_type == DocumentType.PASSPORT and not _CHINESE_PASSPORT.fullmatch(number):
        yield _number("foreign_passport", "不是中国护照号码，请核对是否为外国护照", stops=False)


def _doubts_of_name(document_type: int, name: str) -> Iterator[Finding]:
    if document_type == DocumentType.NEWBORN and not _OF_NEWBORN.fullmatch(name):
        yield _doubt("newborn", "新生儿请按“母亲姓名之子”或“之女”填写")
    if len(name) == 1:
        yield _doubt("one_character", "姓名只有一个字，请核对")
    if _PRIVATE.search(name):
        yield _doubt("rare", "含读卡器的生僻字编码，请对照原件核对")
    if document_type in CITIZEN and not re.search(f"[{_HAN}\ue000-\uf8ff]", name):
        yield _doubt("no_han", "此类证件上的姓名通常是汉字，请核对")


def _number(code: str, message: str, *, stops: bool = True) -> Finding:
    return Finding(code, "number", message, stops)


def _doubt(code: str, message: str) -> Finding:
    return Finding(code, "name", message, stops=False)


def _spaceless(text: str) -> str:
    return person_name(text).replace(" ", "")
