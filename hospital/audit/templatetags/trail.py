from typing import Any

from django import template
from django.utils import timezone

from hospital import roles
from hospital.audit.admin import findings, status
from hospital.audit.findings import Finding, Review
from hospital.roles import May

register = template.Library()


@register.inclusion_tag("admin/audit/_summary.html")
def trail_summary(person: object) -> dict[str, Any]:
    """Show whoever reads the trail how it stands and what waits for them."""
    if not roles.may(person, May.READ_TRAIL):
        return {}
    waiting = Finding.objects.filter(state=Finding.State.OPEN)
    return {
        **status.shown(at=timezone.now()),
        "is_shown": True,
        "waiting": waiting.count(),
        "newest": [(one, findings.title(one)) for one in waiting[:5]],
        "unread": Review.objects.filter(reviewed_at=None).count(),
    }
