from collections.abc import Iterator
from typing import Any

from django import template
from django.urls import reverse

from hospital.accounts.models import Staff
from hospital.admin import Duty
from hospital.privacy.models import Erasure
from hospital.roles import May

register = template.Library()

State = Erasure.State


@register.inclusion_tag("admin/_duties.html")
def erasure_duties(person: object) -> dict[str, Any]:
    """Tell whoever decides on erasures which can still be cancelled, and which do not end."""
    if not isinstance(person, Staff) or not person.may(May.APPROVE_ERASURE):
        return {}
    return {"key": "erasures", "title": "删除个人信息", "duties": list(_duties())}


def _duties() -> Iterator[Duty]:
    url = reverse("admin:privacy_erasure_changelist")
    unfinished = Erasure.objects.exclude(state__in=[State.DONE, State.CANCELLED])
    cooling = unfinished.filter(state=State.COOLING).count()
    yield Duty("冷静期中，可以取消", f"{cooling:,} 项" if cooling else "没有", url)
    if faulty := unfinished.exclude(fault="").count():
        yield Duty("核验未通过", f"{faulty:,} 项", url, "failed")
