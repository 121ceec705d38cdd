from collections.abc import Collection
from datetime import datetime
from typing import ClassVar, Final, Self
from uuid import UUID

from django.db import models
from django.db.models import Case, Q, When, Window
from django.db.models.functions import RowNumber
from uuid6 import uuid7

from hospital.accounts.models import Staff
from hospital.audit.coverage import changes_recorded, changes_unrecorded
from hospital.audit.recording import Actor
from hospital.crypto.fields import SealedField
from hospital.crypto.keyring import SYSTEM_SUBJECT


@changes_recorded()
class Store(models.Model):
    """门店: a campus or lobby, as WeChat knows it."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    # Limits of get_wxpayface_authinfo: store_id 32 bytes, store_name 128.
    code = models.SlugField("门店编号", max_length=32, unique=True)
    name = models.CharField("门店名称", max_length=40)
    campus = models.SlugField("院区", max_length=16, default="main")  # a code of settings.CAMPUSES
    # Where who does not use the face is served: no terminal works without (人脸识别办法 第十条).
    fallback = models.CharField(
        "不刷脸到哪里办理", max_length=64, default="人工窗口", help_text="例如：一楼 3 号人工窗口"
    )

    class Meta:
        verbose_name = verbose_name_plural = "门店"
        ordering = ["code"]
        constraints: ClassVar = [
            models.CheckConstraint(condition=~Q(fallback=""), name="store_has_another_way")
        ]

    def __str__(self) -> str:
        return self.name


# Said by the terminal once a minute: news, not acts.
HEARTBEAT: Final = (
    "model",
    "sdk_version",
    "agent_version",
    "os",
    "camera",
    "disk_free_mb",
    "uptime",
    "last_error",
    "clock_offset",
    "last_seen_at",
)


class TerminalQuerySet(models.QuerySet["Terminal"]):
    def suspended(self) -> Self:
        return self.filter(suspension__isnull=False)

    def running(self) -> Self:
        return self.filter(suspension__isnull=True)

    def never_heard(self) -> Self:
        return self.running().filter(last_seen_at=None)

    def heard(self) -> Self:
        return self.running().filter(last_seen_at__isnull=False)

    def online(self, *, since: datetime) -> Self:
        return self.running().filter(last_seen_at__gte=since)

    def silent(self, *, since: datetime) -> Self:
        return self.running().filter(last_seen_at__lt=since)

    def fallen_silent(self, *, since: datetime) -> Self:
        """Return those not heard `since` then, suspended or not, of which no record says so."""
        return self.filter(last_seen_at__lt=since, silent_since=None)

    def drifting(self, *, seconds: float) -> Self:
        return self.heard().filter(Q(clock_offset__gt=seconds) | Q(clock_offset__lt=-seconds))


@changes_recorded(but=HEARTBEAT)
class Terminal(models.Model):
    """终端: one box on one wall. It signs with a key of its own."""

    class Camera(models.TextChoices):
        READY = "ready", "就绪"
        BUSY = "busy", "占用中"
        MISSING = "missing", "未找到"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    serial = models.SlugField("终端编号", max_length=32, unique=True)  # WeChat's device_id
    name = models.CharField("位置", max_length=64)
    store = models.ForeignKey(Store, models.PROTECT, related_name="terminals", verbose_name="门店")
    model = models.CharField("型号", max_length=64, blank=True, editable=False)
    sdk_version = models.CharField("SDK 版本", max_length=32, blank=True, editable=False)
    agent_version = models.CharField("程序版本", max_length=32, blank=True, editable=False)
    os = models.CharField("操作系统", max_length=64, blank=True, editable=False)
    camera = models.CharField(
        "摄像头", max_length=16, choices=Camera.choices, blank=True, editable=False
    )
    # Mebibytes.
    disk_free_mb = models.PositiveIntegerField("磁盘剩余", null=True, editable=False)
    uptime = models.PositiveIntegerField("已运行（秒）", null=True, editable=False)
    last_error = models.CharField("最近故障", max_length=32, blank=True, editable=False)
    clock_offset = models.FloatField("时钟偏差（秒）", null=True, editable=False)
    last_seen_at = models.DateTimeField("最近心跳", null=True, editable=False)
    # Set while a silence is on record, so that each is recorded once.
    silent_since = models.DateTimeField("失联自", null=True, editable=False)
    replaced_at = models.DateTimeField("已被新设备接替", null=True, editable=False)

    objects = TerminalQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "终端"
        ordering = ["serial"]

    def __str__(self) -> str:
        return self.serial

    @property
    def actor(self) -> Actor:
        return Actor("terminal", str(self.pk))


class TerminalKeyQuerySet(models.QuerySet["TerminalKey"]):
    def in_force(self) -> Self:
        return self.filter(revoked_at=None)


@changes_recorded(on="terminal")
class TerminalKey(models.Model):
    """
    A public key of a terminal's. The private one never leaves the box.

    Retention: as long as the terminal, also when revoked: it must not be registered again.
    """

    class Ending(models.TextChoices):
        REVOKED = "revoked", "已吊销"
        ROTATED = "rotated", "已轮换"
        REPLACED = "replaced", "已被新设备接替"

    class Algorithm(models.TextChoices):
        # Names of the HTTP Signature Algorithms registry (RFC 9421 section 6.2).
        P256 = "ecdsa-p256-sha256", "ECDSA P-256"
        ED25519 = "ed25519", "Ed25519"

    # base64url, unpadded, of SHA-256 over the DER SubjectPublicKeyInfo.
    id = models.CharField("密钥编号", primary_key=True, max_length=43)
    terminal = models.ForeignKey(Terminal, models.CASCADE, related_name="keys")
    algorithm = models.CharField("算法", max_length=24, choices=Algorithm.choices)
    public_key = models.TextField("公钥")
    created_at = models.DateTimeField("登记时间")
    revoked_at = models.DateTimeField("吊销时间", null=True, blank=True)
    ending = models.CharField("失效原因", max_length=16, choices=Ending.choices, blank=True)

    objects = TerminalKeyQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "终端密钥"

    def __str__(self) -> str:
        return self.id


class TerminalRequestQuerySet(models.QuerySet["TerminalRequest"]):
    def of(self, terminals: Collection[UUID]) -> Self:
        return self.filter(terminal__in=terminals)

    def surplus(self) -> Self:
        """Return what is beyond each terminal's newest: `KEPT` of its own, `UNPROVEN` besides."""
        unproven = Case(When(status=TerminalRequest.NOT_THE_TERMINAL, then=True), default=False)
        place = Window(RowNumber(), partition_by=["terminal", unproven], order_by=["-at", "-id"])
        kept = Case(
            When(status=TerminalRequest.NOT_THE_TERMINAL, then=TerminalRequest.UNPROVEN),
            default=TerminalRequest.KEPT,
        )
        older = self.annotate(place=place).filter(place__gt=kept)
        return type(self)(self.model, using=self.db).filter(pk__in=older.values("pk"))


