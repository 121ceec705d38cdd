from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.admin import Duty
from hospital.labels import NotCleared
from hospital.privacy import rights as requests
from hospital.privacy.models import RightsRequest
from hospital.roles import May

SHOWN = 10  # the most urgent

register = template.Library()


@register.inclusion_tag("admin/_duties.html")
def rights_duties(person: object) -> dict[str, Any]:
    """Tell whoever answers requests about personal data which wait, and how long there is."""
    if not isinstance(person, Staff) or not person.may(May.DECIDE_RIGHTS):
        return {}
    try:
        waiting = requests.waiting(person)
    except NotCleared:
        return {}
    checked = waiting.filter(state=RightsRequest.State.VERIFIED, answered_at=None)
    count, url = waiting.count(), reverse("desk:rights")
    duties = [Duty("未办结的权利请求", f"{count} 项" if count else "没有", url)]
    return {
        "key": "rights",
        "title": "权利请求",
        "duties": [*duties, *map(_to_answer, checked[:SHOWN])],
    }


def _to_answer(one: RightsRequest) -> Duty:
    days = (one.due_on - timezone.localdate()).days
    left = f"剩 {days} 天" if days >= 0 else f"已逾期 {-days} 天"
    url = reverse("desk:right", args=[one.pk])
    return Duty(f"待答复：{one.get_kind_display()}", left, url, "" if days >= 0 else "failed")
