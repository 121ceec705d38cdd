"""GET /v3/facemch/users/{face_sid} and /v3/certificates: checked, sealed and signed as v3 is."""

import base64
import re
import secrets
from dataclasses import replace
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceauth.simulator import camera
from faceauth.simulator.camera import Camera, Consent
from faceauth.simulator.people import Person
from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, Request, json_reply
from faceauth.simulator.world import World, key, private_key
from faceauth.wechat import v3
from faceauth.wechat.keys import strict_base64

USERS = "/v3/facemch/users/"

_ITEM = re.compile(r'([a-z_]+)="([^"]*)"')
_ITEMS = {"mchid", "nonce_str", "timestamp", "serial_no", "signature"}  # in any order
_NONCE = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{10}", re.ASCII)
_OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303 - v3's own


def users(
    request: Request, world: World, seen: Camera, *, now: float, spell: Spell | None
) -> Reply:
    """Answer who a face_sid is."""
    refusal = _refusal(request, world, now)
    if refusal is not None:
        return refusal
    reply = _identity(request, world, seen, spell)
    if spell is not None and spell.name == "malformed":
        reply = replace(reply, body=reply.body[:-1])
    return sign(reply, request, world, now=now, spell=spell)


def certificates(request: Request, world: World, *, now: float) -> Reply:
    """Answer the one platform certificate, sealed under the APIv3 key."""
    refusal = _refusal(request, world, now)
    if refusal is not None:
        return refusal
    nonce = secrets.token_hex(6)
    sealed = AESGCM(world.apiv3_key.encode()).encrypt(
        nonce.encode(), world.platform_certificate.encode(), b"certificate"
    )
    item = {
        "serial_no": world.platform_serial,
        "effective_time": "2020-01-01T08:00:00+08:00",
        "expire_time": "2049-12-31T08:00:00+08:00",
        "encrypt_certificate": {
            "algorithm": "AEAD_AES_256_GCM",
            "nonce": nonce,
            "associated_data": "certificate",
            "ciphertext": base64.b64encode(sealed).decode(),
        },
    }
    return sign(json_reply({"data": [item]}), request, world, now=now, spell=None)


def sign(reply: Reply, request: Request, world: World, *, now: float, spell: Spell | None) -> Reply:
    """Sign an answer with the key the request asked for, or as the scenario has it."""
    name = spell.name if spell else ""
    if name == "unsigned":
        return reply
    serial, pem = world.platform_serial, world.platform_key
    if request.headers.get("wechatpay-serial") == world.wechat_public_key_id:
        serial, pem = world.wechat_public_key_id, world.wechat_key
    if name == "forged":
        pem = key("forger")
    timestamp = int(now) + {"stale": -400, "future": 400}.get(name, 0)
    nonce = secrets.token_hex(16)
    message = f"{timestamp}\n{nonce}\n".encode() + reply.body + b"\n"
    made = private_key(pem).sign(message, padding.PKCS1v15(), hashes.SHA256())
    signature = base64.b64encode(made).decode()
    headers = {
        **reply.headers,
        "Wechatpay-Timestamp": str(timestamp),
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": serial,
        "Wechatpay-Signature": f"{v3.PROBE}{signature[19:]}" if name == "signtest" else signature,
        "Wechatpay-Signature-Type": v3.SCHEME,
    }
    body = reply.body[: len(reply.body) // 2] if name == "truncated" else reply.body
    return Reply(reply.status, body, headers)


def _identity(request: Request, world: World, seen: Camera, spell: Spell | None) -> Reply:
    query = request.query
    if query.get("info_type") != "ASK_REAL_NAME":
        return _error(400, "PARAM_ERROR", "info_type参数错误")
    if query.get("appid") != world.appid:
        return _error(400, "PARAM_ERROR", "appid和mch_id不匹配")
    if query.get("sub_mchid") and query.get("sub_serial_no") != world.merchant_serial:
        return _error(400, "PARAM_ERROR", "sub_serial_no参数错误")
    sighting = seen.find(request.path.removeprefix(USERS))
    if sighting is None:
        return _error(404, "RESOURCE_NOT_EXISTS", "face_sid不存在或已过期")
    if sighting.consent is not Consent.GIVEN:
        return _error(403, "NO_AUTH", "用户未授权")
    answer: dict[str, Any] = {"openid": camera.openid(sighting.person, world.appid)}
    if query.get("sub_appid"):
        answer["sub_openid"] = camera.openid(sighting.person, query["sub_appid"])
    return json_reply({**answer, "real_name_info": _sealed(sighting.person, world, spell)})


def _sealed(person: Person, world: World, spell: Spell | None) -> dict[str, Any]:
    public = private_key(world.merchant_key).public_key()
    name = spell.name if spell else ""

    def seal(text: str) -> str:
        if name == "garbage":
            return base64.b64encode(b"\0" + secrets.token_bytes(public.key_size // 8 - 1)).decode()
        padded = _OAEP if name == "oaep" else padding.PKCS1v15()
        return base64.b64encode(public.encrypt(text.encode(), padded)).decode()

    return {
        "encrypted_real_name": seal(person.name),
        "credential_type": person.document_type,
        "encrypted_credential_id": seal(person.document_number),
    }


def _refusal(request: Request, world: World, now: float) -> Reply | None:
    """Return why a request is not let in, if it is not; WeChat does not sign its 401s."""
    if not request.headers.get("accept") or not request.headers.get("user-agent"):
        return _error(400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent")
    complaint = _complaint(request, world, now)
    return _error(401, "SIGN_ERROR", complaint) if complaint else None


def _complaint(request: Request, world: World, now: float) -> str:
    """Return what is wrong with the Authorization header, or "" if nothing is."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    items = dict(_ITEM.findall(rest))
    if scheme != v3.SCHEME or items.keys() != _ITEMS:
        return "Http头Authorization格式错误"
    if items["mchid"] != world.mch_id or items["serial_no"] != world.merchant_serial:
        return "商户号或证书序列号不正确"
    if not (_NONCE.fullmatch(items["nonce_str"]) and _TIMESTAMP.fullmatch(items["timestamp"])):
        return "Http头Authorization中的nonce_str或timestamp格式错误"
    if abs(int(items["timestamp"]) - now) > v3.CLOCK_SKEW:
        return "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
    message = v3.message_to_sign(
        request.method,
        request.target,
        timestamp=int(items["timestamp"]),
        nonce=items["nonce_str"],
        body=request.body,
    )
    signature = strict_base64(items["signature"]) or b""
    public = private_key(world.merchant_key).public_key()
    try:
        public.verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except InvalidSignature:
        return "错误的签名，验签失败"
    return ""


def _error(status: int, code: str, message: str) -> Reply:
    return json_reply({"code": code, "message": message}, status=status)
