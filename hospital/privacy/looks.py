"""Who looked at a patient, for the patient: how often, which day, which office; no names."""

from collections import Counter
from collections.abc import Iterator
from typing import Final
from uuid import UUID

from django.db.models import Q
from django.utils import timezone

from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.patients.models import Patient
from hospital.patients.revealing import Field, Purpose
from hospital.privacy.subjects import Told
from hospital.roles import Role

_VIEW, _REVEAL = (one.value.tag for one in (Action.PATIENT_VIEW, Action.PATIENT_REVEAL))
_ROLES: Final = dict(Role.choices)
_FIELDS: Final = dict(Field.choices)
_PURPOSES: Final = dict(Purpose.choices)


def told(subject: UUID) -> list[Told]:
    """Return one row per day, office and kind of look, the oldest first."""
    counted: Counter[tuple[str, str, str]] = Counter(_looks(subject))
    return [
        (("日期", day), ("角色", role), ("查看", what), ("次数", str(count)))
        for (day, role, what), count in sorted(counted.items())
    ]


def _looks(subject: UUID) -> Iterator[tuple[str, str, str]]:
    for event in _events(subject):
        line = stated.said(event.payload)
        facts, actor = stated.facts(event.payload), line.get("actor")
        role = str(actor.get("role", "")) if isinstance(actor, dict) else ""
        day = f"{timezone.localtime(event.at):%Y-%m-%d}"
        yield day, _ROLES.get(role, "系统"), _what(str(event.action), facts)


def _events(subject: UUID) -> Iterator[Event]:
    label = Patient._meta.label_lower
    of_theirs = Q(action__in=(_VIEW, _REVEAL), object_type=label, object_id=str(subject))
    # Of a list that showed several people at once: they are named among its facts.
    of_many = Q(action=_VIEW, object_type="", payload__contains=str(subject))
    for found in (of_theirs, of_many):
        yield from Event.objects.filter(found, outcome="success").order_by("id").iterator()


def _what(action: str, facts: dict[str, object]) -> str:
    if action == _VIEW:
        return "脱敏信息"
    field = _FIELDS.get(str(facts.get("field")), "一项")
    purpose = _PURPOSES.get(str(facts.get("purpose")), "其他")
    return f"{field}明文，用于{purpose}"
