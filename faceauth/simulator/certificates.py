"""GET /v3/certificates: the platform certificates, sealed under the merchant's APIv3 key."""

import base64
import secrets
from datetime import timedelta, timezone
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceauth.simulator import keys
from faceauth.simulator.admission import admit
from faceauth.simulator.refusal import Refused, refuse, refuse_parameter
from faceauth.simulator.signing import sign
from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, Request, json_reply
from faceauth.simulator.world import World

_BEIJING = timezone(timedelta(hours=8))
_NONE = "无可用的平台证书，请在商户平台-API安全申请使用微信支付公钥。"


def certificates(request: Request, world: World, *, now: float, spell: Spell | None) -> Reply:
    """Answer the certificates in force."""
    try:
        merchant = admit(request, world, now=now)
    except Refused as exc:
        return exc.reply
    try:
        items = [_item(pem, merchant.apiv3_key) for pem in _in_force(request, world, spell)]
        reply = json_reply({"data": items}, verdict="通过")
    except Refused as exc:
        reply = exc.reply
    return sign(reply, request, world, now=now, spell=spell)


def _in_force(request: Request, world: World, spell: Spell | None) -> list[str]:
    algorithm = request.query.get("algorithm_type", "RSA")
    if algorithm not in ("RSA", "ALL", "SM2"):
        raise refuse_parameter(
            "algorithm_type", "参数错误", verdict="algorithm_type 应为 RSA、SM2 或 ALL"
        )
    name = spell.name if spell else ""
    if algorithm == "SM2" or name in ("no-certificates", "pubkey-only"):
        verdict = "没有可下载的平台证书：改用微信支付公钥，不应因此停摆"
        raise refuse(404, "RESOURCE_NOT_EXISTS", _NONE, verdict=verdict)
    match name:
        case "certificates-forbidden":
            message = "平台证书已过期失效，请联系微信支付技术支持。"
            raise refuse(403, "NOT_ENOUGH", message, verdict="平台证书已失效")
        case "certificates-empty":
            return []
        case "rotating":
            return [world.platform_certificate, world.next_platform_certificate]
        case "rotated-expired":
            return [world.ended_platform_certificate, world.next_platform_certificate]
    return [world.platform_certificate]


def _item(pem: str, apiv3_key: str) -> dict[str, Any]:
    nonce = secrets.token_hex(6)
    sealed = AESGCM(apiv3_key.encode()).encrypt(nonce.encode(), pem.encode(), b"certificate")
    return {
        "serial_no": keys.serial(pem),
        "effective_time": keys.BEGIN.astimezone(_BEIJING).isoformat(),
        "expire_time": keys.end(pem).astimezone(_BEIJING).isoformat(),
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": base64.b64encode(sealed).decode(),
        },
    }
