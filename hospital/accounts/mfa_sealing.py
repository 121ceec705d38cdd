"""
The secrets of second factors, sealed for allauth's tables: AES-256-GCM under a key of their own.

These tables have no `SealedField`, so a change of data keys would not find what lies there. The
key they are sealed with lies in one (`FactorSeal`), and so under the root key; each text names it.
"""

import base64
import binascii
import os
from typing import Final
from uuid import UUID

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hospital.accounts.models import FactorSeal
from hospital.crypto.sealing import Unopenable as Unreadable
from hospital.errors import Unavailable

_FORM: Final = "f2"  # what a sealed secret begins with; then the id of its key, then the rest
_CONTEXT: Final = b"hospital.accounts.second_factor"
_NONCE: Final = 12  # bytes
_KEY: Final = 256  # bits


class Unopenable(Unavailable):
    """It was sealed under another key, or changed since. Never carries any part of it."""

    code = "second_factor_unopenable"
    message = "登录验证的密钥打不开，请联系运维人员核对密钥和数据库是否配套"


def seal(secret: str) -> str:
    """
    Return `secret` so that only who has the root key reads it.

    :raises Unopenable: the key there is does not open
    :raises KeyUnavailable:
    """
    held = _current()
    nonce = os.urandom(_NONCE)
    closed = nonce + _cipher(held).encrypt(nonce, secret.encode(), _bound_to(held))
    return f"{_FORM}.{held.pk.hex}.{base64.b64encode(closed).decode()}"


def unsealed(text: str) -> str:
    """
    Return what `seal` was given.

    :raises Unopenable:
    :raises KeyUnavailable:
    """
    try:
        form, seal_id, body = text.split(".")
        pk, closed = UUID(seal_id), base64.b64decode(body, validate=True)
    except (ValueError, binascii.Error):
        raise Unopenable from None
    held = FactorSeal.objects.filter(pk=pk).first()
    if form != _FORM or held is None:
        raise Unopenable
    try:
        return _cipher(held).decrypt(closed[:_NONCE], closed[_NONCE:], _bound_to(held)).decode()
    except (InvalidTag, ValueError):
        raise Unopenable from None


def _current() -> FactorSeal:
    """Return the one there is; of processes that make the first at once, one does."""
    fresh = {"factor_key": base64.b64encode(AESGCM.generate_key(_KEY)).decode()}
    return FactorSeal.objects.get_or_create(is_current=True, defaults=fresh)[0]


def _cipher(held: FactorSeal) -> AESGCM:
    try:
        return AESGCM(base64.b64decode(held.factor_key or ""))
    except (Unreadable, ValueError):
        raise Unopenable from None


def _bound_to(held: FactorSeal) -> bytes:
    return _CONTEXT + held.pk.bytes
