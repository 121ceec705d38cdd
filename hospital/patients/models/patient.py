from datetime import date
from typing import ClassVar, Final, Self

from django.db import models
from django.db.models.functions import Coalesce
from uuid6 import uuid7

from hospital import labels
from hospital.accounts.models import Staff
from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex, Spread
from hospital.crypto.normalising import PERSON_NAME
from hospital.crypto.records import SealedModel, SealedQuerySet
from hospital.patients import documents
from hospital.patients.documents import DocumentType
from hospital.roles import Role


class PatientQuerySet(SealedQuerySet["Patient"]):
    def with_document(self, document_type: int, number: str) -> Self:
        return self.filter(Patient.by_document.matching(*_document_parts(document_type, number)))

    def seen_by(self, staff: Staff) -> Self:
        """
        Return those this member of staff may know of: where a role ends at a campus, theirs.

        :raises NotCleared: they are not cleared for patients at all
        """
        labels.demand(staff, "patients.patient")
        if staff.role == Role.PRIVACY:  # answers for all of them
            return self
        return self.filter(attendances__campus=staff.campus) if staff.campus else self.none()

    def named(self, name: str, *, born: date) -> Self:
        return self.filter(Patient.by_name_and_birth.matching(name, born.isoformat()))


RESTRICTED: Final = "限制处理"  # instead of a name: nobody works with this record
# Moves with every visit, and with every withdrawal, whose own events name the patient.
SEEN: Final = ("last_visit_at", "consent_withdrawn_at")


@changes_recorded(but=SEEN)
class Patient(SealedModel):
    """
    A person the hospital knows. Name and document are sealed under a key of their own.

    Retention: by the hospital's retention rules; erasing destroys the data key.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField("患者编号", max_length=16, unique=True, editable=False)
    real_name = SealedField(
        "姓名",
        context="patient.real_name",
        max_length=128,
        searchable="与出生日期一起用 Patient.objects.named()",
    )
    document_type = models.PositiveSmallIntegerField("证件类型", choices=DocumentType.choices)
    document_number = SealedField(
        "证件号码",
        context="patient.document_number",
        max_length=64,
        null=True,  # who has none yet: a newborn, an emergency
        searchable="请用 Patient.objects.with_document()",
    )
    # Of documents whose number does not say it; where it does, the number is asked.
    birth_date = SealedField("出生日期", context="patient.birth_date", max_length=16, null=True)
    created_at = models.DateTimeField("建档时间", editable=False)
    # None: before this was kept, or never since the record was made.
    last_visit_at = models.DateTimeField("最近就诊", null=True, editable=False)
    # Everything but storing is stopped (个人信息保护法 第四十七条).
    restricted_at = models.DateTimeField("限制处理时间", null=True, editable=False)
    # What was agreed to before is worth nothing, also where nobody knew yet whose it was.
    consent_withdrawn_at = models.DateTimeField("最近撤回同意", null=True, editable=False)
    # The hospital's own system has them; here are only numbers, indexes and what a mask shows.
    thinned_at = models.DateTimeField("精简时间", null=True, editable=False)

    by_document = BlindIndex(
        "patient.document",
        column="document_index",
        parts={"family of document types": Spread.NARROW, "document number": Spread.UNIQUE},
        of="_document_parts",
        unique=True,
        outlives="thinned_at",
    )
    by_name_and_birth = BlindIndex(
        "patient.name_birth",
        column="name_birth_index",
        parts={"full name": Spread.WIDE, "birth date": Spread.WIDE},
        of="_name_and_birth",
        normaliser=PERSON_NAME,
        bits=64,
        outlives="thinned_at",
    )

    objects = PatientQuerySet.as_manager()  # type: ignore[misc] # overrides a base's

    class Meta:
        verbose_name = verbose_name_plural = "患者"
        ordering = ["-id"]
        indexes: ClassVar = [
            models.Index(Coalesce("last_visit_at", "created_at"), name="patient_last_visit"),
        ]

    def __str__(self) -> str:
        return self.number

    @property
    def born(self) -> date | None:
        """When they were born, as far as a document or somebody at the desk said."""
        stated = documents.birth_date(self.document_type, self.document_number or "")
        return stated or (date.fromisoformat(self.birth_date) if self.birth_date else None)

    def _document_parts(self) -> tuple[str, str] | None:
        if not self.document_number:
            return None
        return _document_parts(self.document_type, self.document_number)

    def _name_and_birth(self) -> tuple[str, str] | None:
        return (self.real_name or "", self.born.isoformat()) if self.born else None

    @property
    def masked_name(self) -> str:
        if self.restricted_at is not None:
            return RESTRICTED
        return documents.masked_name(self.real_name or "")

    @property
    def masked_document(self) -> str:
        if self.restricted_at is not None:
            return RESTRICTED
        if self.thinned_at is not None:
            return "已移交 HIS"
        return documents.masked_number(self.document_number) if self.document_number else "无号码"


@changes_recorded(on="patient", facts=["patient"])
class Attendance(models.Model):
    """A patient is known at a campus since somebody registered or recognised them there."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="attendances")
    campus = models.SlugField("院区", max_length=16)  # a code of settings.CAMPUSES
    since = models.DateTimeField("首次时间")

    class Meta:
        verbose_name = verbose_name_plural = "就诊院区"
        constraints: ClassVar = [
            models.UniqueConstraint("campus", "patient", name="attendance_once")
        ]


def _document_parts(document_type: int, number: str) -> tuple[str, str]:
    return documents.family(document_type), documents.canonical_number(document_type, number)
