"""What is kept how long here, what was removed for it, and what must stay all the same."""

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded, changes_unrecorded
from hospital.patients.models import Patient


@changes_recorded()
class RetentionRule(models.Model):
    """
    How long this hospital keeps one category, where that is not the default.

    Written by what two people decided (`hospital.privacy.rules`), within the category's lines.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    category = models.SlugField("类别", max_length=32, unique=True)  # a key of CATEGORIES
    value = models.PositiveIntegerField("保存期限")  # in the category's unit
    proposal = models.UUIDField("审批")  # what two people decided last
    changed_at = models.DateTimeField("修改时间")

    class Meta:
        verbose_name = verbose_name_plural = "保存期限"
        ordering: ClassVar = ["category"]

    def __str__(self) -> str:
        return self.category


@changes_unrecorded("how far a sweep is; what it removed is on record, category by category")
class RetentionRun(models.Model):
    """
    One sweep through the categories of its scope, one of each at a time but for dry ones.

    Retention: 36 months.
    """

    class State(models.TextChoices):
        RUNNING = "running", "进行中"
        DONE = "done", "已完成"
        FAILED = "failed", "未完成"

    class Scope(models.TextChoices):
        ALL = "all", "全部"
        ARTEFACTS = "artefacts", "过程数据"  # every minute, whatever else is at work

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.RUNNING)
    scope = models.CharField("范围", max_length=16, choices=Scope.choices, default=Scope.ALL)
    is_dry = models.BooleanField("试运行", default=False)
    started_at = models.DateTimeField("开始时间")
    finished_at = models.DateTimeField("结束时间", null=True)
    # Whoever is at work names the time until which it is theirs; a process that died lets it pass.
    lease_until = models.DateTimeField(null=True)
    # category → {"due": what was to go when it was counted, "gone": so far, "held": by a hold},
    # and "refused", a code, where the rest of it has to wait for the next
    counts = models.JSONField("数量", default=dict)

    class Meta:
        verbose_name = verbose_name_plural = "到期清理"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "scope", condition=Q(state="running", is_dry=False), name="retention_run_one"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


@changes_recorded(facts=["hold"])
class LegalHold(models.Model):
    """
    Nothing of this patient is erased, whoever asks and whatever is due: a dispute, an enquiry.

    Placed and lifted by two people; it ends by itself on its day. Retention: 36 months after.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.PROTECT, related_name="holds", verbose_name="患者")
    until = models.DateField("保全至")  # inclusive
    placed_at = models.DateTimeField("开始时间")
    proposal = models.UUIDField("审批")  # its reason is there
    lifted_at = models.DateTimeField("解除时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "依法保全"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "patient", condition=Q(lifted_at=None), name="hold_one_at_a_time"
            ),
            models.CheckConstraint(
                condition=Q(lifted_at=None) | Q(lifted_at__gte=F("placed_at")),
                name="hold_lifted_after",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
