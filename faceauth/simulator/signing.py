"""WeChat's signature under an answer of v3, right or as a scenario has it."""

import base64
import secrets
from dataclasses import replace

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from faceauth.simulator import keys
from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, Request
from faceauth.simulator.world import World
from faceauth.wechat import v3


def sign(reply: Reply, request: Request, world: World, *, now: float, spell: Spell | None) -> Reply:
    """Sign an answer with the key the request asked for, or as the scenario has it."""
    name = spell.name if spell else ""
    if name == "unsigned":
        return reply
    if name == "malformed":
        reply = replace(reply, body=reply.body[:-1])
    serial, key = _signatory(request, world, spell)
    timestamp = int(now) + {"stale": -400, "future": 400}.get(name, 0)
    nonce = secrets.token_hex(16)
    message = f"{timestamp}\n{nonce}\n".encode() + reply.body + b"\n"
    made = keys.private_key(key).sign(message, padding.PKCS1v15(), hashes.SHA256())
    headers = {
        **reply.headers,
        "Wechatpay-Timestamp": str(timestamp),
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": _spoilt(base64.b64encode(made).decode(), name),
        "Wechatpay-Signature-Type": v3.SCHEME,
    }
    body = reply.body[: len(reply.body) // 2] if name == "truncated" else reply.body
    return replace(reply, body=body, headers=headers)


def _signatory(request: Request, world: World, spell: Spell | None) -> tuple[str, str]:
    """Return the serial and the key (PEM) of an answer."""
    platform = (world.platform_serial, world.platform_key)
    public_key = (world.wechat_public_key_id, world.wechat_key)
    asked = request.headers.get("wechatpay-serial")
    usual = public_key if asked == world.wechat_public_key_id else platform
    match spell.name if spell else "":
        case "forged":
            return usual[0], keys.key("forger")
        case "unknown-certificate":
            return keys.serial(keys.certificate("stranger")), keys.key("stranger")
        case "rotating" | "rotated-expired":
            return world.next_platform_serial, world.next_platform_key
        case "pubkey-only":
            return public_key
        case "pubkey-switch" if spell:
            return public_key if spell.played % 2 else platform
    return usual


def _spoilt(signature: str, name: str) -> str:
    if name == "signtest":
        return f"{v3.PROBE}{signature[len(v3.PROBE) :]}"
    if name == "bad-base64":
        return f"{signature[:-3]}*"
    return signature
