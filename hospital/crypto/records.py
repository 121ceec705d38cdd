"""
Models with sealed fields, and their querysets.

The fields themselves are safe in any model. Here is what takes more than one value: the keys
of a list fetched at once, the blind indexes written whenever what they stand for is, and
clear words for what cannot work.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, Final, TypeVar
from uuid import UUID

from django.core.exceptions import FieldError
from django.db import models, transaction
from django.db.models.base import ModelBase

from hospital.crypto import keyring, lists
from hospital.crypto.fields import Sealed, SealedField
from hospital.crypto.indexes import BlindIndex, blind_indexes

M_co = TypeVar("M_co", bound=models.Model, covariant=True)

_LOADED: Final = 2_000  # rows at once where the caller of iterator() does not say


class SealedQuerySet(models.QuerySet[M_co]):
    """
    Opens lists with one query for their keys; refuses to write what could not be read again.

    `update` leaves blind indexes alone: a value that one of them is made of, sealed or not,
    is changed by `save` or `bulk_update`.
    """

    def bulk_create(  # noqa: PLR0917 (Django's)
        self,
        objs: Iterable[M_co],
        batch_size: int | None = None,
        ignore_conflicts: bool = False,
        update_conflicts: bool = False,
        update_fields: Collection[str] | None = None,
        unique_fields: Collection[str] | None = None,
    ) -> list[M_co]:
        """
        Make the keys that are missing at once, and create the rows.

        :raises FieldError: for `update_conflicts`: the row that is there keeps its key and its
            patient, and what was sealed for the new one could not be read in it
        """
        if update_conflicts:
            raise FieldError("有封存字段的表不支持 update_conflicts，请逐行 save()")
        objs = list(objs)
        keyring.provide(self._sealed_for(objs))
        return super().bulk_create(
            objs,
            batch_size,
            ignore_conflicts,
            update_fields=update_fields,
            unique_fields=unique_fields,
        )

    def bulk_update(
        self, objs: Iterable[M_co], fields: Iterable[str], batch_size: int | None = None
    ) -> int:
        """
        Update the fields, and the blind indexes with them; sealed ones by a statement for each row.

        :raises Unplaced: a row or its patient is not known
        """
        objs, names = tuple(objs), written_with(self.model, fields)
        written = [self.model._meta.get_field(name) for name in names]
        if not any(isinstance(field, SealedField) for field in written):
            return super().bulk_update(objs, names, batch_size)
        self._for_write = True
        keyring.provide(self._sealed_for(objs))
        rows: models.QuerySet[M_co] = models.QuerySet(self.model, self.query.chain(), using=self.db)
        with transaction.atomic(using=self.db, savepoint=False):
            return sum(
                rows.filter(pk=obj.pk).update(**{f.name: _column_of(obj, f) for f in written})
                for obj in objs
            )

    def update(self, **kwargs: Any) -> int:
        """
        Update plain columns; a sealed one to NULL, or to what `pre_save` sealed for one row.

        :raises FieldError: a sealed column would be given anything else, or its row another patient
        """
        rows: SealedQuerySet[M_co] = self
        for field in sealed_fields(self.model):
            value = kwargs.get(field.name)
            if fault := _fault_of_update(field, kwargs):
                del value
                kwargs.clear()  # a traceback shows the variables of this frame
                field.refuse(fault)
            if value is not None:
                rows = rows.filter(pk=value.row)  # in any other it could not be read
        try:
            return models.QuerySet.update(rows, **kwargs)
        except FieldError:
            kwargs.clear()  # likewise
            raise

    def _sealed_for(self, objs: Collection[M_co]) -> Iterator[UUID]:
        """Yield the subjects these objects hold values of, as often as they do."""
        for field in sealed_fields(self.model):
            attname, whose = field.attname, field.subject_attname
            held = [known for known in map(vars, objs) if known.get(attname) is not None]
            subjects = [field.fixed] if field.fixed and held else [one.get(whose) for one in held]
            yield from [one for one in subjects if isinstance(one, UUID)]

    def _fetch_all(self) -> None:
        with lists.together():
            super()._fetch_all()

    def _iterator(self, use_chunked_fetch: bool, chunk_size: int | None) -> Iterator[M_co]:
        rows = super()._iterator(use_chunked_fetch, chunk_size)  # type: ignore[misc]
        while True:
            with lists.together():
                some = list(islice(rows, chunk_size or _LOADED))
            if not some:
                return
            yield from some


def _fault_of_update(field: SealedField, kwargs: Mapping[str, Any]) -> str:
    if not field.placed_by.isdisjoint(kwargs):
        return "用 update() 移到别的行或患者，请逐行 save()"
    value = kwargs.get(field.name)
    if value is None or (
        isinstance(value, Sealed) and value.row is not None and value.subject is not None
    ):
        return ""
    return "用 update() 写入，请赋值后 save()"


class SealedModel(models.Model):
    """A model whose blind indexes follow its sealed fields, whatever is saved."""

    objects = SealedQuerySet.as_manager()

    class Meta:
        abstract = True

    def save_base(
        self,
        raw: bool = False,
        force_insert: bool | tuple[ModelBase, ...] = False,
        force_update: bool = False,
        using: str | None = None,
        update_fields: Iterable[str] | None = None,
    ) -> None:
        # An instance loaded in part, which writes no more than that part, passes here as well.
        if update_fields:
            update_fields = frozenset(written_with(type(self), update_fields))
        super().save_base(raw, force_insert, force_update, using, update_fields)


def sealed_fields(model: type[models.Model]) -> list[SealedField]:
    """Return the sealed fields of a model, its parents' included."""
    return [field for field in model._meta.concrete_fields if isinstance(field, SealedField)]


def written_with(model: type[models.Model], names: Iterable[str]) -> list[str]:
    """
    Return these fields and those that have to be written with them.

    A row given to another patient is sealed for them; what is sealed anew is indexed anew.
    """
    written, sealed = dict.fromkeys(names), sealed_fields(model)
    for field in sealed:
        if not field.placed_by.isdisjoint(written):
            written[field.name] = None
    if any(field.name in written for field in sealed):
        for index in blind_indexes(model):
            written |= dict.fromkeys(index.columns)
    return list(written)


def _column_of(instance: models.Model, field: Any) -> Any:
    """Return what goes into the column; only ours are told to work it out from the row."""
    if isinstance(field, SealedField) or isinstance(getattr(field, "index", None), BlindIndex):
        return field.pre_save(instance, add=False)
    return getattr(instance, field.attname)
