"""
WeChat Pay v3: what we sign, what we verify, and what an answer says once it is verified.

https://pay.weixin.qq.com/docs/merchant/development/interface-rules/signature-verification.html
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceauth.wechat.documents import judge_name, judge_number
from faceauth.wechat.errors import Untrusted
from faceauth.wechat.keys import Decryptor, strict_base64

SCHEME = "WECHATPAY2-SHA256-RSA2048"
CLOCK_SKEW = 300  # seconds; older answers may be replays
PROBE = "WECHATPAY/SIGNTEST/"  # WeChat checks that we check: a signature that must not pass

# A face_sid becomes part of a signed URL. Nobody publishes its shape; those seen are UUIDs.
FACE_SID = re.compile(r"[0-9A-Za-z_-]{8,128}", re.ASCII)

_OPENID = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Membership:
    """How WeChat calls somebody: under our appid, and across all appids of one owner."""

    openid: str = field(repr=False)
    sub_openid: str | None = field(repr=False)
    union_id: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Identity:
    """
    What WeChat knows of the person who looked at the camera.

    `document_type` is WeChat's credential_type: 1 身份证, 2 护照, 5 回乡证, 9 台胞证…; later ones
    are passed through.
    """

    openid: str = field(repr=False)
    sub_openid: str | None = field(repr=False)
    real_name: str = field(repr=False)
    document_type: int
    document_number: str = field(repr=False)


def message_to_sign(
    method: str, target: str, *, timestamp: int, nonce: str, body: bytes = b""
) -> bytes:
    """Return the message of a request; `target` is path and query, byte for byte as sent."""
    return f"{method}\n{target}\n{timestamp}\n{nonce}\n".encode() + body + b"\n"


def authorization(mch_id: str, *, serial: str, signature: str, timestamp: int, nonce: str) -> str:
    """Return the Authorization header of a request; `timestamp` in Unix seconds."""
    return (
        f'{SCHEME} mchid="{mch_id}",nonce_str="{nonce}",timestamp="{timestamp}",'
        f'serial_no="{serial}",signature="{signature}"'
    )


def signed_message(timestamp: str, nonce: str, body: bytes) -> bytes:
    """Return the message of an answer, from two of its headers and its body as it came."""
    return f"{timestamp}\n{nonce}\n".encode() + body + b"\n"


def identity(body: bytes, decryptor: Decryptor) -> Identity:
    """
    Return who a verified answer of /v3/facemch/users speaks of.

    :raises Untrusted: malformed
    :raises Undecryptable: base64, size, text, name, document, checksum
    """
    answer = decoded(body)
    # The published tables disagree on whether the three fields are nested; nothing else differs.
    match answer.get("real_name_info", answer):
        case {
            "encrypted_real_name": str(sealed_name),
            "credential_type": int(document_type),
            "encrypted_credential_id": str(sealed_number),
        } if document_type is not True and 0 < document_type < 100:  # noqa: PLR2004
            openid, sub_openid = _openids(answer)
            name = judge_name(decryptor.open(sealed_name))
            number = judge_number(decryptor.open(sealed_number), document_type=document_type)
            return Identity(openid, sub_openid, name, document_type, number)
    raise Untrusted("malformed")


def membership(body: bytes) -> Membership:
    """
    Return how a verified answer to ASK_UNIONID calls somebody.

    https://pay.weixin.qq.com/wiki/doc/wxfacepay/develop/get-unionid-api.html

    :raises Untrusted: malformed
    """
    answer = decoded(body)
    return Membership(*_openids(answer), _openid(answer.get("union_id")))


def certificates(body: bytes, apiv3_key: bytes) -> list[bytes]:
    """
    Return the PEM certificates sealed in an answer of /v3/certificates; there may be none.

    :raises Untrusted: malformed, bad_certificate
    """
    items = decoded(body).get("data")
    if not isinstance(items, list):
        raise Untrusted("malformed")
    return [_certificate(item, apiv3_key) for item in items]


def open_sealed(sealed: str, apiv3_key: bytes, *, nonce: str, associated_data: str) -> bytes:
    """
    Open AEAD_AES_256_GCM as v3 writes it: base64, the tag last.

    :raises Untrusted: bad_certificate
    """
    try:
        return AESGCM(apiv3_key).decrypt(
            nonce.encode(), strict_base64(sealed) or b"", associated_data.encode()
        )
    except (InvalidTag, ValueError):  # not sealed with our key, or a nonce or key of no such size
        raise Untrusted("bad_certificate") from None


def decoded(body: bytes) -> dict[str, Any]:
    """
    Return the JSON object in `body`.

    :raises Untrusted: malformed
    """
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError):  # the error carries the body, and must not be a context
        answer = None
    if not isinstance(answer, dict):
        raise Untrusted("malformed")
    return answer


def _openids(answer: dict[str, Any]) -> tuple[str, str | None]:
    sub_openid = answer.get("sub_openid")
    return _openid(answer.get("openid")), _openid(sub_openid) if sub_openid else None


def _openid(value: object) -> str:
    if not isinstance(value, str) or not _OPENID.fullmatch(value):
        raise Untrusted("malformed")
    return value


def _certificate(item: object, apiv3_key: bytes) -> bytes:
    match item:
        case {
            "encrypt_certificate": {
                "algorithm": "AEAD_AES_256_GCM",
                "nonce": str(nonce),
                "associated_data": str(associated_data),
                "ciphertext": str(sealed),
            }
        }:
            return open_sealed(sealed, apiv3_key, nonce=nonce, associated_data=associated_data)
    raise Untrusted("malformed")
