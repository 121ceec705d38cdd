from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.records import SealedModel
from hospital.patients.documents import DocumentType
from hospital.patients.models.identification import Identification
from hospital.patients.models.patient import Patient


@changes_recorded(on="patient", facts=["patient"])
class Guardian(SealedModel):
    """
    监护人: who agreed for a child under fourteen (个人信息保护法 第三十一条).

    Sealed under the child's key: forgotten with the child. Retention: as the child's record.
    """

    class Relation(models.TextChoices):
        PARENT = "parent", "父母"
        GRANDPARENT = "grandparent", "祖父母、外祖父母"
        SIBLING = "sibling", "兄姐"
        OTHER = "other", "其他监护人"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="guardians")
    relation = models.CharField("关系", max_length=16, choices=Relation.choices)
    real_name = SealedField(
        "监护人姓名", context="guardian.real_name", subject="patient_id", max_length=128
    )
    document_type = models.PositiveSmallIntegerField("证件类型", choices=DocumentType.choices)
    document_number = SealedField(
        "监护人证件号码", context="guardian.document_number", subject="patient_id", max_length=64
    )
    # How the relation was shown: the household register, a birth certificate.
    evidence = models.CharField("依据", max_length=16, choices=Identification.Evidence.choices)
    by = models.UUIDField("核验人")  # no foreign key: the row outlives the account
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "监护人"
        ordering: ClassVar = ["-id"]

    def __str__(self) -> str:
        return str(self.pk)
