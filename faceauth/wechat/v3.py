"""
WeChat Pay v3: what we sign, what we verify, and what an answer says once it is verified.

https://pay.weixin.qq.com/docs/merchant/development/interface-rules/signature-verification.html
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceauth.wechat.documents import judge_name, judge_number
from faceauth.wechat.errors import Untrusted
from faceauth.wechat.keys import Decryptor, Signer, WeChatKeys, strict_base64

SCHEME = "WECHATPAY2-SHA256-RSA2048"
CLOCK_SKEW = 300  # seconds; older answers may be replays
PROBE = "WECHATPAY/SIGNTEST/"  # WeChat checks that we check: a signature that must not pass

# A face_sid becomes part of a signed URL. Nobody publishes its shape; those seen are UUIDs.
FACE_SID = re.compile(r"[0-9A-Za-z_-]{8,128}", re.ASCII)

_OPENID = re.compile(r"[0-9A-Za-z_-]{1,128}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{1,12}", re.ASCII)
_NONCE = re.compile(r"[!-~]{1,128}", re.ASCII)  # a line feed would move the end of the message


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


def authorization(
    signer: Signer, *, method: str, target: str, timestamp: int, nonce: str, body: bytes = b""
) -> str:
    """Return the Authorization header of a request; `timestamp` in Unix seconds."""
    message = message_to_sign(method, target, timestamp=timestamp, nonce=nonce, body=body)
    return (
        f'{SCHEME} mchid="{signer.mch_id}",nonce_str="{nonce}",timestamp="{timestamp}",'
        f'serial_no="{signer.serial}",signature="{signer.sign(message)}"'
    )


def verify(headers: Mapping[str, str], body: bytes, keys: WeChatKeys, *, now: float) -> None:
    """
    Return if WeChat signed `body` within five minutes of `now` (Unix seconds).

    :raises Untrusted: missing_signature, signtest, unknown_algorithm, malformed, stale, future,
        unknown_serial, bad_signature
    """
    given = {name.lower(): value for name, value in headers.items()}
    timestamp = given.get("wechatpay-timestamp", "")
    nonce = given.get("wechatpay-nonce", "")
    serial = given.get("wechatpay-serial", "")
    signature = given.get("wechatpay-signature", "")
    if not (timestamp and nonce and serial and signature):
        raise Untrusted("missing_signature")
    if signature.startswith(PROBE):
        raise Untrusted("signtest")
    if given.get("wechatpay-signature-type", SCHEME) != SCHEME:
        raise Untrusted("unknown_algorithm")
    if not (_TIMESTAMP.fullmatch(timestamp) and _NONCE.fullmatch(nonce)):
        raise Untrusted("malformed")
    if now - int(timestamp) > CLOCK_SKEW:
        raise Untrusted("stale")
    if int(timestamp) - now > CLOCK_SKEW:
        raise Untrusted("future")
    key = keys.find(serial, now=now)
    if key is None:
        raise Untrusted("unknown_serial")
    message = f"{timestamp}\n{nonce}\n".encode() + body + b"\n"
    try:
        key.verify(strict_base64(signature) or b"", message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        raise Untrusted("bad_signature") from None


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
            openid = _openid(answer.get("openid"))
            sub_openid = _openid(answer["sub_openid"]) if answer.get("sub_openid") else None
            name = judge_name(decryptor.open(sealed_name))
            number = judge_number(decryptor.open(sealed_number), document_type=document_type)
            return Identity(openid, sub_openid, name, document_type, number)
    raise Untrusted("malformed")


def learn(keys: WeChatKeys, headers: Mapping[str, str], body: bytes, *, now: float) -> None:
    """
    Add to `keys` the certificates an answer of /v3/certificates brings.

    The first such answer is signed by a certificate it carries itself. So they are opened
    first, which only the holder of the APIv3 key can have closed, and the answer is then
    verified with the old keys and these.

    :raises Untrusted: malformed, bad_certificate, or as for verify()
    """
    brought = certificates(body, keys.apiv3_key)
    try:
        joined = keys.joined_by(brought)
    except ValueError:
        raise Untrusted("bad_certificate") from None
    verify(headers, body, joined, now=now)
    keys.add(brought)


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
