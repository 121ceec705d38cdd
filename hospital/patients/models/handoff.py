from datetime import datetime, timedelta
from typing import ClassVar, Final, Self
from uuid import UUID

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from uuid6 import uuid7

from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.coverage import changes_recorded
from hospital.patients.models.patient import Attendance, Patient

# Longer than one hand-off may last, shorter than anybody's patience.
LEASE: Final = timedelta(seconds=30)

# How far it is; that it came to an end, and how, is on record.
SENDING: Final = ("attempts", "due_at", "since", "changes", "taken_until", "code")


class HandOffQuerySet(models.QuerySet["HandOff"]):
    def seen_by(self, staff: Staff) -> Self:
        """
        Return those of patients this member of staff may know of, at their own campus.

        :raises NotCleared: they are not cleared for patients at all
        """
        labels.demand(staff, "patients.patient")
        if not staff.campus:
            return self.none()
        theirs = Attendance.objects.filter(patient=OuterRef("patient"), campus=staff.campus)
        return self.filter(Exists(theirs))

    def waiting(self) -> Self:
        return self.filter(state=HandOff.State.WAITING)

    def due(self, at: datetime) -> Self:
        """Return those nobody is sending: fresh, postponed, or abandoned."""
        free = Q(taken_until=None) | Q(taken_until__lte=at)
        return self.waiting().filter(free, due_at__lte=at)

    def undelivered(self) -> Self:
        """Return those that were given up, and that no later one of the same patient replaced."""
        later = HandOff.objects.filter(patient=OuterRef("patient"), id__gt=OuterRef("id"))
        return self.filter(~Exists(later), state=HandOff.State.DEAD).exclude(code=HandOff.ERASED)

    def take(self, pk: UUID, *, at: datetime) -> "HandOff | None":
        """
        Take one that is due for `LEASE`; None if it is not due or somebody else has it.

        One UPDATE decides. A worker that dies leaves the lease to run out.
        """
        mine = self.due(at).filter(pk=pk)
        taken = mine.update(taken_until=at + LEASE, attempts=F("attempts") + 1)
        return self.select_related("patient").get(pk=pk) if taken else None


@changes_recorded(facts=["handoff"], but=SENDING)
class HandOff(models.Model):
    """
    What the hospital's own system is still to be told of a patient: an outbox.

    Written in the transaction that made it necessary. What is sent is read from the patient when
    it is sent. Retention: as the patient's record; the number it was acknowledged under stays on
    the newest.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "待发送"
        DONE = "done", "已确认"
        DEAD = "dead", "未送达"

    ERASED: ClassVar = "erased"  # the code after which there is nothing left to send

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="handoffs")
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.WAITING)
    created_at = models.DateTimeField("时间")
    # How often the patient changed since: more than when it was taken, and it is sent once more.
    changes = models.PositiveIntegerField(default=1)
    since = models.DateTimeField(null=True)  # from when its time runs; None: since it was made
    due_at = models.DateTimeField("下次发送", null=True)
    taken_until = models.DateTimeField(null=True)  # some worker has it, by this name
    attempts = models.PositiveSmallIntegerField("尝试次数", default=0)
    code = models.CharField("原因", max_length=64, blank=True)  # why the last attempt failed
    his_patient_id = models.CharField("HIS 患者编号", max_length=64, blank=True)
    acknowledged_at = models.DateTimeField("确认时间", null=True)

    objects = HandOffQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "HIS 移交"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "patient", condition=Q(state="waiting"), name="handoff_one_waiting"
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["due_at"], condition=Q(state="waiting"), name="handoff_due"),
            models.Index(fields=["id"], condition=Q(state="dead"), name="handoff_dead"),
            models.Index(
                fields=["acknowledged_at"], condition=Q(state="done"), name="handoff_acknowledged"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
