"""One visit and its moves; on what consent it stands; which merchant we are to WeChat."""

import hashlib
import json
import re
from datetime import datetime, timedelta
from typing import Any, ClassVar, Self
from uuid import UUID

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F
from uuid6 import uuid7

from devices.models import Terminal
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import blind_index
from hospital.crypto.keyring import SYSTEM_SUBJECT
from hospital.errors import Refusal
from hospital.patients.models import Patient

PURPOSE = re.compile(r"[a-z_]{1,32}")
OFFICIAL = frozenset({"https://payapp.weixin.qq.com", "https://api.mch.weixin.qq.com"})

LEASE = timedelta(seconds=30)  # longer than WeChat's time limits, shorter than patience
LIFETIME = timedelta(minutes=10)  # an unfinished session, and a pending face_sid


class WrongState(Refusal):
    code = "wrong_state"
    message = "会话已进入其他状态，请重新查询"


class NotConfigured(Refusal):
    code = "not_configured"
    message = "尚未配置微信商户，请联系系统管理员"


def file_name(value: str) -> None:
    """Key files are named, never pathed: they live in one directory the operator guards."""
    if "/" in value or value.startswith("."):
        raise ValidationError("只填文件名，不含路径")


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


class MerchantQuerySet(models.QuerySet["Merchant"]):
    def current(self) -> "Merchant":
        """:raises NotConfigured: nobody has set one up."""
        merchant = self.filter(is_active=True).first()
        if merchant is None:
            raise NotConfigured
        return merchant


class Merchant(models.Model):
    """Who we are to WeChat. Keys are files; the row only names them, one slot per use."""

    class SignType(models.TextChoices):
        HMAC_SHA256 = "HMAC-SHA256", "HMAC-SHA256"
        MD5 = "MD5", "MD5（不推荐）"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    is_active = models.BooleanField("使用中", default=True)
    appid = models.CharField("公众号 appid", max_length=32)
    mch_id = models.CharField("商户号", max_length=32)
    sub_appid = models.CharField("子商户 appid", max_length=32, blank=True)
    sub_mch_id = models.CharField("子商户号", max_length=32, blank=True)
    sub_serial_no = models.CharField("子商户证书序列号", max_length=64, blank=True)
    sign_type = models.CharField(
        "v2 签名方式", max_length=16, choices=SignType.choices, default=SignType.HMAC_SHA256
    )
    merchant_serial = models.CharField("商户 API 证书序列号", max_length=64)
    v2_base_url = models.URLField("v2 接入地址", default="https://payapp.weixin.qq.com")
    v3_base_url = models.URLField("v3 接入地址", default="https://api.mch.weixin.qq.com")
    wechat_public_key_id = models.CharField("微信支付公钥编号", max_length=64, blank=True)

    apiv2_key_file = models.CharField("APIv2 密钥文件", max_length=64, validators=[file_name])
    apiv3_key_file = models.CharField("APIv3 密钥文件", max_length=64, validators=[file_name])
    signing_key_file = models.CharField("签名私钥文件", max_length=64, validators=[file_name])
    decrypting_key_file = models.CharField("解密私钥文件", max_length=64, validators=[file_name])
    wechat_public_key_file = models.CharField(
        "微信支付公钥文件", max_length=64, blank=True, validators=[file_name]
    )
    changed_at = models.DateTimeField("修改时间", auto_now=True)

    objects = MerchantQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "微信商户"
        constraints = [
            models.UniqueConstraint(
                fields=["is_active"],
                condition=models.Q(is_active=True),
                name="merchant_one_active",
                violation_error_message="只能有一个使用中的商户",
            )
        ]

    def __str__(self) -> str:
        return self.mch_id

    @property
    def is_official(self) -> bool:
        """Whether it speaks to WeChat itself, not to a simulator."""
        return {self.v2_base_url, self.v3_base_url} <= OFFICIAL

    def clean(self) -> None:
        if not self.is_official and settings.DEPLOY_LEVEL != "demo":
            raise ValidationError("正式环境只能使用微信的接入地址")
        if not all(re.match("https?://", url) for url in (self.v2_base_url, self.v3_base_url)):
            raise ValidationError("接入地址须以 https:// 开头")
        if self.sub_mch_id and not self.sub_serial_no:
            raise ValidationError("服务商模式须填写子商户证书序列号")
        if self.sign_type == self.SignType.MD5 and settings.DEPLOY_LEVEL != "demo":
            raise ValidationError("正式环境不能使用 MD5 签名")


