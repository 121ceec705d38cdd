from datetime import datetime, timedelta
from typing import ClassVar, Final, Self

from django.db import models
from uuid6 import uuid7

from hospital.accounts.models.staff import Staff
from hospital.audit.coverage import changes_recorded
from hospital.roles import May

LASTS: Final = timedelta(hours=24)  # a request; who got no answer by then has found another way
_ALL: Final = (
    May.APPROVE_EMERGENCY_SECURITY,
    May.APPROVE_EMERGENCY_PRIVACY,
    May.REVIEW_EMERGENCIES,
)


class EmergencyQuerySet(models.QuerySet["Emergency"]):
    def seen_by(self, staff: Staff) -> Self:
        """All of them for who decides and who reviews; their own for who asks."""
        return self if any(map(staff.may, _ALL)) else self.filter(asked_by=staff.pk)

    def waiting(self, *, at: datetime) -> Self:
        return self.filter(state=Emergency.State.ASKED, asked_at__gt=at - LASTS)

    def unanswered(self, *, at: datetime) -> Self:
        return self.filter(state=Emergency.State.ASKED, asked_at__lte=at - LASTS)

    def overdue(self, *, at: datetime) -> Self:
        return self.filter(state=Emergency.State.CLOSED, review_due_at__lte=at)


@changes_recorded()
class Emergency(models.Model):
    """
    One use of the sealed account: asked for, allowed by two, over after an hour, reviewed.

    Retention: with the trail.
    """

    class State(models.TextChoices):
        ASKED = "asked", "待批准"
        OPEN = "open", "已启用"
        REFUSED = "refused", "不批准"
        LAPSED = "lapsed", "未启用"
        CLOSED = "closed", "待复核"
        REVIEWED = "reviewed", "已复核"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.ASKED)
    campus = models.SlugField("院区", max_length=16)
    ticket = models.CharField("工单号", max_length=32)
    reason = models.CharField("事由", max_length=200)
    asked_by = models.UUIDField("申请人")  # no foreign key: the row outlives the account
    asked_at = models.DateTimeField("申请时间")
    security_by = models.UUIDField("安全管理员", null=True)
    security_at = models.DateTimeField("安全管理员批准时间", null=True)
    privacy_by = models.UUIDField("个保负责人", null=True)
    privacy_at = models.DateTimeField("个保负责人批准时间", null=True)
    opened_at = models.DateTimeField("启用时间", null=True)
    fetched_at = models.DateTimeField("领取密码时间", null=True)
    closes_at = models.DateTimeField("到期时间", null=True)
    closed_at = models.DateTimeField("停用时间", null=True)
    review_due_at = models.DateTimeField("复核期限", null=True)
    reviewed_by = models.UUIDField("复核人", null=True)
    reviewed_at = models.DateTimeField("复核时间", null=True)
    conclusion = models.CharField("复核结论", max_length=200, blank=True)

    objects = EmergencyQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "应急使用"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=models.Q(security_by__isnull=True)
                | models.Q(privacy_by__isnull=True)
                | ~models.Q(security_by=models.F("privacy_by")),
                name="emergency_two_approvers",
            ),
            models.CheckConstraint(
                condition=~models.Q(security_by=models.F("asked_by"))
                & ~models.Q(privacy_by=models.F("asked_by")),
                name="emergency_never_self",
            ),
            models.CheckConstraint(
                condition=~models.Q(state__in=["open", "closed", "reviewed"])
                | models.Q(security_by__isnull=False, privacy_by__isnull=False),
                name="emergency_approved",
            ),
            models.UniqueConstraint(
                "state", condition=models.Q(state="open"), name="emergency_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return self.ticket
