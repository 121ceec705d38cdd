"""The keys, wrapped. Nothing here opens anything: `hospital.crypto.keyring` does."""

from django.db import models

from hospital.crypto.suites import Mac, Suite

_SUITES = [(Suite.AES_256_GCM.value, "AES-256-GCM"), (Suite.SM4_GCM.value, "SM4-GCM")]
_MACS = [(Mac.HMAC_SHA256.value, "HMAC-SHA256"), (Mac.HMAC_SM3.value, "HMAC-SM3")]


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

    label = models.CharField("索引", max_length=64)
    version = models.PositiveIntegerField("版本")
    algorithm = models.PositiveSmallIntegerField("算法", choices=_MACS)
    epoch = models.ForeignKey(KeyEpoch, models.PROTECT, verbose_name="主密钥", related_name="+")
    wrapped = models.BinaryField("封装后的密钥")
    check_value = models.BinaryField("密钥校验值")

    class Meta:
        verbose_name = "索引密钥"
        verbose_name_plural = "索引密钥"
        constraints = [
            models.UniqueConstraint(fields=["label", "version"], name="one_index_key_per_version")
        ]

    def __str__(self) -> str:
        return f"{self.label} 第 {self.version} 版索引密钥"