class NoticeQuerySet(models.QuerySet["Notice"]):
    def in_force(self, at: datetime) -> "Notice | None":
        return self.filter(in_force_from__lte=at).order_by("-in_force_from").first()


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
    digest = models.CharField("摘要", max_length=64, editable=False)
    in_force_from = models.DateTimeField("生效时间", null=True, editable=False)

    objects = NoticeQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "告知书"
        ordering = ["-version"]

    def __str__(self) -> str:
        return f"第 {self.version} 版"

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.digest = self.compute_digest()
        if kwargs.get("update_fields"):
            kwargs["update_fields"] = {*kwargs["update_fields"], "digest"}
        super().save(*args, **kwargs)

    def compute_digest(self) -> str:
        """Return SHA-256 (hex) over everything a patient reads."""
        shown = [self.version, self.title, self.text, self.purposes, self.fallback]
        text = json.dumps(shown, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


class Consent(models.Model):
    """Who said what to which notice. Retention: as long as the patient's record, ≥ 3 years."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    notice = models.ForeignKey(Notice, models.PROTECT, verbose_name="告知书")
    notice_digest = models.CharField("告知书摘要", max_length=64)
    granted = models.BooleanField("同意")
    purposes = models.JSONField("同意的目的")
    terminal = models.ForeignKey(Terminal, models.PROTECT, verbose_name="终端")
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "同意记录"
        ordering = ["-id"]

    def __str__(self) -> str:
        return "同意" if self.granted else "不同意"


class FaceSessionQuerySet(models.QuerySet["FaceSession"]):
    def of(self, terminal: Terminal) -> Self:
        return self.filter(terminal=terminal)

    def due(self, at: datetime) -> Self:
        """Return authorized sessions nobody is working on: fresh, postponed, or abandoned."""
        return self.filter(state=FaceSession.State.AUTHORIZED, due_at__lte=at)

    def unfinished_before(self, at: datetime) -> Self:
        waiting = [FaceSession.State.OPENED, FaceSession.State.SEEN]
        return self.filter(state__in=waiting, opened_at__lt=at)

    def claim(self, pk: UUID, *, at: datetime) -> "FaceSession | None":
        """
        Take a due session for `LEASE`; None if it is not due or somebody else has it.

        One UPDATE decides. A worker that dies leaves the lease to run out.
        """
        taken = self.due(at).filter(pk=pk).update(due_at=at + LEASE, attempts=F("attempts") + 1)
        return self.select_related("terminal", "merchant").get(pk=pk) if taken else None


class FaceSession(models.Model):
    """
    刷脸会话: one person in front of one terminal.

    `face_sid` and WeChat's answer are sealed while they are needed and gone with the move
    that ends the session; a keyed digest of `face_sid` stays, so that it works once.
    """

    class State(models.TextChoices):
        OPENED = "opened", "待识别"
        SEEN = "seen", "待授权"
        AUTHORIZED = "authorized", "建档中"
        ONBOARDED = "onboarded", "已建档"
        RECOGNISED = "recognised", "已识别（复诊）"
        REFUSED = "refused", "不同意"
        DECLINED = "declined", "未授权"
        GUARDIAN_REQUIRED = "guardian_required", "需监护人"
        FAILED = "failed", "失败"
        EXPIRED = "expired", "已过期"

    NEXT: ClassVar[dict[State, list[State]]] = {
        State.SEEN: [State.OPENED],
        State.RECOGNISED: [State.OPENED],
        State.AUTHORIZED: [State.SEEN],
        State.DECLINED: [State.SEEN],
        State.ONBOARDED: [State.AUTHORIZED],
        State.GUARDIAN_REQUIRED: [State.AUTHORIZED],
        State.FAILED: [State.SEEN, State.AUTHORIZED],
        State.EXPIRED: [State.OPENED, State.SEEN],
    }
    FINAL: ClassVar[frozenset[State]] = frozenset(
        {
            State.ONBOARDED,
            State.RECOGNISED,
            State.REFUSED,
            State.DECLINED,
            State.GUARDIAN_REQUIRED,
            State.FAILED,
            State.EXPIRED,
        }
    )

    id = models.UUIDField("会话编号", primary_key=True, default=uuid7, editable=False)
    terminal = models.ForeignKey(Terminal, models.PROTECT, verbose_name="终端")
    merchant = models.ForeignKey(Merchant, models.PROTECT, null=True, verbose_name="商户")
    consent = models.OneToOneField(Consent, models.PROTECT, verbose_name="同意记录")
    state = models.CharField("状态", max_length=20, choices=State.choices)
    reason = models.CharField("原因", max_length=64, blank=True)
    patient = models.ForeignKey(Patient, models.PROTECT, null=True, verbose_name="患者")

    face_sid = SealedField(
        context="face_session.face_sid", subject=SYSTEM_SUBJECT, max_length=128, null=True
    )
    face_sid_index = models.CharField(max_length=32, unique=True, null=True, editable=False)
    answer = SealedField(context="face_session.answer", subject=SYSTEM_SUBJECT, null=True)
    wechat_request_id = models.CharField("微信请求编号", max_length=64, blank=True)

    opened_at = models.DateTimeField("开始时间")
    finished_at = models.DateTimeField("结束时间", null=True)
    # Authorized only: when somebody may (again) work on it. A lease is a due time ahead.
    due_at = models.DateTimeField(null=True)
    # Only ever grows: it names the lease as well.
    attempts = models.PositiveSmallIntegerField("尝试次数", default=0)
    excused = models.PositiveSmallIntegerField(default=0)  # attempts that failed by our fault

    objects = FaceSessionQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "刷脸会话"
        ordering = ["-id"]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"], condition=models.Q(state="authorized"), name="session_due"
            ),
            models.Index(
                fields=["opened_at"],
                condition=models.Q(state__in=["opened", "seen"]),
                name="session_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_final(self) -> bool:
        return self.state in self.FINAL

    def see(self, *, face_sid: str, index: str) -> None:
        """:raises WrongState: somebody was seen already."""
        self._move(self.State.SEEN, face_sid=face_sid, face_sid_index=index)

    def recognise(self, patient: Patient, *, at: datetime) -> None:
        """:raises WrongState: somebody was seen already."""
        self._finish(self.State.RECOGNISED, at=at, patient=patient)

    def authorize(self, *, at: datetime) -> None:
        """:raises WrongState: nobody was seen, or they already answered."""
        self._move(self.State.AUTHORIZED, due_at=at)

    def end(self, state: State, *, at: datetime, reason: str = "") -> None:
        """
        Finish without a patient.

        :raises WrongState: the session is not where this end is reached from
        """
        self._finish(state, at=at, reason=reason)

    def complete(self, patient: Patient, *, at: datetime) -> None:
        """:raises WrongState: another worker was faster."""
        self._finish(self.State.ONBOARDED, at=at, patient=patient)

    def postpone(self, *, until: datetime, counted: bool = True) -> None:
        """
        Give the lease back; the sweeper wakes the session again at `until`.

        :param counted: the attempt counts against the session, not against ourselves
        :raises WrongState: the lease was lost, or the session ended
        """
        mine = FaceSession.objects.filter(
            pk=self.pk, state=self.State.AUTHORIZED, attempts=self.attempts
        )
        if not mine.update(due_at=until, excused=F("excused") + (0 if counted else 1)):
            raise WrongState

    def keep(self, answer: str, *, wechat_request_id: str) -> None:
        """
        Keep WeChat's verified answer, sealed, until the patient is on record.

        :raises WrongState: the session ended meanwhile
        """
        self._update(
            [self.State.AUTHORIZED], answer=answer, wechat_request_id=wechat_request_id[:64]
        )

    def drop_answer(self) -> None:
        """:raises WrongState: the session ended meanwhile"""
        self._update([self.State.AUTHORIZED], answer=None)

    def _finish(self, to: State, *, at: datetime, **fields: Any) -> None:
        self._move(to, finished_at=at, face_sid=None, answer=None, due_at=None, **fields)

    def _move(self, to: State, **fields: Any) -> None:
        self._update(self.NEXT[to], state=to, **fields)

    def _update(self, here: list[State], **fields: Any) -> None:
        """
        Compare and set: two may both try, one succeeds.

        `attempts` names the lease: a worker whose own ran out changes nothing any more.
        """
        for name in ("face_sid", "answer"):
            if fields.get(name) is not None:
                setattr(self, name, fields[name])
                fields[name] = _column(name).pre_save(self, add=False)
        mine = FaceSession.objects.filter(pk=self.pk, attempts=self.attempts)
        if not mine.filter(state__in=here).update(**fields):
            raise WrongState
        self.refresh_from_db()


def _column(name: str) -> SealedField:
    column = FaceSession._meta.get_field(name)
    assert isinstance(column, SealedField)  # noqa: S101 (the two named above are)
    return column


def face_sid_index(face_sid: str) -> str:
    return blind_index("face_session.face_sid", face_sid)
