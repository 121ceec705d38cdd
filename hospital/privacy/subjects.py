"""
Everywhere one person's data lies: what a copy tells of it, and what erasing takes.

Each room registers its own places when the application starts, so that a copy and an erasure can
leave nothing out: a check (`hospital.privacy.erasing.covering`) refuses a table that is none.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import Q

# What is told of one row: label and value, in clear, for the person themselves.
Told = Sequence[tuple[str, str]]


def _nothing_told(_subject: UUID) -> Sequence[Told]:
    return ()


def nothing_taken(_subject: UUID, _at: datetime) -> int:
    """Erase nothing: what is there says nothing of anybody once the key is gone."""
    return 0


def _no_keys(_subject: UUID) -> Collection[UUID]:
    return ()


def _nothing_before(_subject: UUID) -> None:
    pass


@dataclass(frozen=True)
class Place:
    """
    One table.

    :param name: of the model, `app.model` in lower case
    :param label: what people call it
    :param count: how many rows are this subject's
    :param erase: take what is personal out of them, in the caller's transaction, which records one
        event on the patient (`erasure.step`); return how many it took. Twice is once
    :param told: what a copy says of each row; the subject's keys still open
    :param outcome: what erasing does here; "" if it does nothing
    :param remains: what stays after erasing, and why; "" if nothing does
    :param keys: whose keys, besides the subject's own, seal what is theirs here
    :param before_keys: take what is found by a value alone, which nobody can read once the keys are
        gone. Twice is once
    """

    name: str
    label: str
    count: Callable[[UUID], int]
    erase: Callable[[UUID, datetime], int]
    told: Callable[[UUID], Sequence[Told]] = _nothing_told
    outcome: str = ""
    remains: str = ""
    keys: Callable[[UUID], Collection[UUID]] = _no_keys
    before_keys: Callable[[UUID], None] = _nothing_before


def table(
    model: Any,
    label: str,
    *,
    whose: Collection[str] = ("patient",),
    erase: Callable[[UUID, datetime], int] = nothing_taken,
    **more: Any,
) -> Place:
    """
    Return the place that a table is.

    :param whose: the columns in which a patient's id makes a row theirs
    :param more: as of `Place`
    """

    def count(subject: UUID) -> int:
        theirs = Q(*((one, subject) for one in whose), _connector=Q.OR)
        return int(model.objects.filter(theirs).count())

    return Place(model._meta.label_lower, label, count, erase, **more)


_PLACES: Final[dict[str, Place]] = {}
_EXEMPT: Final[dict[str, str]] = {}


def register(place: Place) -> None:
    """:raises ValueError: something else is registered under its name"""
    if _PLACES.setdefault(place.name, place) != place:
        raise ValueError(f"{place.name} is registered already")


def exempt(name: str, *, because: str) -> None:
    """Say of a table that names patients, or holds sealed values, why erasing passes it by."""
    _EXEMPT[name] = because


def places() -> list[Place]:
    """Return every place, in the order they were registered: from the patient outwards."""
    return list(_PLACES.values())


def exempted() -> dict[str, str]:
    """Return model → why it is no place."""
    return dict(_EXEMPT)


def before_keys(subject: UUID) -> None:
    """Take, everywhere, what could not be found any more without this subject's keys."""
    for place in _PLACES.values():
        place.before_keys(subject)


def keys_of(subject: UUID) -> list[UUID]:
    """Return whose keys seal what is this subject's: their own, and those of what became theirs."""
    others = {key for place in _PLACES.values() for key in place.keys(subject)}
    return [subject, *sorted(others - {subject})]
