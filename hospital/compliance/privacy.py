"""What anybody may know of how this hospital handles their data: one text, from the inventory."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass

from django.conf import settings

from faceauth.models import Merchant
from hospital import policy, terms
from hospital.categories import BY_KEY
from hospital.inventory import GUARDIAN, HIS, INVENTORY, PATIENT, Item
from hospital.terms import Term


@dataclass(frozen=True)
class Kind:
    """What is called the same: one line for a reader, however many columns it fills."""

    whose: str
    name: str
    purpose: str
    basis: str
    sensitive: str
    kept: tuple[str, ...]
    recipients: tuple[str, ...]


@dataclass(frozen=True)
class Statement:
    """
    处理规则 (个人信息保护法 第十七条; 网络数据安全管理条例 第二十一条).

    :param answer_days: working days within which a request is answered
    :param has_his: whether anything is handed to the hospital's own system
    :param version: SHA-256 over everything else, its beginning
    """

    hospital: str
    contact: str
    kinds: list[Kind]
    schedule: list[Term]
    answer_days: int
    has_his: bool
    by_partner: bool
    remote_signer: bool
    version: str


def statement() -> Statement:
    """Return what is true now: the inventory, the terms in force, who acts for the hospital."""
    has_his = bool(settings.HIS_FHIR_URL)
    kinds = _kinds(item for item in INVENTORY if item.whose in {PATIENT, GUARDIAN})
    schedule = terms.schedule()
    answer_days = policy.value("RIGHTS_WORKING_DAYS")
    merchant = Merchant.objects.filter(is_active=True).first()
    by_partner = merchant is not None and merchant.is_partner
    remote = merchant is not None and bool(merchant.signer_url)
    said = [
        settings.HOSPITAL_NAME,
        settings.PRIVACY_CONTACT,
        [asdict(kind) for kind in kinds],
        [[term.category.key, term.sentence] for term in schedule],
        answer_days,
        has_his,
        by_partner,
        remote,
    ]
    text = json.dumps(said, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return Statement(
        hospital=settings.HOSPITAL_NAME,
        contact=settings.PRIVACY_CONTACT,
        kinds=kinds,
        schedule=schedule,
        answer_days=answer_days,
        has_his=has_his,
        by_partner=by_partner,
        remote_signer=remote,
        version=hashlib.sha256(text.encode()).hexdigest()[:16],
    )


def recipients_of(item: Item) -> tuple[str, ...]:
    """Return who is given it here: where no HIS is configured, none is given anything."""
    return tuple(one for one in item.recipients if one != HIS or settings.HIS_FHIR_URL)


def _kinds(items: Iterable[Item]) -> list[Kind]:
    together: dict[tuple[str, str], list[Item]] = {}
    for item in items:
        together.setdefault((item.whose, item.kind), []).append(item)
    return [_kind(some) for some in together.values()]


def _kind(items: list[Item]) -> Kind:
    first = items[0]
    keys = dict.fromkeys(key for item in items for key in item.terms)
    recipients = dict.fromkeys(one for item in items for one in recipients_of(item))
    return Kind(
        whose=first.whose,
        name=first.kind,
        purpose=first.purpose,
        basis=first.basis,
        sensitive=str(max(item.label for item in items).label),
        kept=tuple(_kept(key, among=len(keys)) for key in keys),
        recipients=tuple(recipients),
    )


def _kept(key: str, *, among: int) -> str:
    """Return how long; of several terms each is told with what it is about."""
    told = terms.sentence(key)
    return f"{BY_KEY[key].label}：{told}" if among > 1 and key in BY_KEY else told
