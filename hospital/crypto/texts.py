"""
Text sealed for its place, and what stands in for it in memory: nothing that shows it.

Our own frames hold no text while they may raise: a debug page, or whatever else collects
errors, shows the local variables of every frame. What callers keep in theirs is up to them.
"""

from typing import TYPE_CHECKING, Any
from uuid import UUID

from hospital.crypto import keyring
from hospital.crypto.keyring import SYSTEM_SUBJECT, DataSecret
from hospital.crypto.sealing import Tampered, begin_of, generation_of, seal_with, unseal

if TYPE_CHECKING:
    from hospital.crypto.lists import Fetched


def mask(context: str) -> str:
    """Return what is shown wherever a sealed value is not meant to be read."""
    return f"<sealed {context}>"


class Sealed:
    """
    A value as the database has it, and the place it was loaded from.

    `subject` and `row` are None when that is not known: outside an instance, or when
    the attribute naming the subject was deferred. `fetched`, the list it came with, is set
    with the place.
    """

    __slots__ = ("blob", "context", "fetched", "row", "subject")

    blob: bytes
    context: str
    subject: UUID | None
    row: UUID | None
    fetched: "Fetched | None"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Sealed):
            return NotImplemented
        return (self.blob, self.context) == (other.blob, other.context)

    def __hash__(self) -> int:
        return hash((self.blob, self.context))

    def __repr__(self) -> str:
        return mask(self.context)

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __reduce__(self) -> tuple[Any, ...]:
        return placed, (self.blob, self.context, self.subject, self.row)


def placed(blob: bytes, context: str, subject: UUID | None, row: UUID | None) -> Sealed:
    """Return what is sealed for this place."""
    sealed = Sealed()
    sealed.blob = blob
    sealed.context = context
    sealed.subject = subject
    sealed.row = row
    sealed.fetched = None
    return sealed


class Pending:
    """
    Text on its way to be sealed.

    An instance keeps it until the key it is sealed with is committed: sealing may have made
    that key, and if the transaction rolls back, the next save has to seal the text again.
    """

    __slots__ = ("context", "sealed", "text")

    def __init__(self, text: str, context: str) -> None:
        self.text = text
        self.context = context
        self.sealed: Sealed | None = None

    def seal(self, secret: DataSecret, subject: UUID, row: UUID) -> Sealed:
        """
        Return the text sealed for this place.

        :raises ValueError: not Unicode text
        """
        context, header = self.context, secret.header
        begin = begin_of(header, context)
        try:
            blob = seal_with(secret.key, header, self.text.encode(), begin, subject, row)
        except UnicodeEncodeError:
            pass
        else:
            self.sealed = sealed = placed(blob, context, subject, row)
            return sealed
        # Out here, since the original carries the text.
        raise ValueError(f"{context}: not Unicode text")

    def __repr__(self) -> str:
        return mask(self.context)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Pending":
        return self

    def __getstate__(self) -> object:
        raise TypeError(f"the state of {mask(self.context)} is its text")

    def __reduce__(self) -> tuple[Any, ...]:
        if self.sealed is None:
            raise TypeError(f"{self.context} is not saved yet, and its text is not pickled")
        return self.sealed.__reduce__()


def seal_text(text: str, *, context: str, row: UUID, subject: UUID = SYSTEM_SUBJECT) -> bytes:
    """
    Seal a text that is kept somewhere else than in a `SealedField`, such as a cache.

    If this made the subject's key in a transaction that then rolls back, the bytes
    cannot be opened: a reader treats `Unopenable` as an absent value.

    :raises ValueError: not Unicode text
    :raises SubjectForgotten, KeyUnavailable, WrongKey:
    """
    pending = Pending(text, context)
    del text
    return pending.seal(keyring.data_key(subject), subject, row).blob


def open_text(blob: bytes, *, context: str, row: UUID, subject: UUID = SYSTEM_SUBJECT) -> str:
    """
    Return the text sealed for this context, row and subject.

    :raises NotSealed, UnsupportedSuite, Tampered:
    :raises SubjectForgotten, UnknownKey, KeyUnavailable, WrongKey:
    """
    return opened(blob, context, subject, row)


def opened(
    blob: bytes, context: str, subject: UUID, row: UUID, fetched: "Fetched | None" = None
) -> str:
    """
    Do as `open_text`; if the key is missing, fetch those of the list the value came with.

    :raises NotSealed, UnsupportedSuite, Tampered:
    :raises SubjectForgotten, UnknownKey, KeyUnavailable, WrongKey:
    """
    generation = generation_of(blob)
    secret = keyring.remembered(subject, generation)
    if secret is None:
        if fetched is not None:
            fetched.prefetch(subject)
        secret = keyring.data_key_of(subject, generation)
    try:
        plaintext = unseal(blob, key=secret.key, context=context, subject=subject, row=row)
    except Tampered:
        keyring.vouch(subject, generation)
        raise
    try:
        return plaintext.decode()
    except UnicodeDecodeError:
        del plaintext
    # Sealed by somebody who does not seal text. Out here, since the original carries it.
    raise Tampered
