"""Which merchant we are to WeChat."""

import re

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from uuid6 import uuid7

from hospital.errors import Refusal

OFFICIAL = frozenset({"https://payapp.weixin.qq.com", "https://api.mch.weixin.qq.com"})


class NotConfigured(Refusal):
    code = "not_configured"
    message = "尚未配置微信商户，请联系系统管理员"


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
