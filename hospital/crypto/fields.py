"""
A model field whose column only ever holds sealed values.

Reading opens lazily, on attribute access. Writing seals in `pre_save`, where the row and
the patient are known. Whatever would carry plaintext anywhere else (a query, a pickle, a
fixture, a `repr`) meets a mask or an error.
"""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from functools import cached_property, partial, wraps
from typing import TYPE_CHECKING, Any, Final, NoReturn
from uuid import UUID

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Col
from django.db.models.lookups import IsNull
from django.db.models.query_utils import DeferredAttribute

from hospital.crypto import keyring
from hospital.crypto.columns import SealedCol, SealedIsNull
from hospital.crypto.sealing import Place
from hospital.crypto.texts import Pending, Sealed, mask, open_text, seal_text

__all__ = ["Sealed", "SealedField", "Unplaced", "open_text", "seal_text"]

if TYPE_CHECKING:
    _TextField = models.Field[str | None, str | None]
else:
    _TextField = models.Field


class Unplaced(Exception):
    """A value cannot be sealed before its row and its patient are known."""


# While refresh_from_db copies attributes between instances, sealed values are not opened.
_copying: Final[ContextVar[bool]] = ContextVar("copying sealed values", default=False)


class SealedAttribute(DeferredAttribute):
    """Opens on reading, refuses anything but text on writing."""

    field: "SealedField"

    def __get__(self, instance: models.Model | None, cls: type | None = None) -> Any:
        if instance is None:
            return self
        if self.field.attname not in instance.__dict__:
            instance.refresh_from_db(fields=[self.field.attname])
        held = instance.__dict__[self.field.attname]
        if held is None or (_copying.get() and isinstance(held, Sealed)):
            return held
        return self.field.text_of(held, instance)

    def __set__(self, instance: models.Model, value: object) -> None:
        instance.__dict__[self.field.attname] = self.field.hold(value, instance)


