"""
The log: in which order the events came, and the checkpoints that were signed over it.

No table here refers to another by a foreign key: nothing that happens to a row may take a
record with it. None is ever cleared; a pruned event leaves its hashes behind.
"""

from typing import ClassVar

from django.db import models

from hospital.audit.appended import Appended
from hospital.audit.merkle import HASH_SIZE


class Pending(models.Model):
    """
    An event that has no place in the log yet. The database makes it, with the event itself.

    Retention: a second. The notary deletes it in the transaction that makes the leaf.
    """

    event_id = models.BigIntegerField("事件", primary_key=True)

    class Meta:
        verbose_name = verbose_name_plural = "待封存"


class Change(models.Model):
    """
    A changed row that no event of its transaction has named. The database makes it, with SQLite.

    With `event_id` it is instead an event of the transaction that writes at this moment.
    Retention: an unnamed change until somebody has looked; all else until the next transaction.
    """

    tx = models.CharField("事务", max_length=32)
    label = models.CharField("模型", max_length=64)
    row_id = models.CharField("行", max_length=64)
    object_type = models.CharField("对象类型", max_length=64)  # what an event would be about
    object_id = models.CharField("对象", max_length=64)
    facts = models.TextField("事实")  # JSON: facts by which an event may name that object
    event_id = models.BigIntegerField("事件", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "待留痕的改动"


class Leaf(Appended):
    """
    The place of an event: `index` is the order of record, whatever the ids say.

    Retention: with the event.
    """

    index = models.BigIntegerField("序号", primary_key=True)
    event_id = models.BigIntegerField("事件", unique=True)
    hash = models.BinaryField("散列", max_length=HASH_SIZE)

    class Meta:
        verbose_name = verbose_name_plural = "封存"
        constraints: ClassVar = [
            models.CheckConstraint(condition=models.Q(index__gte=0), name="leaf_index")
        ]


class Tile(Appended):
    """
    256 hashes side by side: at `level` 1 those over 256 leaves each, at 2 over 65,536 each.

    What a proof needs of a large log without reading its leaves (https://c2sp.org/tlog-tiles).
    Retention: for ever, 8 KiB for each 65,536 events.
    """

    level = models.PositiveSmallIntegerField("层")
    n = models.BigIntegerField("块")
    hashes = models.BinaryField("散列")

    class Meta:
        verbose_name = verbose_name_plural = "散列块"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["level", "n"], name="tile_place"),
        ]


class Checkpoint(Appended):
    """
    What the notary signed: how large the log was, and its root. `note` carries the signatures.

    Retention: for ever, some 300 bytes for each second in which something happened.
    """

    size = models.BigIntegerField("事件数", primary_key=True)
    root = models.BinaryField("根", max_length=HASH_SIZE)
    note = models.TextField("签名文本")
    created_at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "检查点"


class Anchor(Appended):
    """
    A checkpoint of `size` reached somebody else: where, when, and what they gave for it.

    Retention: for ever.
    """

    size = models.BigIntegerField("事件数", db_index=True)
    sink = models.CharField("去处", max_length=32)
    at = models.DateTimeField("时间")
    receipt = models.TextField("回执")

    class Meta:
        verbose_name = verbose_name_plural = "锚点"
