"""What patients are told before the camera, and what they say to it."""

import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self

from cryptography.hazmat.primitives import hashes
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import Q
from uuid6 import uuid7

from devices.models import Terminal
from hospital.audit.coverage import changes_recorded, changes_unrecorded

PURPOSE = re.compile(r"[a-z_]{1,32}")


def purposes_shape(value: Any) -> None:
    """A list of `{code, label, required}`, at least one of them required."""
    shape = {"code": str, "label": str, "required": bool}
    well_formed = isinstance(value, list) and all(
        isinstance(purpose, dict)
        and purpose.keys() == shape.keys()
        and all(isinstance(purpose[name], kind) for name, kind in shape.items())
        and PURPOSE.fullmatch(purpose["code"])
        for purpose in value
    )
    if not well_formed or not any(purpose["required"] for purpose in value):
        raise ValidationError("每项须有 code（小写字母）、label、required，且至少一项为必要")


class NoticeQuerySet(models.QuerySet["Notice"]):
    def in_force(self, at: datetime) -> "Notice | None":
        return self._latest(at).first()

    def version_in_force(self, at: datetime) -> int | None:
        """Return the number alone: a heartbeat has no use for the text."""
        return self._latest(at).values_list("version", flat=True).first()

    def _latest(self, at: datetime) -> Self:
        return self.filter(in_force_from__lte=at).order_by("-in_force_from")


@changes_recorded()
class Notice(models.Model):
    """告知书: what a patient is told before the camera is used. Fixed once in force."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    version = models.PositiveIntegerField("版本", unique=True)
    title = models.CharField("标题", max_length=64)
    text = models.TextField("正文")
    purposes = models.JSONField(
        "处理目的",
        validators=[purposes_shape],
        help_text='[{"code": "onboarding", "label": "…", "required": true}]',
    )
    fallback = models.CharField("不刷脸怎么办", max_length=200)
    digest = models.CharField("摘要（SHA-256）", max_length=64, editable=False)
    digest_sm3 = models.CharField("摘要（SM3）", max_length=64, editable=False, blank=True)
    in_force_from = models.DateTimeField("生效时间", null=True, editable=False)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "告知书"
        ordering = ["-version"]

    def __str__(self) -> str:
        return f"第 {self.version} 版"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.digest, self.digest_sm3 = self.compute_digests()
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = {*kwargs["update_fields"], "digest", "digest_sm3"}
        super().save(*args, **kwargs)

    @property
    def codes(self) -> frozenset[str]:
        """Of the purposes it names."""
        return frozenset(purpose["code"] for purpose in self.purposes)

    @property
    def required_codes(self) -> frozenset[str]:
        """Of the purposes without which nobody is looked at."""
        return frozenset(purpose["code"] for purpose in self.purposes if purpose["required"])

    def compute_digests(self) -> tuple[str, str]:
        """Return SHA-256 and SM3 (GB/T 32905), both hex, over everything a patient reads."""
        shown = [self.version, self.title, self.text, self.purposes, self.fallback]
        text = json.dumps(shown, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()
        sm3 = hashes.Hash(hashes.SM3())
        sm3.update(text)
        return hashlib.sha256(text).hexdigest(), sm3.finalize().hex()


@changes_recorded(facts=["consent"])
class Consent(models.Model):
    """Who said what to which notice. Retention: as long as the patient's record, ≥ 3 years."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    notice = models.ForeignKey(Notice, models.PROTECT, verbose_name="告知书")
    notice_digest = models.CharField("告知书摘要", max_length=64)
    granted = models.BooleanField("同意")
    purposes = models.JSONField("同意的目的")
    # Where it was said: at a terminal, or to somebody at the desk.
    terminal = models.ForeignKey(Terminal, models.PROTECT, null=True, verbose_name="终端")
    by = models.UUIDField("经办人", null=True)  # no foreign key: the row outlives the account
    at = models.DateTimeField("时间")
    # Whose it is, once that is known: a refusal has nobody. No foreign key: it outlives the record.
    patient = models.UUIDField("患者", null=True)
    guardian = models.UUIDField("监护人", null=True)  # who said it for a child
    withdrawn_at = models.DateTimeField("撤回时间", null=True)
    withdrawn_by = models.UUIDField("撤回经办人", null=True)  # None: by the patient at a terminal

    class Meta:
        verbose_name = verbose_name_plural = "同意记录"
        ordering = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(terminal__isnull=False) | Q(by__isnull=False),
                name="consent_said_somewhere",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["patient", "-id"], name="consent_of_patient")]

    def __str__(self) -> str:
        return "同意" if self.granted else "不同意"


@changes_unrecorded("a keyed digest; that somebody declined is on record as session.decline")
class Declining(models.Model):
    """
    That a WeChat account said no lately: no terminal asks it again of itself.

    Kept under a keyed digest, as a `face_sid` is. Retention: until `until`, 30 days.
    """

    LASTS: ClassVar = timedelta(days=30)  # 网络数据安全管理条例 第二十二条: 不得频繁征求同意

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    openid_index = models.CharField(max_length=32, unique=True)  # token_digests, as of a face_sid
    until = models.DateTimeField(db_index=True)

    class Meta:
        verbose_name = verbose_name_plural = "近期不同意"
