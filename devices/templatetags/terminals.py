from typing import Any

from django import template
from django.urls import reverse
from django.utils import timezone

from devices import conditions
from devices.conditions import Condition
from hospital import roles
from hospital.admin import Duty
from hospital.roles import May

TROUBLE = (Condition.SILENT, Condition.DRIFTING, Condition.OUTDATED, Condition.NEW)

register = template.Library()


@register.inclusion_tag("admin/_duties.html")
def terminal_duties(person: object) -> dict[str, Any]:
    """Tell whoever runs terminals how many are well, and which need somebody."""
    if not roles.may(person, May.MANAGE_TERMINALS):
        return {}
    troubled = [duty for one in TROUBLE if (duty := _duty(one, unless_none=True))]
    return {
        "key": "terminals",
        "title": "终端",
        "duties": [_duty(Condition.ONLINE), *troubled],
    }


def _duty(condition: Condition, *, unless_none: bool = False) -> Duty | None:
    count = conditions.find(condition, at=timezone.now()).count()
    if unless_none and not count:
        return None
    url = f"{reverse('admin:devices_terminal_changelist')}?condition={condition.value}"
    return Duty(str(condition.label), f"{count:,} 台", url)