class SealedField(_TextField):
    """
    Text, sealed for one patient, column and row; read back as `str`.

    `context` is a label such as ``patient.name``, unique in the project and never
    changed. `subject` says whose key seals: ``"pk"`` the row itself is the patient, the
    attname of a foreign key to one, or a fixed UUID. `max_length` counts characters.
    `searchable` is the sentence added to a refused query, saying what to use instead.
    None is NULL; the empty string is a value, sealed like any other.
    """

    empty_strings_allowed = False
    descriptor_class = SealedAttribute
    non_db_attrs = (*models.Field.non_db_attrs, "context", "subject", "max_length")
    description = "封存的文本"

    def __init__(
        self,
        *args: Any,
        context: str,
        subject: str | UUID = "pk",
        searchable: str = "",
        **kwargs: Any,
    ) -> None:
        kwargs["editable"] = False
        super().__init__(*args, **kwargs)
        self.context = context
        self.subject = subject
        self.searchable = searchable

    def deconstruct(self) -> tuple[str, str, Sequence[Any], dict[str, Any]]:
        name, path, args, kwargs = super().deconstruct()
        del kwargs["editable"]
        kwargs["context"] = self.context
        if self.subject != "pk":
            kwargs["subject"] = self.subject
        return name, path, args, kwargs

    def get_internal_type(self) -> str:
        return "BinaryField"

    def contribute_to_class(
        self,
        cls: type[models.Model],
        name: str,
        private_only: bool = False,
    ) -> None:
        super().contribute_to_class(cls, name, private_only)
        _refresh_without_opening(cls)

    def formfield(self, *_: Any, **__: Any) -> None:
        return None

    # Between the instance and its text.

    def hold(self, value: object, instance: models.Model) -> Sealed | Pending | None:
        """
        Return what the instance keeps for an assigned or loaded value.

        :raises TypeError: not text; expressions are not, either
        :raises ValueError: a mask, read back from somewhere it was shown
        :raises FieldError: sealed for another column
        """
        match value:
            case None | Pending():
                return value
            case Sealed():
                return self._anchored(value, instance)
            case str():
                if value == mask(self.context):
                    raise ValueError(f"{self.context}: a mask is not a value")
                return Pending(value, self.context)
        raise TypeError(f"{self.context} takes text, not {type(value).__name__}")

    def text_of(self, held: Sealed | Pending, instance: models.Model) -> str:
        """
        Open what the instance keeps.

        :raises Unopenable: in its many forms
        :raises KeyUnavailable:
        """
        if isinstance(held, Pending):
            return held.text
        place = self._place_of(held, instance)
        return open_text(held.blob, context=self.context, row=place.row, subject=place.subject)

    def pre_save(self, model_instance: models.Model, add: bool) -> Sealed | None:
        """
        Return the sealed value for the row being saved.

        Text just assigned is sealed; a value loaded for this very place passes as it is,
        without needing its key; one loaded for another (the instance was given a new
        primary key) is sealed again.

        :raises Unplaced: the patient or the row is not known
        :raises ValueError: longer than `max_length`
        """
        if self.attname not in model_instance.__dict__:
            model_instance.refresh_from_db(fields=[self.attname])
        held = model_instance.__dict__[self.attname]
        if held is None:
            return None
        place = self._place_of(None, model_instance)
        if isinstance(held, Sealed) and self._place_of(held, model_instance) == place:
            return held
        sealed = self._seal(self.text_of(held, model_instance), place)
        if isinstance(held, Pending):
            held.sealed = sealed
        keyring.when_durable(partial(self._settle, model_instance, held, sealed))
        return sealed

    def _seal(self, text: str, place: Place) -> Sealed:
        if self.max_length is not None and len(text) > self.max_length:
            raise ValueError(f"{self.context}: longer than {self.max_length} characters")
        blob = seal_text(text, context=self.context, row=place.row, subject=place.subject)
        return Sealed(blob, self.context, place.subject, place.row)

    def _settle(self, instance: models.Model, held: object, sealed: Sealed) -> None:
        if instance.__dict__.get(self.attname) is held:
            instance.__dict__[self.attname] = sealed

    def _anchored(self, value: Sealed, instance: models.Model) -> Sealed:
        if value.context != self.context:
            raise FieldError(f"{mask(value.context)} does not belong in {self.context}")
        if value.row is not None and value.subject is not None:
            return value
        known = instance.__dict__
        row = value.row or _uuid(known.get(self._row_attname))
        subject = value.subject or (
            self.subject
            if isinstance(self.subject, UUID)
            else _uuid(known.get(self._subject_attname))
        )
        return Sealed(value.blob, self.context, subject, row)

    def _place_of(self, held: Sealed | None, instance: models.Model) -> Place:
        row = (held and held.row) or _uuid(getattr(instance, self._row_attname))
        subject = (held and held.subject) or (
            self.subject
            if isinstance(self.subject, UUID)
            else _uuid(getattr(instance, self._subject_attname))
        )
        if row is None or subject is None:
            raise Unplaced(f"{self.context}: the row and the subject come first")
        return Place(context=self.context, subject=subject, row=row)

    @cached_property
    def _row_attname(self) -> str:
        return str(self.model._meta.pk.attname)

    @cached_property
    def _subject_attname(self) -> str:
        return self._row_attname if self.subject == "pk" else str(self.subject)

    # Between the instance and the database.

    def from_db_value(
        self,
        value: object,
        expression: Any,
        connection: BaseDatabaseWrapper,
    ) -> Sealed | None:
        if value is None:
            return None
        if isinstance(value, str):  # a text in a binary column; SQLite permits it
            value = value.encode(errors="surrogatepass")
        return Sealed(bytes(value), self.context)  # type: ignore[call-overload]

    def get_db_prep_save(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        # The inherited method lets any expression through.
        return self.get_db_prep_value(value, connection)

    def get_db_prep_value(
        self,
        value: Any,
        connection: BaseDatabaseWrapper,
        prepared: bool = False,
    ) -> Any:
        """
        Let sealed values pass.

        :raises FieldError: anything else, whatever path it came by
        """
        if value is None:
            return None
        if not isinstance(value, Sealed) or value.context != self.context:
            raise FieldError(f"{self.context} is sealed: assign the attribute and save()")
        return connection.Database.Binary(value.blob)  # type: ignore[attr-defined]

    def get_lookup(self, lookup_name: str) -> type[IsNull]:
        if lookup_name != "isnull":
            self.refuse(f"查询条件 {lookup_name}")
        return SealedIsNull

    def get_transform(self, lookup_name: str) -> NoReturn:
        self.refuse(f"查询条件 {lookup_name}")

    def get_col(self, alias: Any, output_field: Any = None) -> Col:
        return SealedCol(alias, self, output_field)

    @cached_property
    def cached_col(self) -> Col:
        return SealedCol(self.model._meta.db_table, self)

    def refuse(self, what: str) -> NoReturn:
        """:raises FieldError: always, naming the field and what can be searched."""
        hint = f"；{self.searchable}" if self.searchable else ""
        raise FieldError(f"{self.context} 已封存，不能{what}{hint}")

    # Wherever else Django would take the value from.

    def to_python(self, value: Any) -> Any:
        if value == mask(self.context):
            raise ValidationError("遮盖后的内容不能作为数据载入", code="masked")
        return value

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """
        Judge a text without quoting it.

        :raises ValidationError: null, blank or too long
        """
        value = self.to_python(value)
        if value is None and not self.null:
            raise ValidationError("此字段不能为空", code="null")
        if value == "" and not self.blank:
            raise ValidationError("此字段不能为空白", code="blank")
        if value is not None and self.max_length is not None and len(value) > self.max_length:
            raise ValidationError(f"不能超过 {self.max_length} 个字符", code="max_length")
        return value

    def value_from_object(self, obj: models.Model) -> str | None:
        held = obj.__dict__.get(self.attname, ...)
        return None if held is None else mask(self.context)

    def value_to_string(self, obj: models.Model) -> str:
        return str(self.value_from_object(obj))

    # Declaration.

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        return [*super().check(**kwargs), *self._check_options(), *self._check_place()]

    def _check_options(self) -> list[CheckMessage]:
        refused = {
            "primary_key": self.primary_key,
            "unique": self._unique,  # type: ignore[attr-defined]
            "db_index": self.db_index,  # type: ignore[attr-defined]
            "choices": self.choices is not None,
            "db_default": self.has_db_default(),
        }
        return [
            Error(f"封存字段不支持 {option}", obj=self, id="crypto.E001")
            for option, given in refused.items()
            if given
        ]

    def _check_place(self) -> list[CheckMessage]:
        meta = self.model._meta
        key: Any = meta.pk
        while key.remote_field:
            key = key.target_field
        if not isinstance(key, models.UUIDField):
            return [Error("封存字段所在模型的主键必须是 UUID", obj=self, id="crypto.E002")]
        if isinstance(self.subject, UUID):
            return []
        order = [one.attname for one in meta.concrete_fields]
        if self._subject_attname not in order:
            return [Error(f"没有主体字段 {self.subject}", obj=self, id="crypto.E003")]
        if order.index(self._row_attname) > order.index(self.attname):
            return [Error("主键必须声明在封存字段之前", obj=self, id="crypto.E004")]
        return []


def _uuid(value: Any) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else UUID(str(value))


def _refresh_without_opening(cls: type[models.Model]) -> None:
    refresh: Callable[..., None] = cls.refresh_from_db
    if getattr(refresh, "keeps_sealed", False):
        return

    @wraps(refresh)
    def refresh_from_db(self: models.Model, *args: Any, **kwargs: Any) -> None:
        token = _copying.set(True)
        try:
            refresh(self, *args, **kwargs)
        finally:
            _copying.reset(token)

    refresh_from_db.keeps_sealed = True  # type: ignore[attr-defined]
    cls.refresh_from_db = refresh_from_db  # type: ignore[method-assign]
