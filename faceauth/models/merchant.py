"""Which merchant we are to WeChat."""

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator
from django.db import models
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.errors import Refusal

OFFICIAL = frozenset({"https://payapp.weixin.qq.com", "https://api.mch.weixin.qq.com"})


class NotConfigured(Refusal):
    code = "not_configured"
    message = "尚未配置微信商户，请联系系统管理员"


APPID = RegexValidator(r"\A[A-Za-z0-9]{1,32}\Z", "只含字母和数字，最多 32 位")
MCH_ID = RegexValidator(r"\A[0-9]{1,32}\Z", "只含数字")


def file_name(value: str) -> None:
    """Key files are named, never pathed: they live in one directory the operator guards."""
    if "/" in value or value.startswith("."):
        raise ValidationError("只填文件名，不含路径")


class MerchantQuerySet(models.QuerySet["Merchant"]):
    def current(self) -> "Merchant":
        """:raises NotConfigured: nobody has set one up."""
        merchant = self.filter(is_active=True).first()
        if merchant is None:
            raise NotConfigured
        return merchant


class Slot(models.TextChoices):
    """A key of the merchant's, and the columns that hold it: one per use."""

    APIV2_KEY = "apiv2_key", "APIv2 密钥"
    APIV3_KEY = "apiv3_key", "APIv3 密钥"
    SIGNING_KEY = "signing_key", "签名私钥"
    DECRYPTING_KEY = "decrypting_key", "解密私钥"
    SIGNER_KEY = "signer_key", "签名服务私钥"

    @property
    def file(self) -> str:
        """The column that names the key's file."""
        return f"{self.value}_file"


def _sealed(slot: Slot) -> models.BinaryField[bytes, bytes]:
    return models.BinaryField(slot.label, default=b"", blank=True, editable=True)


def _file(slot: Slot) -> models.CharField[str, str]:
    return models.CharField(f"{slot.label}文件", max_length=64, blank=True, validators=[file_name])


