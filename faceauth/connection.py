"""From a merchant's row and key files to clients that speak to WeChat. One per process."""

from datetime import datetime
from functools import lru_cache
from pathlib import Path
from uuid import UUID

from django.conf import settings

from faceauth import wechat
from faceauth.models import Merchant, NotConfigured


def authinfo_client(merchant: Merchant) -> wechat.AuthinfoClient:
    """
    Return the client for v2; it holds the APIv2 key and no private key.

    :raises NotConfigured: its key file is missing
    """
    return _authinfo_client(merchant.pk, merchant.changed_at)


def identity_client(merchant: Merchant) -> wechat.IdentityClient:
    """
    Return the client for v3; the worker's alone, since it opens what WeChat encrypts to us.

    :raises NotConfigured: a key file is missing
    """
    return _identity_client(merchant.pk, merchant.changed_at)


@lru_cache(maxsize=4)
def _authinfo_client(pk: UUID, _version: datetime) -> wechat.AuthinfoClient:
    merchant = Merchant.objects.get(pk=pk)
    return wechat.AuthinfoClient(
        _party(merchant),
        _read(merchant.apiv2_key_file).decode().strip(),
        sign_type="MD5" if merchant.sign_type == "MD5" else "HMAC-SHA256",
        base_url=merchant.v2_base_url,
    )


@lru_cache(maxsize=4)
def _identity_client(pk: UUID, _version: datetime) -> wechat.IdentityClient:
    merchant = Merchant.objects.get(pk=pk)
    signing_mch_id = merchant.mch_id  # in partner mode the 服务商 signs
    public_keys = {}
    if merchant.wechat_public_key_file:
        public_keys[merchant.wechat_public_key_id] = _read(merchant.wechat_public_key_file)
    return wechat.IdentityClient(
        _party(merchant),
        signer=wechat.Signer.from_pem(
            _read(merchant.signing_key_file),
            mch_id=signing_mch_id,
            serial=merchant.merchant_serial,
        ),
        decryptor=wechat.Decryptor.from_pem(_read(merchant.decrypting_key_file)),
        keys=wechat.WeChatKeys(
            apiv3_key=_read(merchant.apiv3_key_file).decode().strip(), public_keys=public_keys
        ),
        sub_serial_no=merchant.sub_serial_no,
        base_url=merchant.v3_base_url,
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
