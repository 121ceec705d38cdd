"""POST /face/get_wxpayface_authinfo: rawdata becomes an authinfo, and an authinfo its terms."""

import base64
import binascii
import hmac
import json
import re
import secrets
from collections.abc import Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, Request
from faceauth.simulator.world import World
from faceauth.wechat import flatxml, v2
from faceauth.wechat.errors import Untrusted

LIFETIME = 3600  # seconds
CLOCK_SKEW = 300  # seconds
SIGN_TYPES: dict[str, v2.SignType] = {"MD5": "MD5", "HMAC-SHA256": "HMAC-SHA256"}
TERMS = ("appid", "mch_id", "sub_appid", "sub_mch_id", "store_id", "device_id")

_RAWDATA = re.compile(r"[0-9A-Za-z+/]+={0,2}", re.ASCII)
_NOW = re.compile(r"[0-9]{10}", re.ASCII)


class InvalidLicense(Exception):
    """An authinfo that is none, or no longer."""

    def __init__(self, *, expired: bool) -> None:
        super().__init__("expired" if expired else "invalid")
        self.expired = expired


def answer(request: Request, world: World, *, now: float, spell: Spell | None) -> Reply:
    """Answer as WeChat does, in its own words; it leaves the first three failures unsigned."""
    try:
        fields = flatxml.read(request.body)
    except Untrusted:
        return _unsigned("请求报文格式错误")
    sign_type = SIGN_TYPES.get(fields.get("sign_type", ""))
    if sign_type is None or not (fields.get("mch_id") and fields.get("appid")):
        return _unsigned("请按格式填写mch_id,appid以及sign_type")
    expected = v2.sign(fields, world.apiv2_key, sign_type)
    if not hmac.compare_digest(fields.get("sign", "").encode(), expected.encode()):
        return _unsigned("签名错误")
    return _signed(_outcome(fields, world, now), world, sign_type, spell)


def terms(authinfo: str, world: World, *, now: float) -> dict[str, str]:
    """
    Return what `authinfo` was issued for.

    :raises InvalidLicense: it was not issued here, or has expired
    """
    try:
        sealed = base64.b64decode(authinfo, validate=True)
        opened = AESGCM(bytes.fromhex(world.authinfo_key)).decrypt(sealed[:12], sealed[12:], None)
    except (binascii.Error, InvalidTag, ValueError):
        raise InvalidLicense(expired=False) from None
    issued: dict[str, str] = json.loads(opened)
    if float(issued.pop("expires_at")) < now:
        raise InvalidLicense(expired=True)
    return issued


def issue(fields: Mapping[str, str], world: World, *, now: float) -> str:
    """Return an authinfo that carries its own terms, so that a restart forgets none."""
    issued = {name: fields.get(name, "") for name in TERMS}
    issued["expires_at"] = str(int(now) + LIFETIME)
    nonce = secrets.token_bytes(12)
    sealed = AESGCM(bytes.fromhex(world.authinfo_key)).encrypt(
        nonce, json.dumps(issued).encode(), None
    )
    return base64.b64encode(nonce + sealed).decode()


def _outcome(fields: dict[str, str], world: World, now: float) -> dict[str, str]:
    if (fields["mch_id"], fields["appid"]) != (world.mch_id, world.appid):
        return {"return_code": "ERROR", "return_msg": "商户号和appid不匹配"}
    if not all(fields.get(name) for name in v2.REQUIRED) or fields.get("version") != "1":
        return {"return_code": "PARAM_ERROR", "return_msg": "参数错误"}
    said = fields["now"]
    if not _NOW.fullmatch(said) or abs(int(said) - now) > CLOCK_SKEW:
        return {"return_code": "SYSTEMERROR", "return_msg": "生成authinfo失败"}
    if not _RAWDATA.fullmatch(fields["rawdata"]):
        return {"return_code": "ERROR", "return_msg": "无效的RawData数据"}
    return {
        "return_code": "SUCCESS",
        "return_msg": "请求成功",
        "authinfo": issue(fields, world, now=now),
        "expires_in": str(LIFETIME),
        **{name: fields[name] for name in TERMS[:4] if fields.get(name)},
    }


def _unsigned(message: str) -> Reply:
    return _xml(_cdata({"return_code": "PARAM_ERROR", "return_msg": message}))


def _signed(
    fields: dict[str, str], world: World, sign_type: v2.SignType, spell: Spell | None
) -> Reply:
    fields = {**fields, "nonce_str": secrets.token_hex(16)}
    fields["sign"] = v2.sign(fields, world.apiv2_key, sign_type)
    match spell.name if spell else "":
        case "forged":
            fields["sign"] = v2.sign(fields, secrets.token_hex(16), sign_type)
        case "unsigned":
            del fields["sign"]
        case "malformed":
            return _xml(_cdata(fields).replace(b"</return_code>", b"</return-code>"))
        case "truncated":
            body = _cdata(fields)
            return _xml(body[: len(body) // 2])
        case "entities":
            return _xml(b'<!DOCTYPE xml [<!ENTITY a "b">]>' + _cdata(fields))
    return _xml(_cdata(fields))


def _xml(body: bytes) -> Reply:
    return Reply(200, body, {"Content-Type": "text/xml; charset=utf-8"})


def _cdata(fields: Mapping[str, str]) -> bytes:
    """Return the fields as WeChat writes them, every value in a CDATA section."""
    lines = [
        f"<{name}><![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]></{name}>"
        for name, value in fields.items()
    ]
    return f"<xml>{''.join(lines)}</xml>".encode()
