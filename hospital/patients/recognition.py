"""A WeChat account that was verified leads to a patient on record, or to nobody."""

from dataclasses import dataclass, field
from datetime import datetime

from django.db import transaction

from hospital.patients.models import Patient, WechatAccount, WechatUnion
from hospital.patients.restriction import demand_unrestricted


class AccountDiffers(Exception):
    """What should be one person's leads to two records: a person must look at it."""


@dataclass(frozen=True)
class Recognised:
    """Who it is, and by what: `union_id`, or `openid` if the union id is new to us."""

    patient: Patient = field(repr=False)
    known_by: str


@transaction.atomic
def recognise(
    union_id: str, *, accounts: dict[str, str], presumed: Patient | None, at: datetime
) -> Recognised | None:
    """
    Return who a WeChat account belongs to, or None if to nobody on record.

    What is new of it is linked to them. Nothing is ever taken from another patient: only a
    real-name proof (`enrolment`) does that.

    :param accounts: appid → openid, as WeChat's verified answer stated them
    :param presumed: who it is by what the terminal said
    :raises AccountDiffers: union id, openids and terminal do not agree on one patient
    :raises Restricted: nothing is to be added to their record
    """
    by_union = WechatUnion.objects.with_union_id(union_id).select_related("patient").first()
    known = {account.patient for account in _known(accounts)}
    known |= {by_union.patient} if by_union else set()
    if presumed is not None and known != {presumed}:
        raise AccountDiffers
    if not known:
        return None
    if len(known) > 1:
        raise AccountDiffers
    [patient] = known
    demand_unrestricted(patient)
    _link(patient, union_id, accounts, at=at)
    return Recognised(patient, "union_id" if by_union else "openid")


def _known(accounts: dict[str, str]) -> list[WechatAccount]:
    found = [
        WechatAccount.objects.with_openid(appid, openid).select_related("patient").first()
        for appid, openid in accounts.items()
    ]
    return [account for account in found if account is not None]


def _link(patient: Patient, union_id: str, accounts: dict[str, str], *, at: datetime) -> None:
    holders = {WechatUnion.objects.link(patient, union_id, at=at).patient_id}
    for appid, openid in accounts.items():
        account = WechatAccount.objects.link(patient, appid=appid, openid=openid, at=at)
        holders.add(account.patient_id)
    if holders != {patient.pk}:  # somebody linked one of them since we looked
        raise AccountDiffers
