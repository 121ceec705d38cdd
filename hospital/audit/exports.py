"""A copy of the trail that somebody asked for: what, why, how far it is, who has it."""

from typing import ClassVar

from django.db import models
from uuid6 import uuid7


class Export(models.Model):
    """
    One request for a copy, and what became of it.

    Retention: the row with the trail; its parts are gone once taken, or after a day.
    """

    class Kind(models.TextChoices):
        RANGE = "range", "连续区间（可证完整）"
        FILTERED = "filtered", "按条件筛选（只证真实）"

    class Purpose(models.TextChoices):
        INSPECTION = "inspection", "监管检查"
        ASSESSMENT = "assessment", "等级测评"
        INCIDENT = "incident", "事件调查"
        REVIEW = "review", "内部审计"
        RIGHTS = "rights", "个人权利请求"

    class State(models.TextChoices):
        QUEUED = "queued", "排队"
        RUNNING = "running", "生成中"
        READY = "ready", "可下载"
        TAKEN = "taken", "已下载"
        EXPIRED = "expired", "已过期"
        FAILED = "failed", "失败"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField("类型", max_length=16, choices=Kind.choices)
    filters = models.JSONField("条件", default=dict)
    start = models.BigIntegerField("起始序号", null=True)  # the first leaf
    end = models.BigIntegerField("终止序号", null=True)  # the one after the last
    purpose = models.CharField("用途", max_length=16, choices=Purpose.choices)
    reason = models.CharField("说明", max_length=200)
    requested_by = models.UUIDField("申请人")  # no foreign key: the row outlives the account
    requested_at = models.DateTimeField("申请时间")

    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.QUEUED)
    total = models.BigIntegerField("总数", default=0)
    done = models.BigIntegerField("已处理", default=0)
    rows = models.BigIntegerField("记录数", default=0)
    # Of the worker that makes it; once taken, of the web process that sends it.
    lease_until = models.DateTimeField("占用至", null=True)
    attempts = models.PositiveSmallIntegerField("尝试次数", default=0)
    problem = models.CharField("失败原因", max_length=64, blank=True)
    size = models.BigIntegerField("字节", default=0)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True)
    sm3 = models.CharField("SM3", max_length=64, blank=True)
    ready_at = models.DateTimeField("生成时间", null=True)
    expires_at = models.DateTimeField("有效期至", null=True)
    taken_at = models.DateTimeField("下载时间", null=True)
    seen_at = models.DateTimeField("安全管理员已阅", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "留痕导出"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(
                    state__in=["queued", "running", "ready", "taken", "expired", "failed"]
                ),
                name="export_state_known",
            )
        ]

    def __str__(self) -> str:
        return str(self.id)


class ExportPart(models.Model):
    """
    A piece of a finished copy, in the database, where any web process finds it.

    Those of one attempt are one file, in the order of their places. A part of another attempt than
    the export's last is what a worker left that lost its lease, and counts for nothing.

    Retention: gone once the copy was taken, has expired, or no export answers to it.
    """

    export = models.UUIDField("导出")  # its id: in the trail no row hangs on another
    attempt = models.PositiveSmallIntegerField("第几次尝试")
    place = models.PositiveIntegerField("序号")  # from 0
    content = models.BinaryField("内容")

    class Meta:
        verbose_name = verbose_name_plural = "留痕导出的内容"
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["export", "attempt", "place"], name="export_part_in_place"
            )
        ]

    def __str__(self) -> str:
        return f"{self.export}-{self.attempt}-{self.place}"
