"""
Identity documents: what can be read off a number, and how to show one without showing it.

Document types are WeChat's `credential_type`, which the hospital keeps: 1 身份证 … 11 其他. Those
from 101 on are the desk's own: WeChat has no number for them.
"""

import re
from datetime import date
from typing import Final

from django.db.models import IntegerChoices
from stdnum.iso7064 import mod_11_2

from hospital.crypto.normalising import document_number

ADULT_CONSENT_AGE = 14  # years; below it a guardian consents (个人信息保护法 第三十一条)
LENGTH = 18

_BETWEEN: Final = re.compile(r"[\s,;|，；、]+")
_TEMPORARY: Final = re.compile(r"急诊患者 \d{4}")
_LETTERS: Final = re.compile(r"[A-Z]{2,}[A-Z'.-]*")
_PREFIX: Final = 4  # letters from which on they begin no number
_TAIL: Final = 2  # characters of a number that are shown
_SHORTEST: Final = 4  # characters of which two tell little


class DocumentType(IntegerChoices):
    RESIDENT = 1, "居民身份证"
    PASSPORT = 2, "护照"
    OFFICER = 3, "军官证"
    SOLDIER = 4, "士兵证"
    HOME_RETURN = 5, "回乡证"
    TEMPORARY = 6, "临时身份证"
    HOUSEHOLD = 7, "户口簿"
    POLICE = 8, "警官证"
    TAIWAN = 9, "台胞证"
    BUSINESS = 10, "营业执照"
    OTHER = 11, "其他证件"
    HMT_RESIDENCE = 101, "港澳台居民居住证"
    FOREIGN_RESIDENCE = 102, "外国人永久居留身份证"
    BIRTH_CERTIFICATE = 103, "出生医学证明"
    NEWBORN = 104, "新生儿（暂无证件）"
    EMERGENCY = 105, "急诊（身份待补登）"


# These carry the same 18-digit citizen number (GB 11643): one person, one number.
CITIZEN = frozenset(
    {
        DocumentType.RESIDENT,
        DocumentType.TEMPORARY,
        DocumentType.HOUSEHOLD,
        DocumentType.HMT_RESIDENCE,
    }
)
# Their numbers say when somebody was born; a foreigner's did not before 2023, and was shorter.
DATED = CITIZEN | {DocumentType.FOREIGN_RESIDENCE}
# A patient without a number yet: it is filled in by a correction.
WITHOUT_NUMBER = frozenset({DocumentType.NEWBORN, DocumentType.EMERGENCY})
# Their numbers have words in them: what is typed there is never taken apart.
WORDED = frozenset(
    {DocumentType.OFFICER, DocumentType.SOLDIER, DocumentType.POLICE, DocumentType.OTHER}
)


def family(document_type: int) -> str:
    """Return what a document number is unique within: all citizen numbers, or one type."""
    return "citizen" if document_type in CITIZEN else str(document_type)


def canonical_number(document_type: int, number: str) -> str:
    """
    Return the number as it is compared: width, case and blanks made one, 15 digits made 18.

    The old form omitted the century and the check digit (GB 11643-1999 4.2).
    """
    number = document_number(number)
    if document_type in CITIZEN and len(number) == LENGTH - 3:
        body = f"{number[:6]}19{number[6:]}"
        return body + mod_11_2.calc_check_digit(body)
    return number


def birth_date(document_type: int, number: str) -> date | None:
    """Return the date inside an 18-digit number; None for documents that carry none."""
    number = canonical_number(document_type, number)
    if document_type not in DATED or len(number) != LENGTH:
        return None
    if not (digits := number[6:14]).isdecimal():
        return None
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:]))
    except ValueError:
        return None


def scanned(text: str) -> tuple[str, str]:
    """
    Return the number and the name a card reader typed into one box; "" for what it did not.

    Readers put blanks, commas or bars between the two, in either order. Latin letters are a name
    behind a number, and before one if it has letters of its own; else they may begin it.
    """
    parts = [part for part in _BETWEEN.split(text) if part]
    numbers = [place for place, part in enumerate(parts) if _has_digits(part)]
    first = numbers[0] if numbers else len(parts)
    is_lettered = any(document_number(parts[place])[0].isalpha() for place in numbers)
    names: list[str] = []
    number: list[str] = []
    for place, part in enumerate(parts):
        letters = document_number(part)
        is_latin = bool(numbers) and bool(_LETTERS.fullmatch(letters))
        is_latin &= place > first or is_lettered or len(letters) >= _PREFIX
        is_name = is_latin or not any(sign.isascii() for sign in letters)
        (names if is_name else number).append(part)
    return "".join(number), " ".join(names)


def age(born: date, *, today: date) -> int:
    """Return completed years; who is born on 29 February has their birthday on 1 March."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def temporary_name(number: str) -> str:
    """Return what somebody nobody knows is called until they are, by their patient number."""
    return f"急诊患者 {number[-4:]}"


def is_temporary(name: str) -> bool:
    return bool(_TEMPORARY.fullmatch(name))


def masked_name(name: str) -> str:
    """
    Return a name a lobby may read: 张三 → *三, 王小英 → 王*英, 欧阳·… → first and last kept.

    A single character stays hidden; a temporary name tells nothing and is whole.
    """
    if is_temporary(name):
        return name
    if len(name) <= 1:
        return "*"
    if len(name) == 2:  # noqa: PLR2004 (the common two-character name)
        return "*" + name[-1]
    return name[0] + "*" * min(len(name) - 2, 4) + name[-1]


def masked_number(number: str) -> str:
    """Return the last two characters only; of a number with hardly more, none."""
    return "*" * 6 + (number[-_TAIL:] if len(number) >= _SHORTEST else "")


def in_part(number: str) -> str:
    """Return a patient's number as those read it who are not to find the patient by it."""
    return f"{number[:3]}****{number[-3:]}"


def _has_digits(part: str) -> bool:
    return any(sign.isdigit() for sign in document_number(part))
