from datetime import datetime
from typing import Any, ClassVar, Self

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.expressions import Func
from django.db.models.sql.compiler import SQLCompiler
from uuid6 import uuid7

from hospital import statements
from hospital.audit.actions import BY_TAG
from hospital.audit.appended import AppendedQuerySet, AppendOnly
from hospital.audit.exports import Export, ExportPart
from hospital.audit.findings import Finding, Review
from hospital.audit.kept import Archive, Commitment, Pruned, Redacted
from hospital.audit.log import Anchor, Change, Checkpoint, Leaf, Pending, Tile
from hospital.audit.proposals import Proposal
from hospital.audit.sent import Forwarded
from hospital.audit.times import moment

__all__ = [
    "Anchor",
    "AppendOnly",
    "Archive",
    "Change",
    "Checkpoint",
    "Commitment",
    "Event",
    "Export",
    "ExportPart",
    "Finding",
    "Forwarded",
    "Leaf",
    "Pending",
    "Proposal",
    "Pruned",
    "Redacted",
    "Review",
    "Tile",
]

# The database makes the other columns of these.
_INSERT = (
    "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, %s) RETURNING id"
)


class PayloadText(Func):
    """A text inside the canonical line: what a generated column shows."""

    def __init__(self, *path: str, **extra: Any) -> None:
        self.path = path
        super().__init__("payload", **extra)

    def as_sqlite(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any
    ) -> tuple[str, tuple[Any, ...]]:
        column, _ = compiler.compile(self.source_expressions[0])
        return f"json_extract({column}, '$.{'.'.join(self.path)}')", ()

    def as_postgresql(
        self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **_context: Any
    ) -> tuple[str, tuple[Any, ...]]:
        column, _ = compiler.compile(self.source_expressions[0])
        cast = "::bigint" if isinstance(self.output_field, models.BigIntegerField) else ""
        return f"(({column})::jsonb #>> '{{{','.join(self.path)}}}'){cast}", ()


def _shown(verbose_name: str, *path: str) -> models.GeneratedField:
    return models.GeneratedField(
        verbose_name=verbose_name,
        expression=PayloadText(*path, output_field=models.TextField()),
        output_field=models.TextField(),
        db_persist=True,
    )


class EventQuerySet(AppendedQuerySet["Event"]):
    def on(self, subject: models.Model) -> Self:
        return self.filter(object_type=subject._meta.label_lower, object_id=str(subject.pk))


class Event(models.Model):
    """
    One act, as one canonical line. The other columns are the database's own reading of it.

    Retention: at least six calendar months by law, 36 by default; see the retention rules.
    """

    uid = models.UUIDField("编号", default=uuid7, unique=True, editable=False)
    payload = models.TextField("规范文本", editable=False)
    mac = models.BinaryField("校验码", editable=False)
    mac_key = models.PositiveSmallIntegerField("校验密钥", editable=False)

    at_us = models.GeneratedField(
        verbose_name="时间（微秒）",
        expression=PayloadText("t", output_field=models.BigIntegerField()),
        output_field=models.BigIntegerField(),
        db_persist=True,
    )
    action = _shown("行为", "action")
    outcome = _shown("结果", "outcome")
    actor_type = _shown("行为人类型", "actor", "type")
    actor_id = _shown("行为人", "actor", "id")
    object_type = _shown("对象类型", "object", "type")
    object_id = _shown("对象", "object", "id")
    request_id = _shown("请求编号", "ctx", "req")

    objects = EventQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "留痕"
        ordering = ["-id"]
        indexes: ClassVar = [
            models.Index(fields=["actor_id", "-at_us", "-id"], name="event_actor_time"),
            models.Index(
                fields=["object_type", "object_id", "-at_us", "-id"], name="event_object_time"
            ),
            models.Index(fields=["action", "-at_us", "-id"], name="event_action_time"),
            models.Index(fields=["request_id"], name="event_request"),
            models.Index(fields=["-at_us", "-id"], name="event_time"),
            # Few, and looked for: what was refused or failed.
            models.Index(
                fields=["outcome", "-at_us", "-id"],
                name="event_unsuccessful",
                condition=~models.Q(outcome="success"),
            ),
        ]

    def __str__(self) -> str:
        return str(self.uid)

    def save(self, **_kwargs: Any) -> None:
        """
        Insert it, in a statement of our own.

        For a row that is only ever inserted, and with every act: Django takes longer to write
        the statement than the database to carry it out.

        :raises AppendOnly:
        """
        if not self._state.adding:
            raise AppendOnly
        database = connections[DEFAULT_DB_ALIAS]
        values: list[Any] = [self.uid, self.payload, self.mac, self.mac_key]
        if not database.features.has_native_uuid_field:
            values[0] = self.uid.hex
        with statements.lasting_cursor(database) as cursor:
            cursor.execute(_INSERT, values)
            (self.pk,) = cursor.fetchone()
        self._state.adding, self._state.db = False, database.alias

    def delete(self, *_args: Any, **_kwargs: Any) -> tuple[int, dict[str, int]]:
        raise AppendOnly

    @property
    def at(self) -> datetime:
        """The time it states; of one that somebody forged, the nearest there is."""
        return moment(self.at_us)

    @property
    def label(self) -> str:
        """The action in Chinese; a retired one keeps its tag."""
        known = BY_TAG.get(self.action)
        return known.value.label if known else self.action
