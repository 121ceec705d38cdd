"""What an account may be called, and whose it is: one natural person, one account."""

import unicodedata
from typing import Final

from hospital.accounts import sealed
from hospital.accounts.models import Staff
from hospital.errors import Refusal

# What everybody tries first, and what nobody could be held to (compliance: no shared accounts).
RESERVED: Final = frozenset(
    {
        "admin", "administrator", "root", "superuser", "sysadmin", "system", "test", "guest",
        sealed.USERNAME,
    }
)  # fmt: skip


class Reserved(Refusal):
    code = "username_reserved"
    message = "工号不能是 admin、root、test、guest 等公用名称，请用本人工号"


class ReservedNumber(Refusal):
    code = "person_reserved"
    message = "该人员编号留给应急账号，请用人事系统中的编号"


class SamePerson(Refusal):
    code = "person_has_account"
    message = "工号或人员编号已存在：一人一号，一人一角色"


def demand_own_name(username: str) -> None:
    """:raises Reserved:"""
    if username.casefold() in RESERVED:
        raise Reserved


def demand_no_account(person_id: str, *, but: Staff) -> None:
    """
    Demand that nobody of this number has an account besides `but`, however it was typed.

    :raises ReservedNumber: it is the sealed account's, who is nobody
    :raises SamePerson:
    """
    number = person_number(person_id)
    if number.casefold() == sealed.PERSON_ID.casefold():
        raise ReservedNumber
    if Staff.objects.exclude(pk=but.pk).filter(person_id__iexact=number).exists():
        raise SamePerson


def person_number(typed: str) -> str:
    """Return a number of the personnel office as it is kept: full-width forms are the same."""
    return unicodedata.normalize("NFKC", typed).strip()
