"""
Which tables answer to the trail: whoever changes a row there records it in the same transaction.

Declared where the model lives. The database enforces it (`hospital.audit.guards`), and a check
refuses a model that says neither.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from django.apps import apps
from django.db import models

from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import blind_indexes

M = TypeVar("M", bound=type[models.Model])

_OURS: Final = ("hospital.", "devices", "faceauth")  # packages whose models must declare

# Models of floors below this one, and the trail's own, which nothing records but itself.
_EXEMPT: Final = {
    "crypto.keyepoch": "changed by jobs whose begin and end are on record",
    "crypto.datakey": "changed by jobs whose begin and end are on record",
    "crypto.indexkey": "changed by jobs whose begin and end are on record",
    "crypto.job": "its begin and end are on record; how far it is changes all the time",
    "audit.event": "append-only: it is the record",
    "audit.pending": "filled by the database with each event, worked off by the notary",
    "audit.change": "kept by the database itself",
    "audit.leaf": "append-only: the log",
    "audit.tile": "append-only: the log",
    "audit.checkpoint": "append-only: the log",
    "audit.anchor": "append-only: the log",
    "audit.archive": "append-only, and on record as audit.archive",
    "audit.pruned": "append-only; what it permits is asked of the trail itself",
    "audit.redacted": "append-only; what it permits is asked of the trail itself",
    "audit.commitment": "salts: written with the event that commits, erased with the subject",
    "audit.forwarded": "how far a receiver is; changes with every batch",
    "audit.export": "its progress changes all the time; each step that matters is on record",
    "audit.exportpart": "its export states what it is by a digest, which is on record",
}


@dataclass(frozen=True)
class Coverage:
    """
    What must be in the trail when a row changes.

    :param on: the foreign key to whose record it belongs; "" if the row has its own
    :param facts: facts by which an event may name that row instead of being about it
    :param but: columns that change without an event
    """

    model: type[models.Model]
    on: str
    facts: tuple[str, ...]
    but: frozenset[str]

    @property
    def table(self) -> str:
        return self.model._meta.db_table

    @property
    def label(self) -> str:
        return self.model._meta.label_lower

    @property
    def key(self) -> "models.Field[Any, Any]":
        key = self.model._meta.pk
        assert key is not None  # noqa: S101 (every model of a table has one)
        return key

    @property
    def whose(self) -> "models.Field[Any, Any]":
        """The column that holds the id of what events are about."""
        if not self.on:
            return self.key
        column = self.model._meta.get_field(self.on)
        assert isinstance(column, models.ForeignKey)  # noqa: S101 (said so where it is declared)
        return column

    @property
    def object_type(self) -> str:
        """What events are about, as they say it."""
        other = self.whose.related_model if self.on else self.model
        assert isinstance(other, type)  # noqa: S101 (a foreign key, its model loaded)
        return str(other._meta.label_lower)

    @property
    def columns(self) -> list[str]:
        """The columns that do not change without an event."""
        return [
            str(field.column)
            for field in self.model._meta.local_concrete_fields
            if field.name not in self.but
        ]

    @property
    def sealed(self) -> set[str]:
        """The columns a change of keys writes anew, which changes nothing that is said there."""
        found = {
            str(field.column)
            for field in self.model._meta.local_concrete_fields
            if isinstance(field, SealedField)
        }
        return found.union(*(index.columns for index in blind_indexes(self.model)))


_DECLARED: Final[dict[type[models.Model], Coverage | str]] = {}


def changes_recorded(
    *, on: str = "", facts: Collection[str] = (), but: Collection[str] = ()
) -> Callable[[M], M]:
    """Declare that every change of a row is in the trail; see `Coverage`."""

    def declare(model: M) -> M:
        _DECLARED[model] = Coverage(model, on, tuple(facts), frozenset(but))
        return model

    return declare


def changes_unrecorded(because: str) -> Callable[[M], M]:
    """Declare that rows change without an event, and why that is right."""

    def declare(model: M) -> M:
        _DECLARED[model] = because
        return model

    return declare


def covered() -> Iterator[Coverage]:
    """Return what is declared to be recorded, in the order of the tables' names."""
    found = [one for one in _DECLARED.values() if isinstance(one, Coverage)]
    yield from sorted(found, key=lambda one: one.table)


def is_covered(model: type[models.Model]) -> bool:
    """Whether the rows of this model answer to the trail."""
    return isinstance(_DECLARED.get(model), Coverage)


def undeclared() -> list[str]:
    """Return the labels of our models that say neither."""
    return [
        model._meta.label
        for model in apps.get_models(include_auto_created=True)
        if model.__module__.startswith(_OURS)
        and model not in _DECLARED
        and model._meta.label_lower not in _EXEMPT
    ]