@changes_unrecorded("for whoever mends terminals; the trail is kept apart from it")
class TerminalRequest(models.Model):
    """
    What a terminal asked lately and how it was answered: no body, nobody's id.

    For whoever mends terminals; the trail is kept apart from it. Retention: the newest 50 of
    each terminal, and apart from them the newest 10 that only named its key: a key's id is no
    secret, and who knows one must not push out what the terminal asked.
    """

    KEPT: ClassVar = 50
    UNPROVEN: ClassVar = 10
    NOT_THE_TERMINAL: ClassVar = 401

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    terminal = models.ForeignKey(Terminal, models.CASCADE, related_name="requests")
    at = models.DateTimeField("时间")
    method = models.CharField("方法", max_length=8)
    route = models.CharField("接口", max_length=64)
    status = models.PositiveSmallIntegerField("状态码")
    code = models.CharField("结果", max_length=64, blank=True)
    ms = models.PositiveIntegerField("耗时（毫秒）")
    request_id = models.CharField("请求编号", max_length=36)

    objects = TerminalRequestQuerySet.as_manager()

    class Meta:
        verbose_name = verbose_name_plural = "终端请求"
        ordering = ["-at", "-id"]
        indexes: ClassVar = [models.Index(fields=["terminal", "-at"], name="terminal_request")]


@changes_recorded(on="terminal")
class Activation(models.Model):
    """A one-time code by which a box becomes this terminal. Retention: until the next one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    terminal = models.OneToOneField(Terminal, models.CASCADE, related_name="activation")
    code_digest = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField("有效期至")

    class Meta:
        verbose_name = verbose_name_plural = "激活码"


@changes_recorded(on="terminal")
class Suspension(models.Model):
    """Who stopped a terminal, when and why. Lifting it deletes the row; the trail remembers."""

    terminal = models.OneToOneField(
        Terminal, models.CASCADE, primary_key=True, related_name="suspension"
    )
    by = models.ForeignKey(Staff, models.PROTECT, verbose_name="操作人")
    at = models.DateTimeField("时间")
    reason = models.CharField("原因", max_length=200)

    class Meta:
        verbose_name = verbose_name_plural = "停用"

    def __str__(self) -> str:
        return self.reason


@changes_unrecorded("answers to be given again, for a day")
class StoredAnswer(models.Model):
    """
    The first answer to an `Idempotency-Key`, to be given again.

    Sealed, since it may hold a masked name. Retention: 24 hours.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    terminal = models.ForeignKey(Terminal, models.CASCADE)
    key = models.CharField(max_length=64)
    fingerprint = models.CharField(max_length=64)  # SHA-256 of path and body
    status = models.PositiveSmallIntegerField(null=True)
    body = SealedField(context="devices.stored_answer", subject=SYSTEM_SUBJECT, null=True)
    created_at = models.DateTimeField(db_index=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["terminal", "key"], name="stored_answer_once")
        ]
