"""What the settings say, and whether it is enough: every system check, deployment's included."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final

from django.conf import settings
from django.core import checks
from django.db import Error, connections

from faceauth.models import Merchant
from hospital import egress
from hospital.operations.english import CHINESE, ENGLISH
from hospital.operations.part import Part
from hospital.operations.verdicts import Amiss, Verdict, Words, degraded

_SLOWEST: Final = timedelta(seconds=20)  # they look at every trigger and right of the database
# Django's, of what one of ours says with its remedy: hospital.E003, and hospital.E004.
_WITHOUT_HTTPS: Final = {"security.W004", "security.W008", "security.W010", "security.W016"}
_WITHOUT_HOSTS: Final = "security.W020"
_TOLD: Final = 3  # of one kind: a database without tables would fill a page
_NO_REMEDY: Final = Words(
    "这是框架（Django）的检查：按编号查其文档，或报给供应商",
    "a check of Django's: look its number up in Django's documentation, or report it",
)
Said = tuple[Verdict, Words, Words]


@dataclass(repr=False)
class Settings(Part):
    name: ClassVar = "settings"
    label: ClassVar = Words("配置", "settings")
    remedy: ClassVar = Words(
        "运行 manage.py check --deploy --database default，看它停在哪里",
        "run manage.py check --deploy --database default and see where it stops",
    )
    silent: ClassVar = Verdict.DEGRADED
    timeout = _SLOWEST

    def run(self) -> None:
        amiss = [one for one in _checked() if not one.is_silenced() and _counts(one)]
        if amiss:
            raise Amiss(*_each(amiss))
        level = settings.DEPLOY_LEVEL
        self.told = Words(
            f"DEPLOY_LEVEL={level}，没有不符合项", f"DEPLOY_LEVEL={level}, nothing is amiss"
        )


@dataclass(repr=False)
class Egress(Part):
    """Whom we may connect to; whether the merchant's addresses are among them."""

    name: ClassVar = "egress"
    label: ClassVar = Words("外联白名单", "egress list")
    remedy: ClassVar = Words(
        "改正后台“微信商户”的接入地址；签名服务列入 EGRESS_ALLOW，见 docs/network.md",
        "mend the merchant's addresses; name a signing service in EGRESS_ALLOW (docs/network.md)",
    )

    def run(self) -> None:
        known = [*egress.destinations()]
        places = ", ".join(f"{one.host}:{one.port or '*'}" for one in known)
        self.told = Words(places, places)
        merchant = Merchant.objects.filter(is_active=True).first()
        if merchant is None:
            return
        urls = filter(None, (merchant.v2_base_url, merchant.v3_base_url, merchant.signer_url))
        if not all(egress.covers(url) for url in urls):
            said = Words(
                "商户的接入地址不在白名单中，不会连接",
                "an address of the merchant's is not on the list: it is not connected to",
            )
            raise degraded(said, self.remedy)


def _checked() -> list[checks.CheckMessage]:
    try:
        return checks.run_checks(include_deployment_checks=True, databases=[*connections])
    except Error:  # what does not need it is said all the same
        return checks.run_checks(include_deployment_checks=True)


def _counts(one: checks.CheckMessage) -> bool:
    is_said_by_ours = one.id == _WITHOUT_HOSTS or (
        not settings.HTTPS_ONLY and one.id in _WITHOUT_HTTPS
    )
    return one.level >= checks.WARNING and not is_said_by_ours


def _each(amiss: list[checks.CheckMessage]) -> Iterator[Said]:
    """Yield them; of one kind the first few, and how many more there are."""
    told: Counter[str] = Counter(str(one.id) for one in amiss)
    said: Counter[str] = Counter()
    for one in amiss:
        ident = str(one.id)
        said[ident] += 1
        if said[ident] <= _TOLD or told[ident] <= _TOLD + 1:
            yield _said(one)
        elif said[ident] == told[ident]:
            verdict, _, remedy = _said(one)
            more = told[ident] - _TOLD
            yield verdict, Words(f"{ident} 另有 {more} 项", f"{ident} {more} more"), remedy


def _said(one: checks.CheckMessage) -> Said:
    verdict = Verdict.BROKEN if one.is_serious() else Verdict.DEGRADED
    ident = str(one.id)
    english, remedy = ENGLISH.get(ident, (str(one.msg), str(one.hint or "") or _NO_REMEDY.en))
    chinese, measure = CHINESE.get(ident, (str(one.msg), str(one.hint or "") or _NO_REMEDY.zh))
    said = Words(f"{ident} {chinese}", f"{ident} {english}")
    return verdict, said, Words(measure, remedy)


def configuration() -> Iterator[Part]:
    yield Settings()
    yield Egress()
