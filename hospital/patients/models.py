from datetime import date, datetime
from typing import Self

from django.db import models
from uuid6 import uuid7

from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import PERSON_NAME, blind_index
from hospital.patients import documents
from hospital.patients.documents import DocumentType


def document_index(document_type: int, number: str) -> str:
    """Return the blind index by which a document number is found, and is unique."""
    canonical = documents.canonical_number(document_type, number)
    return blind_index("patient.document", documents.family(document_type), canonical)


def name_index(name: str, born: date) -> str:
    """Return the blind index of full name and birth date together; either alone would leak."""
    return blind_index(
        "patient.name_birth", name, born.isoformat(), normaliser=PERSON_NAME, bits=64
    )


class PatientQuerySet(models.QuerySet["Patient"]):
    def with_document(self, document_type: int, number: str) -> Self:
        return self.filter(document_index=document_index(document_type, number))

    def named(self, name: str, *, born: date) -> Self:
        return self.filter(name_birth_index=name_index(name, born))


class Patient(models.Model):
    """
    A person the hospital knows. Name and document are sealed under a key of their own.

    Retention: by the hospital's retention rules; erasing destroys the data key.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.CharField("患者编号", max_length=16, unique=True, editable=False)
    real_name = SealedField("姓名", context="patient.real_name", max_length=128)
    document_type = models.PositiveSmallIntegerField("证件类型", choices=DocumentType.choices)
    document_number = SealedField(
        "证件号码",
        context="patient.document_number",
        max_length=64,
        searchable="Patient.objects.with_document()",
    )
    document_index = models.CharField(max_length=32, unique=True, null=True, editable=False)
    name_birth_index = models.CharField(max_length=16, db_index=True, null=True, editable=False)
    created_at = models.DateTimeField("建档时间", editable=False)

    objects = PatientQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "患者"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.number

    @property
    def masked_name(self) -> str:
        return documents.masked_name(self.real_name or "")

    @property
    def masked_document(self) -> str:
        return documents.masked_number(self.document_number or "")


class WechatAccountQuerySet(models.QuerySet["WechatAccount"]):
    def with_openid(self, appid: str, openid: str) -> Self:
        return self.filter(openid_index=openid_index(appid, openid))

    def link(self, patient: Patient, *, appid: str, openid: str, at: datetime) -> "WechatAccount":
        """Return the account, as `patient`'s unless it already is somebody's; compare."""
        fresh = {"patient": patient, "appid": appid, "openid": openid, "created_at": at}
        index = openid_index(appid, openid)
        return self.get_or_create(openid_index=index, defaults=fresh)[0]


class WechatAccount(models.Model):
    """How WeChat calls a patient, per appid: a second visit is recognised by it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="wechat_accounts")
    appid = models.CharField(max_length=32)
    openid = SealedField(context="wechat_account.openid", subject="patient_id", max_length=128)
    openid_index = models.CharField(max_length=32, unique=True, null=True)
    created_at = models.DateTimeField()

    objects = WechatAccountQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "微信账号"


class WechatUnionQuerySet(models.QuerySet["WechatUnion"]):
    def with_union_id(self, union_id: str) -> Self:
        return self.filter(union_id_index=union_id_index(union_id))

    def link(self, patient: Patient, union_id: str, *, at: datetime) -> "WechatUnion":
        """Return the union id, as `patient`'s unless it already is somebody's; compare."""
        fresh = {"patient": patient, "union_id": union_id, "created_at": at}
        index = union_id_index(union_id)
        return self.get_or_create(union_id_index=index, defaults=fresh)[0]


class WechatUnion(models.Model):
    """How WeChat calls a patient under every appid of the hospital's open platform account."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="wechat_unions")
    union_id = SealedField(context="wechat_union.union_id", subject="patient_id", max_length=128)
    union_id_index = models.CharField(max_length=32, unique=True, null=True)
    created_at = models.DateTimeField()

    objects = WechatUnionQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "微信 UnionID"


class Identification(models.Model):
    """How and when somebody's identity was established. One row per time it was."""

    class Method(models.TextChoices):
        WECHAT_FACE = "wechat_face", "微信刷脸实名"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="identifications")
    method = models.CharField("方式", max_length=16, choices=Method.choices)
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "身份核验"


def openid_index(appid: str, openid: str) -> str:
    return blind_index("wechat_account.openid", appid, openid)


def union_id_index(union_id: str) -> str:
    return blind_index("wechat_union.union_id", union_id)
