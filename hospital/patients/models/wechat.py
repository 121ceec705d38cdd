from datetime import datetime
from typing import Self, TypeVar

from django.db import IntegrityError, models, transaction
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex, Spread
from hospital.crypto.records import SealedModel, SealedQuerySet
from hospital.patients.models.patient import Patient

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


class WechatAccountQuerySet(SealedQuerySet["WechatAccount"]):
    def with_openid(self, appid: str, openid: str) -> Self:
        return self.filter(WechatAccount.by_openid.matching(appid, openid))

    def link(self, patient: Patient, *, appid: str, openid: str, at: datetime) -> "WechatAccount":
        """Return the account, as `patient`'s unless it already is somebody's; compare."""
        fresh = WechatAccount(
            patient=patient, appid=appid, openid=openid, created_at=at, last_used_at=at
        )
        return first_or_save(self.with_openid(appid, openid), fresh)


@changes_recorded(on="patient", facts=["patient", "before"], but=["last_used_at"])
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
    # None: before this was kept, or never since.
    last_used_at = models.DateTimeField(null=True)

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
