"""From a merchant's row and key files to clients that speak to WeChat. One per process."""

import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from django.conf import settings

from faceauth import wechat
from faceauth.models import Merchant, NotConfigured

# WeChat's own second host for v3 (disaster recovery domain); payapp has none that is published.
FALLBACKS = {"https://api.mch.weixin.qq.com": "https://api2.mch.weixin.qq.com"}

C = TypeVar("C", wechat.AuthinfoClient, wechat.IdentityClient)


def authinfo_client(merchant: Merchant) -> wechat.AuthinfoClient:
    """
    Return the client for v2; it holds the APIv2 key and no private key.

    :raises NotConfigured: its key file is missing
    """
    return _kept(_authinfo, merchant, _make_authinfo_client)


def identity_client(merchant: Merchant) -> wechat.IdentityClient:
    """
    Return the client for v3; the worker's alone, since it opens what WeChat encrypts to us.

    :raises NotConfigured: a key file is missing
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
    # A replaced client is left to finish what other threads ask of it.
    key = (merchant.pk, merchant.changed_at)
    with _lock:
        if key not in clients:
            try:
                clients[key] = make(merchant)
            except ValueError:  # a key file that holds no such key
                raise NotConfigured from None
        return clients[key]


def _make_authinfo_client(merchant: Merchant) -> wechat.AuthinfoClient:
    return wechat.AuthinfoClient(
        _party(merchant),
        _read(merchant.apiv2_key_file).decode().strip(),
        sign_type="MD5" if merchant.sign_type == "MD5" else "HMAC-SHA256",
        base_url=merchant.v2_base_url,
    )


def _make_identity_client(merchant: Merchant) -> wechat.IdentityClient:
    public_keys = {}
    if merchant.wechat_public_key_file:
        public_keys[merchant.wechat_public_key_id] = _read(merchant.wechat_public_key_file)
    return wechat.IdentityClient(
        _party(merchant),
        signer=wechat.Signer.from_pem(
            _read(merchant.signing_key_file),
            mch_id=merchant.mch_id,  # in partner mode the 服务商 signs
            serial=merchant.merchant_serial,
        ),
        decryptor=wechat.Decryptor.from_pem(_read(merchant.decrypting_key_file)),
        keys=wechat.WeChatKeys(
            apiv3_key=_read(merchant.apiv3_key_file).decode().strip(), public_keys=public_keys
        ),
        sub_serial_no=merchant.sub_serial_no,
        base_url=merchant.v3_base_url,
        fallback_url=FALLBACKS.get(merchant.v3_base_url, ""),
    )


def _party(merchant: Merchant) -> wechat.Party:
    return wechat.Party(
        appid=merchant.appid,
        mch_id=merchant.mch_id,
        sub_appid=merchant.sub_appid,
        sub_mch_id=merchant.sub_mch_id,
    )


def _read(name: str) -> bytes:
    directory: Path = settings.MERCHANT_KEYS_DIR
    try:
        return (directory / name).read_bytes()
    except OSError:
        raise NotConfigured from None
