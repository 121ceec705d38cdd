"""
A sealed field's attribute on an instance: what it keeps, and what it shows.

The instance keeps a `Sealed` as the database has it, or a `Pending` with text just assigned.
Reading opens, each time, and keeps nothing of what it read.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, Final
from uuid import UUID

from django.db import models
from django.db.models.query_utils import DeferredAttribute

from hospital.crypto.keyring import durable_key_of
from hospital.crypto.lists import current
from hospital.crypto.sealing import Tampered, begin_of, unseal_with
from hospital.crypto.texts import Pending, Sealed, opened

# While attributes are copied between instances, or into a query, nothing is opened.
_copying: Final[ContextVar[bool]] = ContextVar("copying sealed values", default=False)


class _Begins(dict[bytes, bytes]):
    """`begin_of` each header a context has met: a few, and a function takes longer to call."""

    def __init__(self, context: str) -> None:
        super().__init__()
        self._context = context

    def __missing__(self, header: bytes) -> bytes:
        begin = self[header] = begin_of(header, self._context)
        return begin


class SealedAttribute(DeferredAttribute):
    """Opens on reading, refuses anything but text on writing."""

    field: Any  # a SealedField

    def __init__(self, field: Any) -> None:
        super().__init__(field)
        self.attname, self.context = field.attname, field.context
        self.begins = _Begins(field.context)
        self.is_own, self.fixed = field.is_own, field.fixed
        self.row_attname = self.subject_attname = ""  # the field does not know them yet

    def __get__(self, instance: models.Model | None, cls: type | None = None) -> Any:
        if instance is None:
            return self
        held = instance.__dict__.get(self.attname, ...)
        if type(held) is Sealed and not _copying.get():
            blob, subject, row = held.blob, held.subject, held.row
            if subject is not None and row is not None:
                secret = durable_key_of(subject.int)
                if secret is not None and blob[:8] == (header := secret.header):
                    # Almost always so: the newest key, and at hand. What is wrong, `opened` says.
                    begin = self.begins[header]
                    try:
                        return unseal_with(secret.key, blob, begin, subject, row).decode()
                    except (Tampered, UnicodeDecodeError):
                        pass
                return opened(blob, self.context, subject, row, held.fetched)
        if held is ...:
            held = held_by(instance, self.attname)
        if held is None or (type(held) is Sealed and _copying.get()):
            return held
        return text_of(held, instance, self.field)

    def __set__(self, instance: models.Model, value: Any) -> None:
        """
        Keep text to be sealed, or what the database loads.

        :raises TypeError, ValueError, FieldError: as `SealedField.hold` says
        """
        known = instance.__dict__
        if type(value) is Sealed and value.row is None and value.context == self.context:
            # As the database loads it: here passes every value of every row.
            row = known.get(self.row_attname or self._learn())
            subject = row if self.is_own else self.fixed or known.get(self.subject_attname)
            if type(row) is UUID and type(subject) is UUID:
                value.row, value.subject = row, subject
                value.fetched = fetched = current.get()
                if fetched is not None:
                    fetched.add(subject)
                known[self.attname] = value
                return
        held = self.field.hold(value, instance)
        if isinstance(held, Exception):
            del value  # a traceback shows the variables of this frame
            raise held
        known[self.attname] = held

    def _learn(self) -> str:
        self.subject_attname, self.row_attname = self.field.subject_attname, self.field.row_attname
        return self.row_attname


def held_by(instance: models.Model, attname: str) -> Any:
    """Return what the instance keeps, a `Sealed`, `Pending` or None; loaded if it was deferred."""
    known = instance.__dict__
    if attname not in known:
        instance.refresh_from_db(fields=[attname])
    return known[attname]


def text_of(held: Sealed | Pending, instance: models.Model, field: Any) -> str:
    """
    Open what an instance keeps.

    :raises Unopenable: in its many forms
    :raises KeyUnavailable, Unplaced:
    """
    if isinstance(held, Pending):
        return held.text
    row, subject = field.place_of(instance, held)
    return opened(held.blob, held.context, subject, row)


@contextmanager
def unopened() -> Iterator[None]:
    """Let sealed attributes be read as the sealed values they are."""
    token = _copying.set(True)
    try:
        yield
    finally:
        _copying.reset(token)


def refresh_unopened(cls: type[models.Model]) -> None:
    """Let `refresh_from_db` of this model copy sealed values as they are."""
    refresh: Callable[..., None] = cls.refresh_from_db
    if getattr(refresh, "keeps_sealed", False):
        return

    @wraps(refresh)
    def refresh_from_db(self: models.Model, *args: Any, **kwargs: Any) -> None:
        with unopened():
            refresh(self, *args, **kwargs)

    refresh_from_db.keeps_sealed = True  # type: ignore[attr-defined]
    cls.refresh_from_db = refresh_from_db  # type: ignore[method-assign]