@changes_recorded(but={"changed_at"})
class Merchant(models.Model):
    """
    Who we are to WeChat.

    A key is sealed to the worker in the column of its slot (`faceauth.merchant_keys`), or is a
    file the row only names. Certificates and WeChat's public key are nobody's secret.
    """

    class Mode(models.TextChoices):
        DIRECT = "direct", "普通商户"
        PARTNER = "partner", "服务商"

    class SignType(models.TextChoices):
        HMAC_SHA256 = "HMAC-SHA256", "HMAC-SHA256"
        MD5 = "MD5", "MD5（不推荐）"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    is_active = models.BooleanField("使用中", default=True)
    mode = models.CharField("接入模式", max_length=16, choices=Mode.choices, default=Mode.DIRECT)
    appid = models.CharField("公众号 appid", max_length=32, validators=[APPID])
    mch_id = models.CharField("商户号", max_length=32, validators=[MCH_ID])
    sub_appid = models.CharField("子商户 appid", max_length=32, blank=True, validators=[APPID])
    sub_mch_id = models.CharField("子商户号", max_length=32, blank=True, validators=[MCH_ID])
    sub_serial_no = models.CharField("子商户证书序列号", max_length=64, blank=True)
    sign_type = models.CharField(
        "v2 签名方式", max_length=16, choices=SignType.choices, default=SignType.HMAC_SHA256
    )
    asks_union_id = models.BooleanField("公众号已绑定开放平台", default=False)
    merchant_serial = models.CharField("商户 API 证书序列号", max_length=64, blank=True)
    v2_base_url = models.URLField("v2 接入地址", default="https://payapp.weixin.qq.com")
    v3_base_url = models.URLField("v3 接入地址", default="https://api.mch.weixin.qq.com")
    signer_url = models.URLField("签名服务地址", blank=True)
    signer_key_id = models.CharField("签名服务密钥编号", max_length=64, blank=True, editable=False)

    apiv2_key = _sealed(Slot.APIV2_KEY)
    apiv2_key_file = _file(Slot.APIV2_KEY)
    apiv3_key = _sealed(Slot.APIV3_KEY)
    apiv3_key_file = _file(Slot.APIV3_KEY)
    signing_key = _sealed(Slot.SIGNING_KEY)
    signing_key_file = _file(Slot.SIGNING_KEY)
    decrypting_key = _sealed(Slot.DECRYPTING_KEY)
    decrypting_key_file = _file(Slot.DECRYPTING_KEY)
    signer_key = _sealed(Slot.SIGNER_KEY)
    signer_key_file = _file(Slot.SIGNER_KEY)

    # Of the public halves, taken when the keys were uploaded: SHA-256 of the SPKI, in hex.
    signing_key_print = models.CharField(max_length=64, blank=True, editable=False)
    decrypting_key_print = models.CharField(max_length=64, blank=True, editable=False)

    merchant_certificate = models.TextField("商户 API 证书", blank=True)
    decrypting_certificate = models.TextField("解密证书", blank=True)
    wechat_public_key_id = models.CharField("微信支付公钥编号", max_length=64, blank=True)
    wechat_public_key = models.TextField("微信支付公钥", blank=True)
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

    @property
    def is_partner(self) -> bool:
        """Whether a 服务商 acts for the hospital."""
        return self.mode == self.Mode.PARTNER

    def has(self, slot: Slot) -> bool:
        """Whether the key is there, sealed or as a file."""
        return bool(getattr(self, slot) or getattr(self, slot.file))

    @property
    def decrypting_slot(self) -> Slot:
        """Whose key opens what WeChat encrypts; one certificate may do for both uses."""
        own = self.is_partner or self.has(Slot.DECRYPTING_KEY)
        return Slot.DECRYPTING_KEY if own else Slot.SIGNING_KEY

    @property
    def missing(self) -> list[str]:
        """What it still wants, by name, before WeChat can be asked anything."""
        public_key = self.wechat_public_key or self.wechat_public_key_file
        signer = Slot.SIGNER_KEY if self.signer_url else Slot.SIGNING_KEY
        wanted = {
            str(slot.label): self.has(slot)
            for slot in (Slot.APIV2_KEY, signer, self.decrypting_slot)
        }
        wanted["商户 API 证书序列号"] = bool(self.merchant_serial or self.signer_url)
        # A signing service signs questions about patients, never one for WeChat's certificates.
        certificates = self.has(Slot.APIV3_KEY) and not self.signer_url
        wanted["微信支付公钥"] = bool(certificates or (public_key and self.wechat_public_key_id))
        return [name for name, there in wanted.items() if not there]

    def clean(self) -> None:
        strict = settings.DEPLOY_LEVEL != "demo"
        if not self.is_official and strict:
            raise ValidationError("正式环境只能使用微信的接入地址")
        if not all(re.match("https?://", url) for url in (self.v2_base_url, self.v3_base_url)):
            raise ValidationError("接入地址须以 https:// 开头")
        if self.sign_type == self.SignType.MD5 and strict:
            raise ValidationError("正式环境不能使用 MD5 签名")
        if self.signer_url and strict and not self.signer_url.startswith("https://"):
            raise ValidationError({"signer_url": "正式环境的签名服务须以 https:// 开头"})
        if self.is_partner:
            self._check_partner()
        elif self.sub_mch_id or self.sub_appid or self.sub_serial_no:
            raise ValidationError("普通商户没有子商户：改为服务商模式，或清空子商户各项")

    def _check_partner(self) -> None:
        wanted = {
            "sub_mch_id": "服务商模式须填写子商户号",
            "sub_serial_no": "服务商模式须上传解密证书，或填写子商户证书序列号",
        }
        missing = {name: text for name, text in wanted.items() if not getattr(self, name)}
        if missing:
            raise ValidationError(missing)
