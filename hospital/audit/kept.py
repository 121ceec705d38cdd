"""Old lines, archived, removed or redacted; and the salts of what can be forgotten."""

from typing import ClassVar

from django.db import models

from hospital.audit.appended import Appended
from hospital.audit.merkle import HASH_SIZE


class Archive(Appended):
    """
    A bundle that holds the events of the leaves from `start` to before `end`, verified.

    Retention: for ever.
    """

    start = models.BigIntegerField("起始序号")
    end = models.BigIntegerField("终止序号")
    root = models.BinaryField("根", max_length=HASH_SIZE)  # of the checkpoint it is proved against
    name = models.CharField("文件", max_length=128)
    size = models.BigIntegerField("字节")
    sha256 = models.CharField("SHA-256", max_length=64)
    sm3 = models.CharField("SM3", max_length=64)
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "留痕归档"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(start__gte=0, end__gt=models.F("start")), name="archive_range"
            )
        ]


class Pruned(Appended):
    """
    The events of these leaves were removed after they were archived. Their leaves remain.

    Retention: for ever.
    """

    start = models.BigIntegerField("起始序号")
    end = models.BigIntegerField("终止序号")
    archive = models.BigIntegerField("归档")
    proposal = models.UUIDField("审批", unique=True)
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "留痕清理"
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(start__gte=0, end__gt=models.F("start")), name="pruned_range"
            )
        ]


class Redacted(Appended):
    """
    A value that should never have been written was removed from this event. Its leaf remains.

    Retention: for ever.
    """

    index = models.BigIntegerField("序号", primary_key=True)
    proposal = models.UUIDField("审批", unique=True)
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "留痕遮盖"


class Commitment(models.Model):
    """
    The salt by which a digest in the trail commits to a value nobody can guess from it.

    The only erasable part of the trail: with the salt gone the digest says nothing any more, and
    every proof over the line that carries it still holds.
    Retention: with the subject.
    """

    digest = models.CharField("承诺值", max_length=64, primary_key=True)
    subject = models.UUIDField("对象", db_index=True)
    salt = models.BinaryField("盐", max_length=32)

    class Meta:
        verbose_name = verbose_name_plural = "承诺"
