from datetime import date, datetime
from typing import Self, TypeVar

from django.db import IntegrityError, models, transaction
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex, Spread
from hospital.crypto.normalising import PERSON_NAME
from hospital.crypto.records import SealedModel, SealedQuerySet
from hospital.patients import documents
from hospital.patients.documents import DocumentType

_M = TypeVar("_M", bound=models.Model)


def first_or_save(known: models.QuerySet[_M], fresh: _M) -> _M:
    """Return what is known already, or else `fresh`, saved; whoever is first, both get one row."""
    if found := known.first():
        return found
    try:
        with transaction.atomic():
            fresh.save(force_insert=True)
    except IntegrityError:
        return known.get()
    return fresh


class PatientQuerySet(SealedQuerySet["Patient"]):
    def with_document(self, document_type: int, number: str) -> Self:
        return self.filter(Patient.by_document.matching(*_document_parts(document_type, number)))

    def named(self, name: str, *, born: date) -> Self:
        return self.filter(Patient.by_name_and_birth.matching(name, born.isoformat()))


@changes_recorded()
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
        searchable="请用 Patient.objects.with_document()",
    )
    created_at = models.DateTimeField("建档时间", editable=False)

    by_document = BlindIndex(
        "patient.document",
        column="document_index",
        parts={"family of document types": Spread.NARROW, "document number": Spread.UNIQUE},
        of="_document_parts",
        unique=True,
    )
    by_name_and_birth = BlindIndex(
        "patient.name_birth",
        column="name_birth_index",
        parts={"full name": Spread.WIDE, "birth date": Spread.WIDE},
        of="_name_and_birth",
        normaliser=PERSON_NAME,
        bits=64,
    )

    objects = PatientQuerySet.as_manager()  # type: ignore[misc] # overrides a base's

    class Meta:
        verbose_name = verbose_name_plural = "患者"
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.number

    def _document_parts(self) -> tuple[str, str]:
        return _document_parts(self.document_type, self.document_number or "")

    def _name_and_birth(self) -> tuple[str, str] | None:
        born = documents.birth_date(self.document_type, self.document_number or "")
        return (self.real_name or "", born.isoformat()) if born else None

    @property
    def masked_name(self) -> str:
        return documents.masked_name(self.real_name or "")

    @property
    def masked_document(self) -> str:
        return documents.masked_number(self.document_number or "")


class WechatAccountQuerySet(SealedQuerySet["WechatAccount"]):
    def with_openid(self, appid: str, openid: str) -> Self:
        return self.filter(WechatAccount.by_openid.matching(appid, openid))

    def link(self, patient: Patient, *, appid: str, openid: str, at: datetime) -> "WechatAccount":
        """Return the account, as `patient`'s unless it already is somebody's; compare."""
        fresh = WechatAccount(patient=patient, appid=appid, openid=openid, created_at=at)
        return first_or_save(self.with_openid(appid, openid), fresh)


@changes_recorded(on="patient", facts=["patient", "before"])
class WechatAccount(SealedModel):
    """How WeChat calls a patient, per appid: a second visit is recognised by it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="wechat_accounts")
    appid = models.CharField(max_length=32)
    openid = SealedField(
        context="wechat_account.openid",
        subject="patient_id",
        max_length=128,
        searchable="请用 WechatAccount.objects.with_openid()",
    )
    created_at = models.DateTimeField()

    by_openid = BlindIndex(
        "wechat_account.openid",
        column="openid_index",
        parts={"appid": Spread.NARROW, "openid": Spread.UNIQUE},
        of="_openid_parts",
        unique=True,
    )

    objects = WechatAccountQuerySet.as_manager()  # type: ignore[misc] # overrides a base's

    class Meta:
        verbose_name = verbose_name_plural = "微信账号"

    def _openid_parts(self) -> tuple[str, str]:
        return self.appid, self.openid or ""


class WechatUnionQuerySet(SealedQuerySet["WechatUnion"]):
    def with_union_id(self, union_id: str) -> Self:
        return self.filter(WechatUnion.by_union_id.matching(union_id))

    def link(self, patient: Patient, union_id: str, *, at: datetime) -> "WechatUnion":
        """Return the union id, as `patient`'s unless it already is somebody's; compare."""
        fresh = WechatUnion(patient=patient, union_id=union_id, created_at=at)
        return first_or_save(self.with_union_id(union_id), fresh)


@changes_recorded(on="patient", facts=["patient", "before"])
class WechatUnion(SealedModel):
    """How WeChat calls a patient under every appid of the hospital's open platform account."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    patient = models.ForeignKey(Patient, models.CASCADE, related_name="wechat_unions")
    union_id = SealedField(context="wechat_union.union_id", subject="patient_id", max_length=128)
    created_at = models.DateTimeField()

    by_union_id = BlindIndex(
        "wechat_union.union_id",
        column="union_id_index",
        parts={"union id": Spread.UNIQUE},
        of="_union_id_parts",
        unique=True,
    )

    objects = WechatUnionQuerySet.as_manager()  # type: ignore[misc] # overrides a base's

    class Meta:
        verbose_name = verbose_name_plural = "微信 UnionID"

    def _union_id_parts(self) -> tuple[str]:
        return (self.union_id or "",)


@changes_recorded(on="patient")
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


def _document_parts(document_type: int, number: str) -> tuple[str, str]:
    return documents.family(document_type), documents.canonical_number(document_type, number)
