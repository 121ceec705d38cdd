"""What is told on every page while the sealed account is open, or waits for somebody."""

from collections.abc import Iterator
from uuid import UUID

from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from hospital.accounts.emergencies import OFFICES
from hospital.accounts.models import Emergency, Staff
from hospital.audit.admin import people
from hospital.audit.banners import Banner
from hospital.roles import May, Role

State = Emergency.State


def told(request: HttpRequest) -> Iterator[Banner]:
    person: object = getattr(request, "user", None)
    if not isinstance(person, Staff):
        return
    office = next((name for right, name in OFFICES.items() if person.may(right)), "")
    reviews = person.may(May.REVIEW_EMERGENCIES)
    is_sealed = person.role == Role.EMERGENCY
    if office or reviews or is_sealed:
        yield from _open(is_sealed=is_sealed)
    if office:
        yield from _to_decide(office, person.pk)
    if reviews:
        yield from _to_review()


def _open(*, is_sealed: bool) -> Iterator[Banner]:
    for emergency in Emergency.objects.filter(state=State.OPEN):
        until = f"{timezone.localtime(emergency.closes_at):%H:%M}"
        if is_sealed:
            yield Banner("alert", f"应急账号：{until} 自动停用，每次查看都会告警并由审计管理员复核")
        else:
            asker = people.names([emergency.asked_by]).get(str(emergency.asked_by), "账号已不存在")
            text = f"应急账号已启用，{until} 自动停用；申请人 {asker}"
            page = reverse("admin:accounts_emergency_change", args=[emergency.pk])
            yield Banner("alert", text, page)


def _to_decide(office: str, person: UUID) -> Iterator[Banner]:
    waiting = Emergency.objects.waiting(at=timezone.now()).filter(**{f"{office}_by__isnull": True})
    if count := waiting.exclude(asked_by=person).count():
        page = reverse("admin:accounts_emergency_changelist")
        yield Banner(
            "alert", f"有 {count} 项应急账号申请待您批准", f"{page}?state__exact={State.ASKED}"
        )


def _to_review() -> Iterator[Banner]:
    if count := Emergency.objects.filter(state=State.CLOSED).count():
        page = reverse("admin:accounts_emergency_changelist")
        yield Banner(
            "notice", f"有 {count} 次应急使用待复核", f"{page}?state__exact={State.CLOSED}"
        )
