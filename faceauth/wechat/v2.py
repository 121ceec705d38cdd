"""
WeChat Pay v2: fields to a signed body, and a signed body back to fields.

The algorithm: https://pay.weixin.qq.com/wiki/doc/api/jsapi.php?chapter=4_3
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from typing import Literal

from faceauth.wechat import flatxml
from faceauth.wechat.errors import Misconfigured, Rejected, Unavailable, Untrusted

SignType = Literal["HMAC-SHA256", "MD5"]

LIMITS = {  # characters, from the request table of get_wxpayface_authinfo
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
REQUIRED = ("store_id", "store_name", "device_id", "rawdata", "appid", "mch_id", "now", "nonce_str")

# How WeChat words what it refuses; compared here, kept nowhere. Sources: community threads on
# https://developers.weixin.qq.com and the FAQ of the face SDK.
_OURS = {
    "签名错误": "signature",
    "请按格式填写mch_id,appid以及sign_type": "identifiers",
    "受理关系不存在": "sub_merchant",
    "sub_mch_id与sub_appid不匹配": "sub_merchant",
    "appid不匹配": "appid_mch_id",
    "请求报文格式错误": "message",
}
_DEVICES = {
    "无效的RawData数据": "rawdata",
    "该设备型号未登记": "device_unregistered",
    "设备刷脸版本过低": "sdk_outdated",
}

_SIGNATURE = re.compile(r"[0-9A-F]{32}|[0-9A-F]{64}", re.ASCII)
_RAWDATA = re.compile(r"[0-9A-Za-z+/]+={0,2}", re.ASCII)
_NOW = re.compile(r"[0-9]{10}", re.ASCII)
# WeChat's parser takes characters of at most three UTF-8 bytes, and XML no control characters.
_TEXT = re.compile("[\x20-\x7e\xa0-\ud7ff\ue000-\ufffd]*")


def sign(fields: Mapping[str, object], key: str, sign_type: SignType = "HMAC-SHA256") -> str:
    """
    Return the signature over every field that has a value; 0 is a value.

    :raises ValueError: there is no such sign_type
    """
    given = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    given.pop("sign", None)
    text = "&".join(f"{name}={value}" for name, value in sorted(given.items()))
    message = f"{text}&key={key}".encode()
    if sign_type == "MD5":
        return hashlib.md5(message, usedforsecurity=False).hexdigest().upper()
    if sign_type == "HMAC-SHA256":
        return hmac.new(key.encode(), message, hashlib.sha256).hexdigest().upper()
    raise ValueError("sign_type")


def build(fields: Mapping[str, object], key: str, sign_type: SignType = "HMAC-SHA256") -> bytes:
    """
    Return a signed request for an authinfo, as XML.

    :raises ValueError: a field breaks the limits WeChat publishes; names the field alone
    """
    given = {name: str(value) for name, value in fields.items() if value not in (None, "")}
    given["sign_type"] = sign_type  # missing, it is a PARAM_ERROR, whatever default is documented
    _check(given)
    return flatxml.write({**given, "sign": sign(given, key, sign_type)})


def parse(body: bytes, key: str) -> dict[str, str]:
    """
    Return the fields of a successful answer, its signature verified.

    WeChat leaves some failures unsigned. They are believed, but only as failures.

    :raises Unavailable: system_error, WeChat's own trouble
    :raises Misconfigured: signature, identifiers, appid_mch_id, sub_merchant, message
    :raises Rejected: rawdata, device_unregistered, sdk_outdated, refused
    :raises Untrusted: too_large, not_xml, entities, malformed, missing_signature, bad_signature
    """
    fields = flatxml.read(body)
    outcome = fields.get("return_code")
    if outcome is None:
        raise Untrusted("malformed")
    if outcome == "SYSTEMERROR":
        raise Unavailable("system_error")
    if outcome != "SUCCESS":
        raise _refusal(outcome, fields.get("return_msg", ""))
    _verify(fields, key)
    if fields.get("result_code", "SUCCESS") != "SUCCESS":
        raise _refusal(fields.get("err_code", ""), fields.get("err_code_des", ""))
    return fields


def _refusal(code: str, message: str) -> Rejected:
    for words, fact in _OURS.items():
        if words in message:
            return Misconfigured(code, fact=fact)
    facts = (fact for words, fact in _DEVICES.items() if words in message)
    return Rejected(code, fact=next(facts, "refused"))


def _check(given: Mapping[str, str]) -> None:
    for name in REQUIRED:
        if name not in given:
            raise ValueError(name)
    for name, value in given.items():
        if not _TEXT.fullmatch(value) or len(value) > LIMITS.get(name, len(value)):
            raise ValueError(name)
    # A plus sign that became a blank on its way here is WeChat's "生成authinfo失败".
    if not _RAWDATA.fullmatch(given["rawdata"]):
        raise ValueError("rawdata")
    if not _NOW.fullmatch(given["now"]):
        raise ValueError("now")


def _verify(fields: Mapping[str, str], key: str) -> None:
    signature = fields.get("sign", "")
    if not signature:
        raise Untrusted("missing_signature")
    if not _SIGNATURE.fullmatch(signature):
        raise Untrusted("bad_signature")
    # WeChat has answered MD5 to HMAC requests: the length says which, not what we asked for.
    sign_type: SignType = "MD5" if len(signature) == 32 else "HMAC-SHA256"  # noqa: PLR2004
    if not hmac.compare_digest(signature, sign(fields, key, sign_type)):
        raise Untrusted("bad_signature")
