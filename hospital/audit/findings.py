"""What needs a person's eye in the trail, and what that person made of it."""

from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded


@changes_recorded()
class Finding(models.Model):
    """
    Something unusual, said once: `key` names the occasion.

    Retention: with the trail.
    """

    class Severity(models.TextChoices):
        NOTICE = "notice", "提示"
        WARNING = "warning", "警告"
        ALERT = "alert", "告警"

    class State(models.TextChoices):
        OPEN = "open", "待处置"
        EXPLAINED = "explained", "已核实，正常"
        HANDLED = "handled", "已处置"
        INCIDENT = "incident", "转安全事件"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField("规则", max_length=32)
    key = models.CharField("场合", max_length=160, unique=True)
    severity = models.CharField("级别", max_length=8, choices=Severity.choices)
    at = models.DateTimeField("发现时间")
    facts = models.JSONField("事实", default=dict)  # ids, numbers, slugs: nobody's data
    state = models.CharField("处置", max_length=16, choices=State.choices, default=State.OPEN)
    note = models.CharField("处置说明", max_length=200, blank=True)
    settled_by = models.UUIDField("处置人", null=True)
    settled_at = models.DateTimeField("处置时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "审计发现"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["state", "-id"], name="finding_state")]

    def __str__(self) -> str:
        return self.key


@changes_recorded()
class Review(models.Model):
    """
    A week of the trail in numbers, and who looked at them.

    Retention: with the trail.
    """

    week = models.DateField("周一", unique=True)
    made_at = models.DateTimeField("生成时间")
    counts = models.JSONField("统计", default=dict)
    conclusion = models.CharField("结论", max_length=200, blank=True)
    reviewed_by = models.UUIDField("审阅人", null=True)
    reviewed_at = models.DateTimeField("审阅时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "每周分析"
        ordering: ClassVar = ["-week"]

    def __str__(self) -> str:
        return str(self.week)
