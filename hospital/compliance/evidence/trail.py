"""留痕: how far it is sealed, signed and verified, and what was found in it."""

from datetime import datetime

from django.conf import settings
from django.db import connection
from django.db.models import Count

from hospital import retention
from hospital.audit import guards, standing
from hospital.audit import trail as log
from hospital.audit.findings import Finding, Review
from hospital.audit.sent import Forwarded
from hospital.compliance.evidence.files import Artefact, as_json, minute


def made(at: datetime) -> Artefact:
    told = {
        "说明": "留痕只增不改由数据库防护保证，篡改可由签名检查点检测；"
        "数据库管理员的改动不能阻止，只能检测。",
        "日志名称": settings.TRAIL_ORIGIN,
        "保存月数": retention.trail_months(),
        "核验": _standing(at),
        "数据库防护": guards.drift(connection) or "完整",
        "审计发现": list(
            Finding.objects.order_by().values("kind", "state").annotate(count=Count("pk"))
            .order_by("kind", "state")
        ),
        "每周分析": {
            "已审阅": Review.objects.filter(reviewed_at__isnull=False).count(),
            "未审阅": Review.objects.filter(reviewed_at=None).count(),
        },
        "外发": list(Forwarded.objects.order_by("sink").values_list("sink", flat=True)),
    }  # fmt: skip
    return as_json("trail.json", "留痕状态和核验结果", told)


def reached(at: datetime) -> dict[str, object]:
    """Return how far the trail is signed, witnessed and sent: a little further each time."""
    sent = {one.sink: [one.sent, one.acknowledged] for one in Forwarded.objects.order_by("sink")}
    try:
        stands = standing.standing(at)
    except log.NotConfigured:
        return {"sent_and_acknowledged": sent}
    return {
        "signed": stands.size,
        "signed_at": minute(stands.signed_at),
        "witnessed": stands.witnessed,
        "sent_and_acknowledged": sent,
    }


def _standing(at: datetime) -> object:
    try:
        stands = standing.standing(at)
    except log.NotConfigured as exc:
        return str(exc)
    last = stands.verified
    return {
        "有签名": bool(stands.size),
        "有见证": stands.has_witness,
        "锚点": sorted(stands.anchored),
        "最近核验": minute(last.at) if last else "没有核验过",
        "从头核验": last.is_full if last else False,
        "有外部锚点": last.is_anchored if last else False,
        "异常": last.findings if last else None,
    }
