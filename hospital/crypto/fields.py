"""
A model field whose column only ever holds sealed values.

Reading opens lazily, on attribute access. Writing seals in `pre_save`, where the row and
the patient are known. Whatever would carry plaintext anywhere else (a query, a pickle, a
fixture, a `repr`) meets a mask or an error.
"""

from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NoReturn
from uuid import UUID

from django.core.checks import CheckMessage, Error
from django.core.exceptions import FieldError, ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.constants import OnConflict
from django.db.models.expressions import Col
from django.db.models.lookups import IsNull
from django.db.models.sql.compiler import SQLCompiler

from hospital.crypto import keyring
from hospital.crypto.attributes import SealedAttribute, held_by, refresh_unopened, text_of
from hospital.crypto.columns import SealedCol, SealedIsNull
from hospital.crypto.texts import Pending, Sealed, mask, open_text, placed, seal_text

__all__ = ["Sealed", "SealedField", "Unplaced", "open_text", "seal_text"]

if TYPE_CHECKING:
    _TextField = models.Field[str | None, str | None]
else:
    _TextField = models.Field


class Unplaced(Exception):
    """A value cannot be sealed before its row and its patient are known."""


class SealedField(_TextField):
    """
    Text, sealed for one patient, column and row; read back as `str`.

    `context` is a label such as ``patient.name``, unique in the project and never
    changed. `subject` says whose key seals: ``"pk"`` the row itself is the patient, the
    attname of a foreign key to one, or a fixed UUID. `max_length` counts characters.
    `searchable` is added to a refused query and says what to use instead.
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
        self.is_own = subject == "pk"
        self.fixed = subject if isinstance(subject, UUID) else None
        self.mask = mask(context)

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
        refresh_unopened(cls)

    def formfield(self, *_: Any, **__: Any) -> None:
        return None

    # Between the instance and its text.

    def hold(self, value: Any, instance: models.Model) -> Sealed | Pending | Exception | None:
        """
        Return what the instance keeps for an assigned or loaded value, or why it does not.

        TypeError: not text; expressions are not, either. ValueError: a mask, read back from
        somewhere it was shown. FieldError: sealed for another column. None is raised here,
        where a traceback would show the value.
        """
        if isinstance(value, str):
            if value == self.mask:
                return ValueError(f"{self.context}: a mask is not a value")
            return Pending(value, self.context)
        if value is None or isinstance(value, Pending):
            return value
        if isinstance(value, Sealed):
            return self._anchored(value, instance)
        return TypeError(f"{self.context} takes text, not {type(value).__name__}")

    def pre_save(self, model_instance: models.Model, add: bool) -> Sealed | None:
        """
        Return the sealed value for the row being saved.

        Text just assigned is sealed; a value loaded for this very place passes as it is,
        without needing its key; one loaded for another (the instance was given a new
        primary key), or sealed with an older key than is known by now, is sealed again.

        :raises Unplaced: the patient or the row is not known
        :raises ValueError: longer than `max_length`
        :raises UnknownKey: loaded before a rotation that has ended since; the row has another
        """
        held = held_by(model_instance, self.attname)
        if held is None:
            return None
        row, subject = self.place_in(model_instance.__dict__)
        if not isinstance(row, UUID) or not isinstance(subject, UUID):
            row, subject = self.place_of(model_instance)
        pending = held
        if type(held) is Sealed:
            if self.place_of(model_instance, held) == (row, subject) and not self._is_old(held):
                return held
            pending = Pending(text_of(held, model_instance, self), self.context)
        if self.max_length is not None and len(pending.text) > self.max_length:
            raise ValueError(f"{self.context}: longer than {self.max_length} characters")
        durable = keyring.durable_key_of(subject.int)
        secret = durable or keyring.data_key(subject)
        sealed: Sealed = pending.seal(secret, subject, row)
        if durable:
            model_instance.__dict__[self.attname] = sealed
        else:
            keyring.when_durable(partial(self._settle, model_instance, held, sealed))
        return sealed

    def _is_old(self, held: Sealed) -> bool:
        """Whether a rotation may remove the key of this value before it is written."""
        newest = keyring.durable_key_of(held.subject.int) if held.subject else None
        return newest is not None and held.blob[:8] != newest.header

    def _settle(self, instance: models.Model, held: object, sealed: Sealed) -> None:
        if instance.__dict__.get(self.attname) is held:
            instance.__dict__[self.attname] = sealed

    def _anchored(self, value: Sealed, instance: models.Model) -> Sealed | FieldError:
        if value.context != self.context:
            return FieldError(f"{mask(value.context)} does not belong in {self.context}")
        if value.row is not None and value.subject is not None:
            return value
        row, subject = self.place_in(instance.__dict__)
        return placed(
            value.blob, self.context, value.subject or _uuid(subject), value.row or _uuid(row)
        )

    def place_in(self, known: Mapping[str, Any]) -> tuple[Any, Any]:
        """Return the row and the subject as far as an instance's own attributes say them."""
        if self.is_own:
            row = known.get(self.row_attname)
            return row, row
        row = known.get(self.row_attname)
        return row, self.fixed or known.get(self.subject_attname)

    def place_of(self, instance: models.Model, held: Sealed | None = None) -> tuple[UUID, UUID]:
        """
        Return the row and the subject a value is sealed for, or is to be.

        :raises Unplaced: one of them is not known yet
        """
        row, subject = (held.row, held.subject) if held else self.place_in(instance.__dict__)
        if isinstance(row, UUID) and isinstance(subject, UUID):
            return row, subject
        row = _uuid(row) or _uuid(getattr(instance, self.row_attname))
        if self.is_own:
            subject = _uuid(subject) or row
        else:
            subject = _uuid(subject) or self.fixed or _uuid(getattr(instance, self.subject_attname))
        if row is None or subject is None:
            raise Unplaced(f"{self.context}: the row and the subject come first")
        return row, subject

    @cached_property
    def row_attname(self) -> str:
        return str(self.model._meta.pk.attname)

    @cached_property
    def subject_attname(self) -> str:
        return self.row_attname if self.is_own else str(self.subject)

    @cached_property
    def placed_by(self) -> frozenset[str]:
        """The names under which a row's key, and the subject, are written."""
        places = {self.row_attname, self.subject_attname}
        fields = [one for one in self.model._meta.concrete_fields if one.attname in places]
        return frozenset({"pk", *(name for one in fields for name in (one.name, one.attname))})

    # Between the instance and the database.

    def from_db_value(
        self,
        value: Any,
        expression: Any,
        connection: BaseDatabaseWrapper,
    ) -> Sealed | None:
        if type(value) is not bytes:
            if value is None:
                return None
            # PostgreSQL's are memoryviews. A text in a binary column: SQLite permits it.
            text = isinstance(value, str)
            value = value.encode(errors="surrogatepass") if text else bytes(value)
        sealed = Sealed()  # filled in here, since every value of every row passes
        sealed.blob = value
        sealed.context = self.context
        sealed.subject = sealed.row = None  # `fetched` comes with a place
        return sealed

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
        if type(value) is Sealed and value.context == self.context:
            return connection.Database.Binary(value.blob)  # type: ignore[attr-defined]
        del value  # a traceback shows the variables of this frame
        raise FieldError(f"{self.context} is sealed: assign the attribute and save()")

    get_db_prep_save = get_db_prep_value  # the inherited one lets any expression through

    def get_placeholder(
        self, value: Any, compiler: SQLCompiler, connection: BaseDatabaseWrapper
    ) -> str:
        """
        Let a value be inserted or updated.

        :raises FieldError: for `update_conflicts`: the row that is there keeps its key and its
            patient, and what was sealed for the new one could not be read in it
        """
        if getattr(compiler.query, "on_conflict", None) is OnConflict.UPDATE:
            self.refuse("用 update_conflicts 写入，请逐行 save()")
        return "%s"

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
        raise FieldError(f"{self.context} 已封存，不能{what}；{self.searchable or '它不能查找'}")

    # Wherever else Django would take the value from.

    def to_python(self, value: Any) -> Any:
        if value == self.mask:
            raise ValidationError("遮盖后的内容不能作为数据载入", code="masked")
        return value

    def clean(self, value: Any, model_instance: models.Model | None) -> Any:
        """
        Judge a text without quoting it.

        :raises ValidationError: null, blank or too long
        """
        fault = self._fault_of(self.to_python(value))
        if fault is not None:
            del value  # a traceback shows the variables of this frame
            raise fault
        return value

    def _fault_of(self, value: Any) -> ValidationError | None:
        if value is None and not self.null:
            return ValidationError("此字段不能为空", code="null")
        if value == "" and not self.blank:
            return ValidationError("此字段不能为空白", code="blank")
        if value is not None and self.max_length is not None and len(value) > self.max_length:
            return ValidationError(f"不能超过 {self.max_length} 个字符", code="max_length")
        return None

    def value_from_object(self, obj: models.Model) -> str | None:
        held = obj.__dict__.get(self.attname, ...)
        return None if held is None else self.mask

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
        if self.subject_attname not in order:
            return [Error(f"没有主体字段 {self.subject}", obj=self, id="crypto.E003")]
        if order.index(self.row_attname) > order.index(self.attname):
            return [Error("主键必须声明在封存字段之前", obj=self, id="crypto.E004")]
        return []


def _uuid(value: Any) -> UUID | None:
    return value if value is None or isinstance(value, UUID) else UUID(str(value))
