from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from django import template
from django.urls import reverse
from django.utils import timezone

from hospital.accounts.emergencies import OFFICES
from hospital.accounts.models import Emergency, PolicyChoice, Staff
from hospital.admin import Duty
from hospital.audit import proposing
from hospital.roles import May

SOON: Final = timedelta(days=7)  # an account's end that is worth a word

register = template.Library()


@register.inclusion_tag("admin/_duties.html")
def people_duties(person: object) -> dict[str, Any]:
    """Tell administrators, and whoever guards privacy, what waits for them to decide or see to."""
    if not isinstance(person, Staff) or person.may(May.VIEW_SESSIONS):
        return {}
    duties = list(_duties(person, timezone.now()))
    return {"key": "people", "title": "等您处理的", "duties": duties}


def _duties(person: Staff, now: datetime) -> Iterator[Duty]:
    if proposing.kinds_for(person):
        yield _to_decide(person, now)
    yield from _emergencies(person, now)
    staff = reverse("admin:accounts_staff_changelist")
    if person.may(May.MANAGE_STAFF) or person.may(May.ASSIGN_ROLES):
        without = Staff.objects.filter(role="", is_active=True).count()
        yield Duty("没有角色的账号", _number(without, "个"), staff)
    if person.may(May.MANAGE_STAFF):
        ending = Staff.objects.filter(is_active=True, valid_until__range=(now, now + SOON)).count()
        yield Duty("七天内到期的账号", _number(ending, "个"), staff)
    if person.may(May.SET_POLICY):
        chosen = PolicyChoice.objects.count()
        value = f"{chosen} 项由您设置，其余为部署时的值" if chosen else "都是部署时的值"
        yield Duty("安全策略", value, reverse("admin:accounts_policychoice_changelist"))


def _to_decide(person: Staff, now: datetime) -> Duty:
    count = proposing.to_decide(person, at=now).count()
    url = reverse("admin:audit_proposal_changelist")
    return Duty("待您批准的申请", _number(count, "项"), f"{url}?state__exact=asked")


def _emergencies(person: Staff, now: datetime) -> Iterator[Duty]:
    url = reverse("admin:accounts_emergency_changelist")
    for right, office in OFFICES.items():
        if person.may(right):
            waiting = Emergency.objects.waiting(at=now).filter(**{f"{office}_by__isnull": True})
            count = waiting.exclude(asked_by=person.pk).count()
            yield Duty("待批准的应急申请", _number(count, "项"), url)
    if person.may(May.REVIEW_EMERGENCIES):
        closed = Emergency.objects.filter(state=Emergency.State.CLOSED).count()
        yield Duty("待复核的应急使用", _number(closed, "次"), url)


def _number(count: int, unit: str) -> str:
    return f"{count:,} {unit}" if count else "没有"
