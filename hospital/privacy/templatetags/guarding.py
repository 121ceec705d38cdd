from collections.abc import Iterator
from datetime import datetime
from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.admin import Duty
from hospital.privacy import scale
from hospital.privacy.incidents import notifying
from hospital.privacy.models import Incident
from hospital.roles import May

register = template.Library()


@register.inclusion_tag("admin/_duties.html")
def guarding_duties(person: object) -> dict[str, Any]:
    """Tell whoever sees to incidents which are open and overdue; and of how many data is here."""
    if not isinstance(person, Staff) or not person.may(May.MANAGE_INCIDENTS):
        return {}
    now = timezone.now()
    duties = [*_incidents(now), *(_scale(now) if person.may(May.MANAGE_ASSESSMENTS) else ())]
    return {"key": "guarding", "title": "安全事件和个人信息规模", "duties": duties}


def _incidents(now: datetime) -> Iterator[Duty]:
    url = reverse("admin:privacy_incident_changelist")
    unclosed = Incident.objects.unclosed()
    real, drills = unclosed.real().count(), unclosed.filter(is_drill=True).count()
    yield Duty("未关闭的安全事件", f"{real} 起" if real else "没有", url)
    if drills:
        yield Duty("进行中的演练", f"{drills} 起", url)
    for one in notifying.overdue(at=now).select_related("incident")[:10]:
        mark = "演练：" if one.incident.is_drill else ""
        due = timezone.localtime(one.due_at)
        page = reverse("admin:privacy_incident_change", args=[one.incident_id])
        yield Duty(
            f"{mark}{one.incident} 逾期未报告", f"{one}，应在 {due:%m-%d %H:%M} 前", page, "failed"
        )


def _scale(now: datetime) -> Iterator[Duty]:
    standing = scale.standing(now)
    if standing.counted_at is None:
        yield Duty("个人信息涉及人数", "尚未统计，每天凌晨统计一次")
        return
    day = timezone.localtime(standing.counted_at)
    badge = "failed" if standing.is_stale else ""
    yield Duty("个人信息涉及人数", f"{standing.count:,} 人（{day:%Y-%m-%d} 统计）", badge=badge)
    if standing.reached:
        yield Duty("规模提醒", standing.reached[-1].demand, badge="guardian_required")
