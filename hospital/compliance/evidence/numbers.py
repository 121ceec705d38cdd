"""How often what happened: numbers only, of nobody."""

from datetime import datetime
from typing import Any

from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncMonth
from django.utils import timezone

from faceauth.models import Consent, FaceSession
from hospital.compliance.evidence.files import Artefact, as_csv, as_json
from hospital.patients.models import HandOff
from hospital.privacy import assessing, scale
from hospital.privacy.models import (
    Disclosure,
    Erasure,
    Incident,
    LegalHold,
    Notification,
    RightsRequest,
)


def consents() -> Artefact:
    """By notice, answer and month: what was said to which text."""
    counted = (
        Consent.objects.order_by()
        .annotate(month=TruncMonth("at"))
        .values_list("notice__version", "notice_digest", "month", "granted")
        .annotate(count=Count("pk"), withdrawn=Count("pk", filter=Q(withdrawn_at__isnull=False)))
        .order_by("notice__version", "notice_digest", "month", "granted")
    )
    rows = [
        (version, digest, f"{timezone.localtime(month):%Y-%m}", "同意" if granted else "不同意",
         count, withdrawn)
        for version, digest, month, granted, count, withdrawn in counted
    ]  # fmt: skip
    head = ("告知书版本", "摘要", "月份", "表态", "次数", "其中撤回")
    return as_csv("consents.csv", "同意记录统计", head, rows)


def counts(at: datetime) -> Artefact:
    """Erasures, rights, incidents, what was given to others: kinds and states."""
    in_force = assessing.in_force(at=at)
    told = {
        "刷脸会话": _by(FaceSession.objects.all(), "state"),
        "删除个人信息": _by(Erasure.objects.all(), "cause", "state"),
        "权利请求": _by(RightsRequest.objects.all(), "kind", "state"),
        "逾期的权利请求": RightsRequest.objects.filter(escalated_at__isnull=False).count(),
        "安全事件": _by(Incident.objects.real(), "kind", "level", "state"),
        "演练": Incident.objects.filter(is_drill=True).count(),
        "未报告的通知": Notification.objects.filter(told_at=None, incident__is_drill=False).count(),
        "依法保全": LegalHold.objects.filter(lifted_at=None).count(),
        "HIS 移交": _by(HandOff.objects.all(), "state"),
        "对外提供": _disclosed(),
        "处理人数": scale.standing(at).count,
        "影响评估": in_force.reference if in_force else "没有有效的评估",
    }
    return as_json("counts.json", "权利请求、删除、对外提供、安全事件统计", told)


def _by(counted: QuerySet[Any], *columns: str) -> list[dict[str, object]]:
    rows = counted.order_by().values(*columns).annotate(count=Count("pk"))
    return list(rows.order_by(*columns))


def _disclosed() -> list[dict[str, object]]:
    rows = Disclosure.objects.order_by().values("recipient", "purpose")
    counted = rows.annotate(times=Count("pk"), people=Sum("count"))
    return [dict(one) for one in counted.order_by("recipient", "purpose")]
