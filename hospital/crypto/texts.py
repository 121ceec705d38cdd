"""Text sealed for its place, and what stands in for it in memory: nothing that shows it."""

from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from hospital.crypto import keyring
from hospital.crypto.keyring import SYSTEM_SUBJECT
from hospital.crypto.sealing import Place, generation_of, seal, unseal


def mask(context: str) -> str:
    """Return what is shown wherever a sealed value is not meant to be read."""
    return f"<sealed {context}>"


def seal_text(text: str, *, context: str, row: UUID, subject: UUID = SYSTEM_SUBJECT) -> bytes:
    """
    Seal a text that is kept somewhere else than in a `SealedField`, such as a cache.

    If this made the subject's key in a transaction that then rolls back, the bytes
    cannot be opened: a reader treats `Unopenable` as an absent value.

    :raises ValueError: not Unicode text
    :raises SubjectForgotten, KeyUnavailable, WrongKey:
    """
    secret = keyring.data_key(subject)
    return seal(
        _utf8(text, context),
        key=secret.key,
        suite=secret.suite,
        generation=secret.generation,
        place=Place(context=context, subject=subject, row=row),
    )


def open_text(blob: bytes, *, context: str, row: UUID, subject: UUID = SYSTEM_SUBJECT) -> str:
    """
    Return the text sealed for this context, row and subject.

    :raises NotSealed, UnsupportedSuite, Tampered:
    :raises SubjectForgotten, UnknownKey, KeyUnavailable, WrongKey:
    """
    secret = keyring.data_key_of(subject, generation_of(blob))
    place = Place(context=context, subject=subject, row=row)
    return unseal(blob, key=secret.key, place=place).decode()


def _utf8(text: str, context: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:
        # The original would carry the text.
        raise ValueError(f"{context}: not Unicode text") from None


@dataclass(frozen=True, slots=True, repr=False)
class Sealed:
    """
    A value as the database has it, and the place it was loaded from.

    `subject` and `row` are None when that is not known: outside an instance, or when
    the attribute naming the subject was deferred.
    """

    blob: bytes
    context: str
    subject: UUID | None = field(default=None, compare=False)
    row: UUID | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return mask(self.context)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)


class Pending:
    """
    Text assigned to an instance, until the key it is sealed with is committed.

    Kept that long because sealing may have made the key: if the transaction rolls back,
    the next save has to seal the text again.
    """

    __slots__ = ("context", "sealed", "text")

    def __init__(self, text: str, context: str) -> None:
        self.text = text
        self.context = context
        self.sealed: Sealed | None = None

    def __repr__(self) -> str:
        return mask(self.context)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pending":
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        if self.sealed is None:
            raise TypeError(f"{self.context} is not saved yet, and its text is not pickled")
        sealed = self.sealed
        return Sealed, (sealed.blob, sealed.context, sealed.subject, sealed.row)
