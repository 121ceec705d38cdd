"""
Finding what is sealed, by a keyed digest of the whole value.

Only for values that are nearly unique: a document number, or a full name with a birth
date. A digest of a surname, a prefix, a ward or a year is read back by counting; a check
refuses to make one.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from functools import cached_property, partial, wraps
from typing import Any, Final, ParamSpec, TypeVar

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldError
from django.db import models
from django.db.models import Q

from hospital.crypto.data_keys import SubjectForgotten
from hospital.crypto.index_keys import IndexKeys, IndexSecret, index_keys
from hospital.crypto.normalising import OPAQUE, Normaliser, named
from hospital.crypto.sealing import pack
from hospital.prepared import Prepared

DIGEST_BITS: Final = 128  # what must be unique

_HEX: Final = re.compile("[0-9a-f]+")

P = ParamSpec("P")
R = TypeVar("R")


def discreet(act: Callable[P, R]) -> Callable[P, R]:
    """Let an error leave `act` without the frames that hold what it was given."""

    @wraps(act)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        fault: Exception
        try:
            return act(*args, **kwargs)
        except UnicodeError:  # quotes the value
            fault = ValueError("a value to be indexed is not Unicode text")
        except Exception as exc:  # noqa: BLE001 (whatever it is, it goes on)
            fault = exc.with_traceback(None)
        del args, kwargs
        raise fault

    return call


class Spread(Enum):
    """How many values a part of an index takes among a million people."""

    UNIQUE = "nearly as many as people: a document number"
    WIDE = "thousands, some much more frequent than others: a full name, a birth date"
    NARROW = "few enough to be counted: a surname, a sex, a ward, a year, an appid"


class BlindIndex:
    """
    Two columns of digests by which rows are found, and are unique.

    One column is in use; a rotation fills the other before the first is emptied. Both are
    written with the row, whatever path it is saved by.

    :param label: names the key, for ever; one label has one number of bits
    :param column: the first column; the second is ``<column>_b``
    :param parts: what is digested, in order, and how much each part varies
    :param of: the method of the model that returns the parts' values, or None for no digest
    :param bits: the leftmost bits that are kept, a multiple of 4 up to 256
    :param outlives: a field that, once it is set, says that what was digested is gone on purpose
        and its digest stays as it is, until a rotation drops what it cannot make anew
    """

    def __init__(
        self,
        label: str,
        *,
        column: str,
        parts: dict[str, Spread],
        of: str,
        normaliser: Normaliser = OPAQUE,
        bits: int = DIGEST_BITS,
        unique: bool = False,
        outlives: str = "",
    ) -> None:
        self.label = label
        self.columns = (column, f"{column}_b")
        self.parts = parts
        self.of = of
        self.normaliser = normaliser
        self.bits = bits
        self.unique = unique
        self.outlives = outlives

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        self.name = name
        self.model = cls
        setattr(cls, name, self)
        if cls._meta.abstract:
            raise TypeError(f"{self.label}: an index belongs to one concrete model")
        for slot, column in enumerate(self.columns):
            cls.add_to_class(column, _Slot(index=self, slot=slot))

    def keys(self) -> IndexKeys:
        """
        Return the versions of this index that are alive.

        :raises KeyUnavailable, WrongKey:
        """
        return index_keys(self.label, normaliser=self.normaliser.name)

    @discreet
    def matching(self, *values: str) -> Q:
        """
        Return the condition that finds rows by these values.

        :raises ValueError: a value is not Unicode text
        :raises KeyUnavailable, WrongKey:
        """
        secret = self.keys().active
        return Q(**{self.columns[secret.slot]: self.digest(secret, values)})

    @discreet
    def first(self, *values: str) -> models.Model | None:
        """
        Return a row with these values, if there is one; its query is written once in a process.

        :raises ValueError: a value is not Unicode text
        :raises KeyUnavailable, WrongKey:
        """
        secret = self.keys().active
        return self._found[secret.slot].first(self.digest(secret, values))

    @cached_property
    def _found(self) -> list[Prepared[models.Model]]:
        none = "0" * (self.bits // 4)
        return [Prepared(partial(self._with, column), like=none) for column in self.columns]

    def _with(self, column: str, digest: str) -> models.QuerySet[models.Model]:
        rows: models.QuerySet[models.Model] = models.QuerySet(self.model)
        return rows.filter(**{column: digest})

    def is_left_alone(self, instance: models.Model) -> bool:
        """Whether the digests of this row stay, though what they were made of is gone."""
        return bool(self.outlives) and getattr(instance, self.outlives) is not None

    @discreet
    def digest_of(self, instance: models.Model, secret: IndexSecret) -> str | None:
        """Return what the column of this version should hold for a row; None for nothing."""
        try:
            values: Sequence[str] | None = getattr(instance, self.of)()
        except SubjectForgotten:
            return None
        return None if values is None else self.digest(secret, values)

    def digest(self, secret: IndexSecret, values: Sequence[str]) -> str:
        """
        Return the digest of `values` under one version, as lowercase hex.

        :raises ValueError: a value is not Unicode text
        """
        return digest(secret, self.label, values, bits=self.bits)

    def check(self) -> list[CheckMessage]:
        spreads = list(self.parts.values())
        found: list[CheckMessage] = []
        if Spread.UNIQUE not in spreads and spreads.count(Spread.WIDE) < 2:  # noqa: PLR2004
            found.append(
                Error(
                    f"盲索引 {self.label} 的取值可以被数出来",
                    hint="须含一个几乎唯一的部分（证件号码），或两个取值分散的部分（姓名＋出生日期）",
                    obj=self.model,
                    id="crypto.E008",
                )
            )
        if self.bits % 4 or not 0 < self.bits <= 256 or (self.unique and self.bits < DIGEST_BITS):  # noqa: PLR2004
            found.append(
                Error(f"盲索引 {self.label} 的位数不合适", obj=self.model, id="crypto.E009")
            )
        return found


class _Slot(models.CharField):  # type: ignore[type-arg]
    """One column of a blind index; to a migration a plain one."""

    def __init__(
        self, *args: Any, index: BlindIndex | None = None, slot: int = 0, **kwargs: Any
    ) -> None:
        if index is not None:
            kwargs |= {
                "max_length": index.bits // 4,
                "unique": index.unique,
                "db_index": not index.unique,
                "null": True,
                "editable": False,
            }
        super().__init__(*args, **kwargs)
        self.index = index
        self.slot = slot

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, _path, args, kwargs = super().deconstruct()
        return name, "django.db.models.CharField", args, kwargs

    def get_prep_value(self, value: Any) -> Any:
        """
        Let digests pass.

        :raises FieldError: anything else, which may be what the digest is of
        """
        if self.index is None or value is None:
            return value
        if isinstance(value, str) and len(value) == self.max_length and _HEX.fullmatch(value):
            return value
        del value  # a traceback shows the variables of this frame
        raise FieldError(f"{self.name} holds digests: ask {self.index.label} for one")

    def pre_save(self, model_instance: models.Model, add: bool) -> str | None:
        """
        Digest the row anew: what an instance was loaded with may be of another version.

        :raises KeyUnavailable, WrongKey:
        """
        if self.index is None or self.index.is_left_alone(model_instance):
            return getattr(model_instance, self.attname)  # type: ignore[no-any-return]
        secret = self.index.keys().written_to(self.slot)
        value = self.index.digest_of(model_instance, secret) if secret else None
        setattr(model_instance, self.attname, value)
        return value


@discreet
def token_digests(label: str, token: str) -> tuple[str, ...]:
    """
    Return the digests a short-lived random token may be kept under: write the first, find by any.

    There is no filling a second column of digests whose tokens are not kept. So after a
    rotation both versions are looked for, until the tokens of the older one are all void.

    :raises ValueError: the token is not Unicode text
    :raises KeyUnavailable, WrongKey:
    """
    keys = index_keys(label, normaliser=OPAQUE.name)
    ordered = sorted(keys.versions, key=lambda one: one is not keys.active)
    return tuple(digest(one, label, (token,), bits=DIGEST_BITS) for one in ordered)


@discreet
def digest(secret: IndexSecret, label: str, values: Sequence[str], *, bits: int) -> str:
    """
    Return the leftmost `bits` of the keyed digest of `values`, as lowercase hex.

    :raises ValueError: a value is not Unicode text
    """
    rule = named(secret.normaliser)
    parts = [rule.apply(value).encode() for value in values]
    message = pack(b"hfe-ix", label.encode(), rule.name.encode(), *parts)
    return secret.mac.digest(message).hex()[: bits // 4]


def blind_indexes(model: type[models.Model]) -> list[BlindIndex]:
    """Return the blind indexes a model has, its parents' included."""
    return [one for one in _attributes(model) if isinstance(one, BlindIndex)]


def _attributes(model: type[models.Model]) -> list[Any]:
    return [value for cls in model.__mro__ for value in vars(cls).values()]
