from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.patients.models.patient import Patient


@changes_recorded(on="patient")
class Identification(models.Model):
    """How and when somebody's identity was established. One row per time it was."""

    class Method(models.TextChoices):
        WECHAT_FACE = "wechat_face", "微信刷脸实名"
        MANUAL = "manual", "人工核验"

    class Evidence(models.TextChoices):
        ORIGINAL = "original", "核对证件原件"
        READER = "reader", "读卡器读取证件"
        COPY = "copy", "证件复印件"
        ELECTRONIC = "electronic", "电子证照"
        GUARDIAN = "guardian", "监护人证件与关系证明"
        STATED = "stated", "本人或家属口述，证件待补"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="identifications")
    method = models.CharField("方式", max_length=16, choices=Method.choices)
    evidence = models.CharField("依据", max_length=16, choices=Evidence.choices, blank=True)
    by = models.UUIDField("核验人", null=True)  # no foreign key: the row outlives the account
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "身份核验"
