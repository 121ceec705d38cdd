from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone

from faceauth.models import Notice
from hospital.accounts.models import Staff
from hospital.admin import Duty
from hospital.patients.models import Correction
from hospital.roles import May

register = template.Library()


@register.inclusion_tag("admin/_duties.html")
def privacy_duties(person: object) -> dict[str, Any]:
    """Tell whoever guards privacy which notice is in force, and what waits for them."""
    if not isinstance(person, Staff) or not person.may(May.MANAGE_NOTICES):
        return {}
    asked = Correction.objects.filter(state=Correction.State.ASKED).exclude(asked_by=person.pk)
    return {
        "key": "privacy",
        "title": "告知与更正",
        "duties": [
            *_notices(),
            Duty("同意记录", "查看", reverse("admin:faceauth_consent_changelist")),
            Duty("待复核的更正", f"{asked.count():,} 项", reverse("desk:corrections")),
        ],
    }


def _notices() -> list[Duty]:
    notices = reverse("admin:faceauth_notice_changelist")
    now = Notice.objects.in_force(timezone.now())
    drafts = Notice.objects.filter(in_force_from=None).count()
    duties = [Duty("生效中的告知书", str(now) if now else "没有，终端不能刷脸", notices)]
    return [*duties, Duty("未生效的告知书", f"{drafts} 份", notices)] if drafts else duties
