"""Where sealed values and blind indexes lie, and walking through the rows in order."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.apps import apps
from django.db import models, router

from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex, blind_indexes
from hospital.crypto.rotation.jobs import Run


@dataclass(frozen=True)
class Table:
    """A model with sealed columns of its own."""

    model: type[models.Model]
    fields: tuple[SealedField, ...]

    @property
    def label(self) -> str:
        return self.model._meta.label_lower

    @property
    def alias(self) -> str:
        return alias_of(self.model)

    @property
    def columns(self) -> list[str]:
        """What says whose the values are, and the values."""
        own = {field.subject_attname for field in self.fields if isinstance(field.subject, str)}
        return [*sorted(own), *(field.attname for field in self.fields)]

    def subject(self, field: SealedField, row: dict[str, Any]) -> UUID | None:
        """Return whose key seals this column of a row read by `rows`."""
        if isinstance(field.subject, UUID):
            return field.subject
        value = row[field.subject_attname]
        return value if value is None or isinstance(value, UUID) else UUID(str(value))

    def subjects(self, rows: Sequence[dict[str, Any]]) -> set[UUID]:
        found = {self.subject(field, row) for field in self.fields for row in rows}
        return {one for one in found if one is not None}

    def rows(self, after: Any, size: int) -> list[dict[str, Any]]:
        """Return the next rows by primary key: that, the subjects, and the sealed columns."""
        names = ["pk", *self.columns]
        found = following(self.model, after).values_list(*names)[:size]
        return [dict(zip(names, values, strict=True)) for values in found]


def sealed_tables() -> list[Table]:
    """Return every table with sealed columns, in the order of their labels."""
    found = []
    for model in apps.get_models(include_auto_created=True):
        fields = [one for one in model._meta.local_fields if isinstance(one, SealedField)]
        if fields:
            found.append(Table(model, tuple(fields)))
    return sorted(found, key=lambda table: table.label)


def sealed_aliases() -> set[str]:
    """Return the databases that hold sealed values."""
    return {table.alias for table in sealed_tables()}


def all_blind_indexes() -> list[BlindIndex]:
    found = [index for model in apps.get_models() for index in blind_indexes(model)]
    return sorted({index.label: index for index in found}.values(), key=lambda one: one.label)


def alias_of(model: type[models.Model]) -> str:
    return router.db_for_write(model)


def every(model: type[models.Model]) -> "models.QuerySet[Any]":
    """Return every row, also those a default manager hides; of the primary."""
    return model._meta.base_manager.using(alias_of(model))


def following(model: type[models.Model], after: Any) -> "models.QuerySet[Any]":
    """Return the rows behind a primary key; from the first one, if that is None."""
    rows = every(model).order_by("pk")
    return rows if after is None else rows.filter(pk__gt=after)


def walk(
    run: Run, models_: Sequence[type[models.Model]], read: Callable[[int, Any], Sequence[Any]]
) -> Iterator[tuple[int, Sequence[Any]]]:
    """
    Yield batch after batch from behind the run's cursor: which model, and its rows.

    :param read: (which model, after which primary key) → the rows of the next batch
    """
    label, _, pk = run.job.cursor.partition("|")
    for place, model in enumerate(models_):
        if label and model._meta.label_lower < label:
            continue
        key = model._meta.pk
        after = key.to_python(pk) if key and pk and model._meta.label_lower == label else None
        while rows := read(place, after):
            yield place, rows
            after = pk_of(rows[-1])


def cursor_at(model: type[models.Model], pk: Any) -> str:
    return f"{model._meta.label_lower}|{pk.hex if isinstance(pk, UUID) else pk}"


def pk_of(row: Any) -> Any:
    return row["pk"] if isinstance(row, dict) else row.pk
