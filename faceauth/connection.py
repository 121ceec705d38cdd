"""
From a merchant's row and keys to clients that speak to WeChat. One per process.

For the worker: nobody else can open the keys.
"""

import threading
from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import TypeVar
from uuid import UUID

import structlog
from django.conf import settings

from faceauth import merchant_keys, pem, upstream, wechat
from faceauth.models import Merchant, NotConfigured, Slot
from hospital import egress

# WeChat's own second host for v3 (disaster recovery domain); payapp has none that is published.
FALLBACKS = {"https://api.mch.weixin.qq.com": "https://api2.mch.weixin.qq.com"}

C = TypeVar("C", wechat.AuthinfoClient, wechat.IdentityClient)

log = structlog.get_logger(__name__)


def authinfo_client(merchant: Merchant) -> wechat.AuthinfoClient:
    """
    Return the client for v2; it holds the APIv2 key and no private key.

    :raises NotConfigured: its key is missing or cannot be opened
    """
    return _kept(_authinfo, merchant, _make_authinfo_client)


def identity_client(merchant: Merchant) -> wechat.IdentityClient:
    """
    Return the client for v3, which signs and opens what WeChat encrypts to us.

    :raises NotConfigured: a key is missing or cannot be opened
    """
    return _kept(_identity, merchant, _make_identity_client)


def close() -> None:
    """Close every connection this process keeps to WeChat."""
    for clients in (_authinfo, _identity):
        while clients:
            clients.popitem()[1].close()


Key = tuple[UUID, datetime]  # a changed merchant is another one

_authinfo: dict[Key, wechat.AuthinfoClient] = {}
_identity: dict[Key, wechat.IdentityClient] = {}
_lock = threading.Lock()


def _kept(clients: dict[Key, C], merchant: Merchant, make: Callable[[Merchant], C]) -> C:
    key = (merchant.pk, merchant.changed_at)
    with _lock:
        if key not in clients:
            # Its keys are not to be had any longer; who is asking by them is still answered.
            for replaced in [one for one in clients if one[0] == merchant.pk]:
                clients.pop(replaced).close()
            merchant = Merchant.objects.get(pk=merchant.pk)  # all of it, and as it is by now
            key = (merchant.pk, merchant.changed_at)
            try:
                clients[key] = make(merchant)
            except (ValueError, OSError, pem.Unfit) as exc:  # a file that holds no such key
                fact = type(exc).__name__
                log.error("merchant_unusable", merchant=str(merchant.pk), fact=fact)  # noqa: TRY400
                raise NotConfigured from None
        return clients[key]


def _make_authinfo_client(merchant: Merchant) -> wechat.AuthinfoClient:
    return wechat.AuthinfoClient(
        _party(merchant),
        _text(merchant, Slot.APIV2_KEY),
        sign_type="MD5" if merchant.sign_type == "MD5" else "HMAC-SHA256",
        base_url=merchant.v2_base_url,
        permit=egress.permits,
        watch=partial(upstream.note, "authinfo"),
    )


def _make_identity_client(merchant: Merchant) -> wechat.IdentityClient:
    # In partner mode the 服务商 signs, and WeChat encrypts to the hospital all the same.
    return wechat.IdentityClient(
        _party(merchant),
        credential=wechat.Credential(merchant.mch_id, _signer(merchant)),
        decryptor=wechat.Decryptor.from_pem(_rsa_key(merchant, merchant.decrypting_slot)),
        verifier=_verifier(merchant),
        sub_serial_no=merchant.sub_serial_no,
        base_url=merchant.v3_base_url,
        fallback_url=FALLBACKS.get(merchant.v3_base_url, ""),
        permit=egress.permits,
        watch=partial(upstream.note, "identity"),
    )


def _signer(merchant: Merchant) -> wechat.LocalSigner | wechat.RemoteSigner:
    if not merchant.signer_url:
        key = _rsa_key(merchant, Slot.SIGNING_KEY)
        return wechat.LocalSigner.from_pem(key, serial=merchant.merchant_serial)
    own = pem.signer_key(
        merchant_keys.take(merchant, Slot.SIGNER_KEY), password=settings.MERCHANT_KEY_PASSWORD
    )
    return wechat.RemoteSigner(
        merchant.signer_url, key_id=own.key_id, private_key_pem=own.pem, permit=egress.permits
    )


def _verifier(merchant: Merchant) -> wechat.Verifier:
    public_keys = {}
    if merchant.wechat_public_key:
        public_keys[merchant.wechat_public_key_id] = merchant.wechat_public_key.encode()
    elif merchant.wechat_public_key_file:
        content = merchant_keys.file(merchant.wechat_public_key_file)
        public_keys[merchant.wechat_public_key_id] = content
    fetches = merchant.has(Slot.APIV3_KEY) and not merchant.signer_url
    apiv3_key = _text(merchant, Slot.APIV3_KEY) if fetches else ""
    return wechat.Verifier(public_keys=public_keys, apiv3_key=apiv3_key)


def _party(merchant: Merchant) -> wechat.Party:
    return wechat.Party(
        appid=merchant.appid,
        mch_id=merchant.mch_id,
        sub_appid=merchant.sub_appid,
        sub_mch_id=merchant.sub_mch_id,
    )


def _rsa_key(merchant: Merchant, slot: Slot) -> bytes:
    content = merchant_keys.take(merchant, slot)
    return pem.rsa_key(content, password=settings.MERCHANT_KEY_PASSWORD).pem


def _text(merchant: Merchant, slot: Slot) -> str:
    return merchant_keys.take(merchant, slot).decode().strip()
