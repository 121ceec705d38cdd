"""What a merchant must not be in production: `manage.py check --database default`."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004

from faceauth.models import Merchant


@register(Tags.database)
def merchants(databases: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    """Return what is wrong with the merchant in use; only asked for with a database."""
    if not databases:
        return []
    kind = Warning if settings.DEPLOY_LEVEL == "demo" else Error
    found: list[CheckMessage] = []
    for merchant in Merchant.objects.filter(is_active=True):
        if merchant.sign_type == Merchant.SignType.MD5:
            found.append(kind("微信商户使用 MD5 签名", hint="改为 HMAC-SHA256", id="faceauth.E001"))
        if not merchant.is_official:
            found.append(
                kind("微信接入地址不是微信的", hint="模拟器只用于演示", id="faceauth.E002")
            )
    return found
