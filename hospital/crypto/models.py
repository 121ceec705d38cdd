"""The keys, wrapped. Nothing here opens anything: `hospital.crypto.keyring` does."""

from typing import Any, ClassVar

from django.db import models, router
from django.db.models.functions import Now

from hospital.crypto.suites import Mac, Suite

_SUITES = [(Suite.AES_256_GCM.value, "AES-256-GCM"), (Suite.SM4_GCM.value, "SM4-GCM")]
_MACS = [(Mac.HMAC_SHA256.value, "HMAC-SHA256"), (Mac.HMAC_SM3.value, "HMAC-SM3")]


def key_database() -> str:
    """Return the alias the key tables are on; for reading, too."""
    return router.db_for_write(DataKey)


class KeyEpoch(models.Model):
    """A key-encryption key: it wraps data keys and index keys, and a provider wraps it."""

    class State(models.TextChoices):
        ACTIVE = "active", "使用中"
        DECRYPT_ONLY = "decrypt_only", "仅解密"
        DESTROYED = "destroyed", "已销毁"

    epoch = models.PositiveIntegerField("代次", unique=True)
    suite = models.PositiveSmallIntegerField("密码套件", choices=_SUITES)
    provider = models.CharField("密钥提供方", max_length=32)
    wrapped = models.BinaryField("封装后的密钥")
    check_value = models.BinaryField("密钥校验值")
    state = models.CharField("状态", max_length=16, choices=State, default=State.ACTIVE)
    created_at = models.DateTimeField("创建时间", auto_now_add=True)

    class Meta:
        verbose_name = "主密钥"
        verbose_name_plural = "主密钥"
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=models.Q(state="active"), name="one_active_key_epoch"
            )
        ]

    def __str__(self) -> str:
        return f"第 {self.epoch} 代主密钥"


class DataKey(models.Model):
    """One patient's key; without it nothing sealed for that patient can be read again."""

    subject = models.UUIDField("主体")
    generation = models.PositiveIntegerField("代次")
    suite = models.PositiveSmallIntegerField("密码套件", choices=_SUITES)
    epoch = models.ForeignKey(KeyEpoch, models.PROTECT, verbose_name="主密钥", related_name="+")
    wrapped = models.BinaryField("封装后的密钥", null=True)  # NULL: destroyed
    check_value = models.BinaryField("密钥校验值")
    created_at = models.DateTimeField("创建时间", auto_now_add=True)
    destroyed_at = models.DateTimeField("销毁时间", null=True)

    class Meta:
        verbose_name = "数据密钥"
        verbose_name_plural = "数据密钥"
        constraints = [
            models.UniqueConstraint(
                fields=["subject", "generation"], name="one_data_key_per_generation"
            ),
            models.CheckConstraint(
                condition=models.Q(wrapped__isnull=True, destroyed_at__isnull=False)
                | models.Q(wrapped__isnull=False, destroyed_at__isnull=True),
                name="data_key_destroyed_or_not",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.subject} 第 {self.generation} 代数据密钥"


class IndexKey(models.Model):
    """What makes one blind index: as secret as the data, and destroyed apart from it."""

    class State(models.TextChoices):
        FILLING = "filling", "填充中"
        ACTIVE = "active", "使用中"
        RETIRING = "retiring", "停止查询"
        RETIRED = "retired", "清除中"
        DESTROYED = "destroyed", "已销毁"

    label = models.CharField("索引", max_length=64)
    version = models.PositiveIntegerField("版本")
    algorithm = models.PositiveSmallIntegerField("算法", choices=_MACS)
    normaliser = models.CharField("归一规则", max_length=32, db_default="opaque/1")
    state = models.CharField("状态", max_length=16, choices=State, db_default=State.ACTIVE)
    since = models.DateTimeField("进入此状态的时间", db_default=Now())
    epoch = models.ForeignKey(KeyEpoch, models.PROTECT, verbose_name="主密钥", related_name="+")
    wrapped = models.BinaryField("封装后的密钥", null=True)  # NULL: destroyed
    check_value = models.BinaryField("密钥校验值")

    class Meta:
        verbose_name = "索引密钥"
        verbose_name_plural = "索引密钥"
        constraints = [
            models.UniqueConstraint(fields=["label", "version"], name="one_index_key_per_version"),
            models.UniqueConstraint(
                fields=["label"], condition=models.Q(state="active"), name="one_active_index_key"
            ),
            models.CheckConstraint(
                condition=models.Q(wrapped__isnull=True, state="destroyed")
                | models.Q(wrapped__isnull=False) & ~models.Q(state="destroyed"),
                name="index_key_destroyed_or_not",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} 第 {self.version} 版索引密钥"


class Job(models.Model):
    """
    One rotation, or one examination: how far it is, and who is at it.

    A worker that dies leaves its lease to run out; whoever takes the job up goes on behind the
    cursor, which commits together with the work it stands for. Retention: kept, as evidence.
    """

    class Kind(models.TextChoices):
        KEK = "kek", "更换主密钥"
        DATA = "data", "更换数据密钥"
        INDEX = "index", "更换索引密钥"
        CHECK = "check", "封存检查"

    class State(models.TextChoices):
        OPEN = "open", "未完成"
        DONE = "done", "完成"
        FAILED = "failed", "未通过"

    kind = models.CharField("类型", max_length=8, choices=Kind)
    target = models.CharField("目标", max_length=64)  # epoch, suite or label and version
    state = models.CharField("状态", max_length=8, choices=State, default=State.OPEN)
    phase = models.CharField("阶段", max_length=64, blank=True)
    cursor = models.CharField(max_length=64, blank=True)  # the last key dealt with in this phase
    total = models.PositiveBigIntegerField("总数", default=0)
    done = models.PositiveBigIntegerField("已处理", default=0)
    conflicts = models.PositiveBigIntegerField("重做", default=0)
    failed = models.PositiveBigIntegerField("失败", default=0)
    rate = models.PositiveIntegerField("每秒上限", default=0)  # rows per second; 0: none
    # Of the failed: model, primary key and the class of the error; never a value.
    findings = models.JSONField("发现", default=list)
    lease_owner = models.CharField(max_length=64, blank=True)
    lease_until = models.DateTimeField(null=True)
    created_at = models.DateTimeField("开始时间", auto_now_add=True)
    phase_began_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField("结束时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "密钥任务"
        ordering: ClassVar = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "target"],
                condition=models.Q(state="open"),
                name="one_open_job_per_target",
            )
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.target}"

    @property
    def facts(self) -> dict[str, Any]:
        """What the trail states of it: words and counts, nobody's data."""
        stated = ("kind", "target", "total", "conflicts", "failed")
        return {name: getattr(self, name) for name in stated}
