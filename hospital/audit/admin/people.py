"""Names of staff for pages that show them; the trail itself knows ids alone."""

from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth import get_user_model


def names(ids: Iterable[object]) -> dict[str, str]:
    """Return id → name and staff number, of those who are staff."""
    keys = {key for key in map(as_id, ids) if key}
    people = get_user_model().objects.filter(pk__in=keys)
    shown = people.values_list("pk", "display_name", "username")
    return {str(pk): f"{name}（{number}）" for pk, name, number in shown}


def find(number: str) -> str:
    """Return the id of whoever has this staff number, or which it is; empty if nobody's."""
    if key := as_id(number):
        return str(key)
    found = get_user_model().objects.filter(username=number).values_list("pk", flat=True).first()
    return str(found) if found else ""


def as_id(text: object) -> UUID | None:
    try:
        return UUID(str(text))
    except ValueError:
        return None
