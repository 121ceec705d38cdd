from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone

from faceauth.models import Notice
from hospital.accounts.models import Staff
from hospital.admin import Duty
from hospital.patients.models import Correction
from hospital.privacy import assessing
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
            _assessment(),
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


def _assessment() -> Duty:
    """Say which assessment is in force, and whether it ends before long or carries too little."""
    now, url = timezone.now(), reverse("admin:privacy_assessment_changelist")
    standing, notice = assessing.in_force(at=now), Notice.objects.in_force(now)
    if standing is None:
        return Duty("影响评估", "没有有效的评估，终端不能刷脸", url, "failed")
    if notice and not assessing.carries(standing, notice.purposes):
        return Duty("影响评估", "告知书有未评估的处理目的，终端不能刷脸", url, "failed")
    if assessing.to_review(at=now).filter(pk=standing.pk).exists():
        return Duty("影响评估", f"{standing.review_on} 到期，请重新评估", url, "guardian_required")
    return Duty("影响评估", f"{standing}，{standing.review_on} 前复评", url)
