"""POST /face/get_wxpayface_authinfo: rawdata becomes an authinfo, if all is in order."""

import hmac
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from faceauth.simulator import licence, mistakes
from faceauth.simulator.weather import Spell
from faceauth.simulator.wire import Reply, Request
from faceauth.simulator.world import Merchant, World
from faceauth.wechat import flatxml, v2
from faceauth.wechat.errors import Untrusted

CLOCK_SKEW = 300  # seconds
SIGN_TYPES: dict[str, v2.SignType] = {"MD5": "MD5", "HMAC-SHA256": "HMAC-SHA256"}

_LIMITS = {  # characters, from the published request table
    "store_id": 32,
    "store_name": 128,
    "device_id": 32,
    "rawdata": 2048,
    "appid": 32,
    "mch_id": 32,
    "sub_appid": 32,
    "sub_mch_id": 32,
    "nonce_str": 32,
}
_SHOWN = 64  # characters of one value in a verdict: rawdata has some 800
_RAWDATA = re.compile(r"[0-9A-Za-z+/]+={0,2}", re.ASCII)
_NOW = re.compile(r"[0-9]{10}", re.ASCII)
_MILLISECONDS = re.compile(r"[0-9]{13}", re.ASCII)
# What other encodings leave behind, and characters of four UTF-8 bytes.
_UNREADABLE = re.compile("[\x80-\x9f\ufffd\U00010000-\U0010ffff]")
_BOMB = (
    b'<!DOCTYPE xml [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">'
    b'<!ENTITY c "&b;&b;&b;&b;&b;&b;&b;&b;"><!ENTITY d "&c;&c;&c;&c;&c;&c;&c;&c;">]>'
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is answered, and why."""

    return_code: str
    return_msg: str
    verdict: str


_DEVICES = {
    "device-unregistered": Outcome(
        "ERROR", "该设备型号未登记,请联系微信支付官方。", "设备型号未登记"
    ),
    "sdk-outdated": Outcome("ERROR", "本设备刷脸版本过低,请升级后重试", "终端刷脸程序版本过低"),
}


def read(request: Request) -> dict[str, str] | None:
    """Return the fields of a request, or None if WeChat could not read them."""
    try:
        fields = flatxml.read(request.body)
    except Untrusted:
        return None
    return None if any(map(_is_mojibake, fields.values())) else fields


def answer(request: Request, world: World, *, now: float, spell: Spell | None) -> Reply:
    """Answer as WeChat does, in its own words; it leaves the first three failures unsigned."""
    fields = read(request)
    if fields is None:
        return _unsigned("请求报文格式错误", "报文不是 UTF-8 编码的 XML，或含有乱码")
    sign_type = SIGN_TYPES.get(fields.get("sign_type", ""))
    if sign_type is None or not (fields.get("mch_id") and fields.get("appid")):
        verdict = "缺少 mch_id、appid 或 sign_type；sign_type 必须传 MD5 或 HMAC-SHA256"
        return _unsigned("请按格式填写mch_id,appid以及sign_type", verdict)
    merchant = world.merchant(fields["mch_id"]) or world.direct
    expected = v2.sign(fields, merchant.apiv2_key, sign_type)
    if not hmac.compare_digest(fields.get("sign", "").encode(), expected.encode()):
        return _unsigned("签名错误", _unverified(fields, merchant, world))
    outcome = _outcome(fields, merchant, now=now, name=spell.name if spell else "")
    said = {"return_code": outcome.return_code, "return_msg": outcome.return_msg}
    if outcome.return_code == "SUCCESS":
        said |= {
            "authinfo": licence.issue(fields, world, now=now),
            "expires_in": str(licence.LIFETIME),
            **{name: fields[name] for name in licence.TERMS[:4] if fields.get(name)},
        }
    return _signed(said, merchant, sign_type, spell, outcome.verdict)


def _unverified(fields: Mapping[str, str], merchant: Merchant, world: World) -> str:
    given = sorted((name, value) for name, value in fields.items() if value and name != "sign")
    text = "&".join(f"{name}={_cut(value)}" for name, value in given)
    mistake = mistakes.in_v2(fields, by=merchant, world=world)
    told = "：".join(filter(None, ("签名错误", mistake)))
    return f"{told}。待签名串是「{text}&key=（APIv2 密钥）」"


def _cut(value: str) -> str:
    return value if len(value) <= _SHOWN else f"{value[:_SHOWN]}…"


def _outcome(fields: Mapping[str, str], merchant: Merchant, *, now: float, name: str) -> Outcome:
    if name == "wrong-appid" or (fields["mch_id"], fields["appid"]) != (
        merchant.mch_id,
        merchant.appid,
    ):
        return Outcome("ERROR", "商户号和appid不匹配", "appid 未绑定该商户号")
    return (
        _unrelated(fields, merchant)
        or _wrong_parameter(fields)
        or _wrong_time(fields["now"], now)
        or _wrong_rawdata(fields["rawdata"])
        or _DEVICES.get(name)
        or Outcome("SUCCESS", "请求成功", "通过")
    )


def _unrelated(fields: Mapping[str, str], merchant: Merchant) -> Outcome | None:
    sub_mch_id = fields.get("sub_mch_id", "")
    if not merchant.hospitals:
        if sub_mch_id:
            return Outcome("ERROR", "受理关系不存在", "普通商户没有特约商户，不传 sub_mch_id")
        return None
    if not sub_mch_id:
        return Outcome("PARAM_ERROR", "参数错误", "服务商模式必须传 sub_mch_id")
    hospital = merchant.hospital(sub_mch_id)
    if hospital is None:
        return Outcome("ERROR", "受理关系不存在", "sub_mch_id 不是该服务商的特约商户")
    if fields.get("sub_appid", hospital.sub_appid) not in ("", hospital.sub_appid):
        return Outcome("ERROR", "sub_mch_id与sub_appid不匹配", "sub_appid 未绑定该特约商户")
    return None


def _wrong_parameter(fields: Mapping[str, str]) -> Outcome | None:
    missing = [name for name in v2.REQUIRED if not fields.get(name)]
    long = [name for name, limit in _LIMITS.items() if len(fields.get(name, "")) > limit]
    wrong = [
        *(f"缺少 {name}" for name in missing),
        *(f"{name} 超过 {_LIMITS[name]} 个字符" for name in long),
        *(["version 应为 1"] if fields.get("version") != "1" else []),
    ]
    return Outcome("PARAM_ERROR", "参数错误", "，".join(wrong)) if wrong else None


def _wrong_time(said: str, now: float) -> Outcome | None:
    if _MILLISECONDS.fullmatch(said):
        verdict = "now 应为 10 位秒数，收到的是毫秒"
    elif not _NOW.fullmatch(said):
        verdict = "now 应为 10 位秒数"
    elif abs(int(said) - now) > CLOCK_SKEW:
        verdict = f"now 与微信相差 {int(said) - int(now):+d} 秒，请校准时钟"
    else:
        return None
    return Outcome("SYSTEMERROR", "生成authinfo失败", verdict)


def _wrong_rawdata(rawdata: str) -> Outcome | None:
    if _RAWDATA.fullmatch(rawdata):
        return None
    verdict = "rawdata 不是 Base64"
    if " " in rawdata:
        verdict = "rawdata 中的加号变成了空格：不要放在网址或表单里传"
    return Outcome("ERROR", "无效的RawData数据", verdict)


def _is_mojibake(value: str) -> bool:
    if _UNREADABLE.search(value):
        return True
    try:
        return not value.isascii() and bool(value.encode("cp1252").decode())
    except UnicodeError:
        return False


def _unsigned(message: str, verdict: str) -> Reply:
    return _xml(_cdata({"return_code": "PARAM_ERROR", "return_msg": message}), verdict=verdict)


def _signed(
    fields: dict[str, str],
    merchant: Merchant,
    sign_type: v2.SignType,
    spell: Spell | None,
    verdict: str,
) -> Reply:
    fields = {**fields, "nonce_str": secrets.token_hex(16)}
    fields["sign"] = v2.sign(fields, merchant.apiv2_key, sign_type)
    name = spell.name if spell else ""
    if name == "forged":
        fields["sign"] = v2.sign(fields, secrets.token_hex(16), sign_type)
    if name == "unsigned":
        del fields["sign"]
    return _xml(_spoilt(_cdata(fields), name), verdict=verdict)


def _spoilt(body: bytes, name: str) -> bytes:
    match name:
        case "malformed":
            return body.replace(b"</return_code>", b"</return-code>")
        case "truncated":
            return body[: len(body) // 2]
        case "entities":
            return _BOMB + body.replace(b"<xml>", b"<xml><attach>&d;</attach>")
        case "dtd":
            return b"<!DOCTYPE xml>" + body
    return body


def _xml(body: bytes, *, verdict: str) -> Reply:
    return Reply(200, body, {"Content-Type": "text/xml; charset=utf-8"}, verdict=verdict)


def _cdata(fields: Mapping[str, str]) -> bytes:
    """Return the fields as WeChat writes them, every value in a CDATA section."""
    lines = [
        f"<{name}><![CDATA[{value.replace(']]>', ']]]]><![CDATA[>')}]]></{name}>"
        for name, value in fields.items()
    ]
    return f"<xml>{''.join(lines)}</xml>".encode()
