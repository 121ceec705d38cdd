"""
Identity documents: what can be read off a number, and how to show one without showing it.

Document types are WeChat's `credential_type`, which the hospital keeps: 1 身份证 … 11 其他. Those
from 101 on are the desk's own: WeChat has no number for them.
"""

from datetime import date, datetime

from django.db.models import IntegerChoices
from stdnum.iso7064 import mod_11_2

from hospital.crypto.normalising import document_number

ADULT_CONSENT_AGE = 14  # years; below it a guardian consents (个人信息保护法 第三十一条)
LENGTH = 18


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
# A patient without a number yet: it is filled in by a correction.
WITHOUT_NUMBER = frozenset({DocumentType.NEWBORN, DocumentType.EMERGENCY})


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
    """Return the date inside a citizen number; None for documents that carry none."""
    if document_type not in CITIZEN:
        return None
    digits = canonical_number(document_type, number)[6:14]
    try:
        return datetime.strptime(digits, "%Y%m%d").date()  # noqa: DTZ007 (a date has no zone)
    except ValueError:
        return None


def age(born: date, *, today: date) -> int:
    """Return completed years; who is born on 29 February has their birthday on 1 March."""
    return today.year - born.year - ((today.month, today.day) < (born.month, born.day))


def masked_name(name: str) -> str:
    """
    Return a name a lobby may read: 张三 → *三, 王小英 → 王*英, 欧阳·… → first and last kept.

    A single character stays hidden.
    """
    if len(name) <= 1:
        return "*"
    if len(name) == 2:  # noqa: PLR2004 (the common two-character name)
        return "*" + name[-1]
    return name[0] + "*" * min(len(name) - 2, 4) + name[-1]


def masked_number(number: str) -> str:
    """Return the last two characters only."""
    return "*" * 6 + number[-2:]
