"""What a merchant must not be in production: `manage.py check --database default`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import DatabaseError
from django.utils import timezone

from faceauth import merchant_certificates
from faceauth.models import Merchant


@register(Tags.database)
def merchants(databases: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    """Return what is wrong with the merchant in use; only asked for with a database."""
    if "default" not in (databases or ()):
        return []
    try:
        return _found()
    except DatabaseError:  # `migrate` asks before it has made, or changed, the tables
        return []


def _found() -> list[CheckMessage]:
    kind = Warning if settings.DEPLOY_LEVEL == "demo" else Error
    found: list[CheckMessage] = []
    for merchant in Merchant.objects.filter(is_active=True):
        if merchant.sign_type == Merchant.SignType.MD5:
            found.append(kind("微信商户使用 MD5 签名", hint="改为 HMAC-SHA256", id="faceauth.E001"))
        if not merchant.is_official:
            found.append(
                kind("微信接入地址不是微信的", hint="模拟器只用于演示", id="faceauth.E002")
            )
        if merchant.missing:
            missing = "、".join(merchant.missing)
            found.append(Warning(f"微信商户还缺：{missing}", hint="在后台补齐", id="faceauth.W003"))
        if merchant.is_partner and not merchant.signer_url:
            found.append(
                Warning(
                    "服务商的签名私钥在本院服务器上",
                    hint="改用服务商的签名服务：它的私钥能代表它的所有子商户",
                    id="faceauth.W005",
                )
            )
    found += [
        Warning(str(ending), hint="在后台更换证书和私钥", id="faceauth.W004")
        for ending in merchant_certificates.endings(at=timezone.now())
    ]
    return found
