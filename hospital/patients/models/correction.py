from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.records import SealedModel
from hospital.patients.documents import DocumentType
from hospital.patients.models.identification import Identification
from hospital.patients.models.patient import Patient


@changes_recorded()
class Correction(SealedModel):
    """A name or number that is to be another, until somebody else has looked."""

    class State(models.TextChoices):
        ASKED = "asked", "待复核"
        DONE = "done", "已更正"
        REFUSED = "refused", "不予更正"
        WITHDRAWN = "withdrawn", "已撤回"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="corrections")
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.ASKED)
    # What is to be, whole; dropped with the decision.
    real_name = SealedField(
        "姓名", context="correction.real_name", subject="patient_id", max_length=128, null=True
    )
    document_type = models.PositiveSmallIntegerField("证件类型", choices=DocumentType.choices)
    document_number = SealedField(
        "证件号码",
        context="correction.document_number",
        subject="patient_id",
        max_length=64,
        null=True,
    )
    birth_date = SealedField(
        "出生日期",
        context="correction.birth_date",
        subject="patient_id",
        max_length=16,
        null=True,
    )
    evidence = models.CharField("依据", max_length=16, choices=Identification.Evidence.choices)
    reason = models.CharField("理由", max_length=200)
    asked_by = models.UUIDField("申请人")  # no foreign key: the row outlives the account
    asked_at = models.DateTimeField("申请时间")
    decided_by = models.UUIDField("复核人", null=True)
    decided_at = models.DateTimeField("复核时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "更正申请"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~models.Q(decided_by=models.F("asked_by"))
                | models.Q(state__in=["asked", "withdrawn"]),
                name="correction_two_people",
            ),
            models.UniqueConstraint(
                "patient", condition=models.Q(state="asked"), name="correction_one_at_a_time"
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
