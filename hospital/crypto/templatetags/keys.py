from typing import Any

from django import template
from django.urls import reverse

from hospital import roles
from hospital.admin import Duty
from hospital.crypto.models import Job
from hospital.roles import May

register = template.Library()


@register.inclusion_tag("admin/_duties.html")
def key_duties(person: object) -> dict[str, Any]:
    """Tell who watches over the keys what goes on with them."""
    if not roles.may(person, May.VIEW_KEYS):
        return {}
    count = Job.objects.exclude(state=Job.State.DONE).count()
    value = f"{count:,} 个" if count else "没有"
    duty = Duty("未完成的密钥任务", value, reverse("admin:crypto_job_changelist"))
    return {"key": "keys", "title": "密钥", "duties": [duty]}
