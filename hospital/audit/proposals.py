"""What takes two people: one asks, another decides."""

from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded


@changes_recorded()
class Proposal(models.Model):
    """
    An act somebody asked for that another person has to allow before it is done.

    Retention: with the trail.
    """

    class State(models.TextChoices):
        ASKED = "asked", "待批准"
        APPROVED = "approved", "已批准"
        REFUSED = "refused", "不批准"
        WITHDRAWN = "withdrawn", "已撤回"
        EXPIRED = "expired", "已过期"
        DONE = "done", "已执行"
        FAILED = "failed", "执行失败"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField("事项", max_length=64)
    facts = models.JSONField("内容", default=dict)  # ids, numbers, slugs: nobody's data
    reason = models.CharField("理由", max_length=200)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.ASKED)
    asked_by = models.UUIDField("申请人")  # no foreign key: the row outlives the account
    asked_at = models.DateTimeField("申请时间")
    expires_at = models.DateTimeField("有效期至")
    decided_by = models.UUIDField("批准人", null=True)
    decided_at = models.DateTimeField("批准时间", null=True)
    done_at = models.DateTimeField("执行时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "双人审批"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~models.Q(decided_by=models.F("asked_by")), name="proposal_two_people"
            ),
            models.CheckConstraint(
                condition=models.Q(decided_by__isnull=False)
                | ~models.Q(state__in=["approved", "refused", "done", "failed"]),
                name="proposal_decided",
            ),
        ]

    def __str__(self) -> str:
        return str(self.id)
