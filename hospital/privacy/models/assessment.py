from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded


@changes_recorded()
class Assessment(models.Model):
    """
    个人信息保护影响评估: that the privacy officer approved one, and until when it is believed.

    The report itself is the hospital's; here is its number and digest (PIPL 第五十五、五十六条).
    Retention: 36 months after another took its place.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    reference = models.CharField("报告文号", max_length=64, unique=True)
    digest = models.CharField("报告摘要（SHA-256）", max_length=64)
    notice_version = models.PositiveIntegerField("评估所依据的告知书版本")
    purposes = models.JSONField("评估的处理目的")  # [{"code", "label"}]: of that notice, as worded
    approved_by = models.UUIDField("批准人", null=True)  # outlives the account; null: a demo's
    approved_at = models.DateTimeField("批准时间")
    review_on = models.DateField("复评日期")
    ended_at = models.DateTimeField("失效时间", null=True)  # another took its place, or withdrawn

    class Meta:
        verbose_name = verbose_name_plural = "影响评估"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(ended_at=None) | Q(ended_at__gte=F("approved_at")),
                name="assessment_ends_after",
            ),
        ]

    def __str__(self) -> str:
        return self.reference
