from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.patients.models.patient import Patient


@changes_recorded()
class Likeness(models.Model):
    """Two records that may be of one person. Both are kept, whatever is decided."""

    class Kind(models.TextChoices):
        EXACT = "exact", "姓名和出生日期相同"
        ACCOUNT = "account", "同一微信账号"

    class State(models.TextChoices):
        OPEN = "open", "待处理"
        LINKED = "linked", "已关联"
        APART = "apart", "不是同一人"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField("依据", max_length=16, choices=Kind.choices)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.OPEN)
    # The older record first.
    first = models.ForeignKey(Patient, models.CASCADE, related_name="+", verbose_name="患者")
    second = models.ForeignKey(Patient, models.CASCADE, related_name="+", verbose_name="患者")
    found_at = models.DateTimeField("发现时间")
    decided_by = models.UUIDField("处理人", null=True)
    decided_at = models.DateTimeField("处理时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "疑似重复"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint("first", "second", name="likeness_once"),
            models.CheckConstraint(
                condition=models.Q(first__lt=models.F("second")), name="likeness_in_order"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=models.Q(state="open"), name="likeness_open"),
            models.Index(fields=["second"], name="likeness_second"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
