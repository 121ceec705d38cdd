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
class Registration(SealedModel):
    """
    人工建档: what somebody at the desk entered, and what became of it.

    Where a colleague has to look at it first, there is no patient until they did. Its own values
    are dropped when it ends: they are the patient's then, or nobody's.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "待复核"
        DONE = "done", "已建档"
        RETURNED = "returned", "已退回"

    class Cause(models.TextChoices):
        REFUSED = "refused", "不同意刷脸"
        UNABLE = "unable", "不能刷脸"
        CHILD = "child", "未满十四周岁"
        FAILED = "failed", "刷脸未成功"
        NEWBORN = "newborn", "新生儿"
        EMERGENCY = "emergency", "急诊先救治"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    state = models.CharField("状态", max_length=16, choices=State.choices)
    cause = models.CharField("原因", max_length=16, choices=Cause.choices)
    evidence = models.CharField("依据", max_length=16, choices=Identification.Evidence.choices)
    campus = models.SlugField("院区", max_length=16)
    document_type = models.PositiveSmallIntegerField("证件类型", choices=DocumentType.choices)
    real_name = SealedField("姓名", context="registration.real_name", max_length=128, null=True)
    document_number = SealedField(
        "证件号码", context="registration.document_number", max_length=64, null=True
    )
    birth_date = SealedField(
        "出生日期", context="registration.birth_date", max_length=16, null=True
    )
    patient = models.ForeignKey(Patient, models.PROTECT, null=True, verbose_name="患者")
    session = models.UUIDField("刷脸会话", null=True)  # the one it was taken over from
    entered_by = models.UUIDField("登记人")
    entered_at = models.DateTimeField("登记时间")
    looked_by = models.UUIDField("复核人", null=True)
    looked_at = models.DateTimeField("复核时间", null=True)
    note = models.CharField("退回原因", max_length=200, blank=True)

    class Meta:
        verbose_name = verbose_name_plural = "人工建档"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~models.Q(looked_by=models.F("entered_by")),
                name="registration_second_look",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["campus", "id"],
                condition=models.Q(state="waiting"),
                name="registration_waiting",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)
