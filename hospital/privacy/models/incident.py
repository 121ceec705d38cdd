"""What went wrong with people's data, and whom the hospital has told of it by when."""

from datetime import datetime
from typing import ClassVar, Self
from uuid import UUID

from django.db import models
from django.db.models import Q
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded, changes_unrecorded


class IncidentQuerySet(models.QuerySet["Incident"]):
    def real(self) -> Self:
        """Return what happened: a drill is in no statistics."""
        return self.filter(is_drill=False)

    def unclosed(self) -> Self:
        return self.exclude(state=Incident.State.CLOSED)


@changes_recorded()
class Incident(models.Model):
    """
    安全事件: opened, classified, told to whom it must be told, closed. A drill is one as well.

    Retention: 36 months after it was closed.
    """

    class Kind(models.TextChoices):
        LEAK = "leak", "泄露"
        TAMPER = "tamper", "篡改"
        LOSS = "loss", "丢失"
        MISUSE = "misuse", "违规查看或使用"
        OUTAGE = "outage", "系统中断"

    class Level(models.TextChoices):
        GENERAL = "general", "一般"
        LARGER = "larger", "较大"
        MAJOR = "major", "重大"
        CRITICAL = "critical", "特别重大"

    class State(models.TextChoices):
        OPEN = "open", "待定级"
        CLASSIFIED = "classified", "处置中"
        CLOSED = "closed", "已关闭"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField("编号", max_length=20, unique=True)  # IR-20261122-01
    kind = models.CharField("类型", max_length=16, choices=Kind.choices)
    level = models.CharField("级别", max_length=16, choices=Level.choices, blank=True)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.OPEN)
    is_drill = models.BooleanField("演练", default=False)
    summary = models.CharField("情况", max_length=200)  # no names: they belong in no record
    since = models.DateTimeField("发生时间", null=True)  # as far as it is known
    until = models.DateTimeField("止于", null=True)
    found_at = models.DateTimeField("发现时间")  # T: the clocks run from here
    opened_by = models.UUIDField("登记人")
    opened_at = models.DateTimeField("登记时间")
    classified_by = models.UUIDField("定级人", null=True)
    classified_at = models.DateTimeField("定级时间", null=True)
    affected = models.PositiveIntegerField("涉及人数", null=True)  # None: nobody has asked yet
    measures = models.CharField("已采取的措施", max_length=200, blank=True)  # no names either
    closed_by = models.UUIDField("关闭人", null=True)
    closed_at = models.DateTimeField("关闭时间", null=True)
    conclusion = models.CharField("结论", max_length=200, blank=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "安全事件"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(state="open") | ~Q(level=""), name="incident_classified_has_level"
            ),
            models.CheckConstraint(
                condition=~Q(state="closed") | ~Q(conclusion=""), name="incident_closed_concludes"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["found_at"], condition=~Q(state="closed"), name="incident_unclosed"
            ),
        ]

    def __str__(self) -> str:
        return self.number


@changes_recorded(on="incident")
class Notification(models.Model):
    """Somebody who is to be told of an incident, by when, and that they were."""

    class Recipient(models.TextChoices):
        MANAGEMENT = "management", "医院信息安全负责人"
        CYBERSPACE = "cyberspace", "网信部门"
        POLICE = "police", "公安机关"
        HEALTH = "health", "卫生健康主管部门"
        SUBJECTS = "subjects", "受影响的患者"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="notifications")
    recipient = models.CharField("通知对象", max_length=16, choices=Recipient.choices)
    due_at = models.DateTimeField("时限")
    told_by = models.UUIDField("报告人", null=True)
    told_at = models.DateTimeField("报告时间", null=True)
    reference = models.CharField("回执编号", max_length=64, blank=True)
    is_late_told = models.BooleanField("逾期已提醒", default=False)

    class Meta:
        verbose_name = verbose_name_plural = "事件通知"
        ordering: ClassVar = ["due_at"]
        constraints: ClassVar = [
            models.UniqueConstraint("incident", "recipient", name="notification_once")
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"],
                condition=Q(told_at=None, is_late_told=False),
                name="notification_waiting",
            ),
        ]

    def __str__(self) -> str:
        return str(self.get_recipient_display())


@changes_unrecorded("what one question found, whose asking is on record as incident.query")
class Affected(models.Model):
    """
    What was done with whose record, as the trail says: an id and an action, no data.

    Retention: with the incident. No foreign key to the patient: it outlives the record.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, models.CASCADE, related_name="found")
    subject = models.UUIDField("患者")
    action = models.CharField("行为", max_length=64)

    class Meta:
        verbose_name = verbose_name_plural = "受影响的患者"
        constraints: ClassVar = [
            models.UniqueConstraint("incident", "subject", "action", name="affected_once")
        ]


class InquiryQuerySet(models.QuerySet["Inquiry"]):
    def due(self, at: datetime) -> Self:
        """Return those nobody is at work on: fresh, or left by a dead worker."""
        free = Q(lease_until=None) | Q(lease_until__lte=at)
        return self.filter(free, is_done=False)

    def take(self, pk: UUID, *, at: datetime, until: datetime) -> "Inquiry | None":
        """Take one for so long; None if somebody else has it, or it is over."""
        taken = self.due(at).filter(pk=pk).update(lease_until=until)
        return self.select_related("incident").get(pk=pk) if taken else None

    def mine(self, inquiry: "Inquiry") -> Self:
        """Return it as long as the lease it was taken for is its own."""
        return self.filter(pk=inquiry.pk, is_done=False, lease_until=inquiry.lease_until)


@changes_unrecorded("how far a question was read; its asking and its end are incident.query")
class Inquiry(models.Model):
    """
    Whose acts within which window an incident is about, and how far the trail was read for it.

    Another question takes its place. Retention: with the incident.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.OneToOneField(Incident, models.CASCADE, related_name="inquiry")
    since = models.DateTimeField("从")
    until = models.DateTimeField("到")  # exclusive
    actor_type = models.CharField("谁的操作", max_length=16, blank=True)  # empty: everybody's
    actor = models.CharField("编号", max_length=64, blank=True)
    reached_us = models.BigIntegerField(null=True)  # behind which event to read on
    reached_id = models.BigIntegerField(default=0)
    lease_until = models.DateTimeField(null=True)
    is_done = models.BooleanField("已完成", default=False)

    objects = InquiryQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "受影响患者的查询"
        indexes: ClassVar = [
            models.Index(fields=["id"], condition=Q(is_done=False), name="inquiry_open"),
        ]

    def __str__(self) -> str:
        return str(self.pk)
