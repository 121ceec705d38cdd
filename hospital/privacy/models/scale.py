from typing import ClassVar

from django.db import models
from django.db.models import Q

from hospital.audit.coverage import changes_unrecorded


@changes_unrecorded("a count of other rows, made anew each day; what it reached is on record")
class Scale(models.Model):
    """The one row that says of how many people data is here, and what was last said of it."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    count = models.PositiveIntegerField("人数", default=0)
    counted_at = models.DateTimeField("统计时间", null=True)
    reached = models.PositiveIntegerField("已提醒的数量", default=0)

    class Meta:
        constraints: ClassVar = [models.CheckConstraint(condition=Q(id=1), name="scale_one_row")]
