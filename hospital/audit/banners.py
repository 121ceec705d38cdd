"""What whoever watches over the trail is told on every page."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Literal

from django.db.models import Max
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from hospital import roles
from hospital.audit import proposing, standing
from hospital.audit.exporting import requests
from hospital.audit.findings import Finding
from hospital.audit.log import Checkpoint
from hospital.audit.spans import in_words
from hospital.roles import May


@dataclass(frozen=True)
class Banner:
    """One sentence, and where to see to it if its reader can."""

    level: Literal["alert", "notice"]
    text: str
    url: str = ""


Source = Callable[[HttpRequest], Iterable[Banner]]
_SOURCES: Final[list[Source]] = []  # of rooms above this one


def register(source: Source) -> None:
    """Have what it yields for a request told on every page as well, the first of all."""
    _SOURCES.append(source)


def shown(request: HttpRequest) -> dict[str, Any]:
    """Context processor: asked for only by pages that have room for banners."""
    return {"banners": partial(banners, request)}


def banners(request: HttpRequest) -> list[Banner]:
    """Return what this person should be told now."""
    person = getattr(request, "user", None)
    told = [banner for source in _SOURCES for banner in source(request)]
    if roles.may(person, May.READ_TRAIL) or roles.may(person, May.APPROVE_KEEPING):
        told += _of_the_trail(is_auditor=roles.may(person, May.READ_TRAIL))
    if roles.may(person, May.SEE_EXPORTS) and (count := requests.unseen().count()):
        exports = reverse("admin:audit_export_changelist")
        told.append(Banner("notice", f"有 {count} 次留痕导出未阅", exports))
    if proposing.kinds_for(person):
        told += _to_decide(person)
    return told


def _to_decide(person: Any) -> Iterator[Banner]:
    if count := proposing.to_decide(person, at=timezone.now()).count():
        proposals = reverse("admin:audit_proposal_changelist")
        yield Banner("notice", f"有 {count} 项申请待批准", f"{proposals}?state__exact=asked")


def _of_the_trail(*, is_auditor: bool) -> Iterator[Banner]:
    now = timezone.now()
    findings = reverse("admin:audit_finding_changelist") if is_auditor else ""
    log = reverse("admin:audit_event_standing") if is_auditor else ""
    alerts = Finding.objects.filter(
        state=Finding.State.OPEN, severity=Finding.Severity.ALERT
    ).count()
    if alerts:
        yield Banner("alert", f"有 {alerts} 项审计告警尚未处置", findings)
    size = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    waits = standing.lag(now, size=size)
    if waits > standing.LATE.total_seconds():
        waited = in_words(waits)
        yield Banner("alert", f"留痕签名停滞：最早一条已等待 {waited}，请检查签名进程", log)
    if standing.is_unverified(now, standing.verified(now)):
        yield Banner("alert", "超过 48 小时没有核验留痕，请检查定时任务", log)
