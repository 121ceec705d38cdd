"""
Is this a person's name, is this a document number? Judged before anything is stored.

Not validation for its own sake: noise from a wrong key is text often enough, and never a name
together with a number.
"""

import re
import unicodedata
from datetime import date

from stdnum.iso7064 import mod_11_2

from faceauth.wechat.errors import Undecryptable

RESIDENT_TYPES = frozenset({1, 6, 7})  # 身份证, 临时身份证, 户口簿: all carry the citizen number

_CITIZEN = re.compile(r"[1-9][0-9]{16}[0-9X]", re.ASCII)
_CITIZEN_OF_OLD = re.compile(r"[1-9][0-9]{14}", re.ASCII)  # before 1999: no century, no checksum
_OTHER = re.compile(r"[0-9A-Za-z\u4e00-\u9fff()（）./ -]{4,64}")
_NAME_MARKS = frozenset("·•．・‧.,'’- \u3000〇")
_NAME_LENGTH = 64  # characters
_EARLIEST = 1850  # a birth year before this is noise that passed the checksum


def judge_name(name: str) -> str:
    """
    Return `name` if a person may be called that.

    :raises Undecryptable: name
    """
    if not 0 < len(name) <= _NAME_LENGTH or not all(map(_belongs_in_a_name, name)):
        raise Undecryptable("name")
    if not any(character not in _NAME_MARKS for character in name):
        raise Undecryptable("name")
    return name


def judge_number(number: str, *, document_type: int) -> str:
    """
    Return `number`, its letters as printed, if a document of this type may carry it.

    The eighteen digits: GB 11643-1999, with ISO 7064 MOD 11-2 as its last.

    :raises Undecryptable: document, checksum
    """
    if document_type not in RESIDENT_TYPES:
        if not _OTHER.fullmatch(number):
            raise Undecryptable("document")
        return number
    number = number.upper()
    if _CITIZEN_OF_OLD.fullmatch(number):
        birth = f"19{number[6:12]}"
    elif _CITIZEN.fullmatch(number):
        birth = number[6:14]
        if not mod_11_2.is_valid(number):
            raise Undecryptable("checksum")
    else:
        raise Undecryptable("document")
    if not _is_a_day(birth):
        raise Undecryptable("document")
    return number


def _belongs_in_a_name(character: str) -> bool:
    if character in _NAME_MARKS:
        return True
    point = ord(character)
    # Rare characters: planes 2 and 3 are all ideographs, assigned since this Python or not, and
    # the private use area is where the registers put those that Unicode did not have yet.
    if 0x20000 <= point < 0x40000:  # noqa: PLR2004
        return point & 0xFFFF < 0xFFFE  # noqa: PLR2004
    return unicodedata.category(character)[0] in "LM" or 0xE000 <= point <= 0xF8FF  # noqa: PLR2004


def _is_a_day(digits: str) -> bool:
    try:
        return date(int(digits[:4]), int(digits[4:6]), int(digits[6:])).year >= _EARLIEST
    except ValueError:
        return False
