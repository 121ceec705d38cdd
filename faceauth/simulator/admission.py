"""Who asks? The headers and the Authorization of a v3 request, judged as WeChat judges them."""

import re
from collections.abc import Mapping

from faceauth.simulator import keys, mistakes
from faceauth.simulator.refusal import OTHER, SIGNATURE, Refused, refuse
from faceauth.simulator.wire import Request
from faceauth.simulator.world import Merchant, World
from faceauth.wechat import v3
from faceauth.wechat.keys import strict_base64

_ITEM = re.compile(r'([a-z_]+)="([^"]*)"')
_ITEMS = {"mchid", "nonce_str", "timestamp", "serial_no", "signature"}  # in any order
_NONCE = re.compile(r"[0-9A-Za-z]{1,32}", re.ASCII)
_TIMESTAMP = re.compile(r"[0-9]{10}", re.ASCII)
_TRUNCATED = 128  # characters of the message WeChat repeats


def admit(request: Request, world: World, *, now: float) -> Merchant:
    """
    Return the merchant who signed `request`.

    :raises Refused: nobody did; these answers are not signed
    """
    if not request.headers.get("accept") or not request.headers.get("user-agent"):
        raise refuse(
            400,
            "INVALID_REQUEST",
            "Http头缺少Accept或User-Agent",
            verdict="请求头缺少 Accept 或 User-Agent",
        )
    items = _items(request)
    merchant = _merchant(items, world)
    if abs(int(items["timestamp"]) - now) > v3.CLOCK_SKEW:
        message = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
        off = int(items["timestamp"]) - int(now)
        raise _unauthorized(message, f"时间戳与微信相差 {off:+d} 秒，请校准时钟", number=OTHER)
    _verify(request, items, merchant, world)
    return merchant


def _items(request: Request) -> dict[str, str]:
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    items = dict(_ITEM.findall(rest))
    if scheme and scheme != v3.SCHEME:
        raise _unauthorized("HTTP头Authorization认证类型不正确", f"认证类型应为 {v3.SCHEME}")
    malformed = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
    missing = sorted(_ITEMS - items.keys())
    if missing:
        raise _unauthorized(malformed, f"Authorization 缺少 {'、'.join(missing)}")
    if not _NONCE.fullmatch(items["nonce_str"]):
        raise _unauthorized(malformed, "nonce_str 应为 1 至 32 个字母或数字")
    if not _TIMESTAMP.fullmatch(items["timestamp"]):
        raise _unauthorized(malformed, "timestamp 应为 10 位秒数")
    return items


def _merchant(items: Mapping[str, str], world: World) -> Merchant:
    merchant = world.merchant(items["mchid"])
    if merchant is None:
        own = "商户号不存在"
        if world.partner.hospital(items["mchid"]):
            own = "这是特约商户号：服务商模式用服务商的商户号和证书签名"
        raise _unauthorized("商户未申请过证书。", own)
    if not keys.is_serial(items["serial_no"], merchant.certificate):
        verdict = f"serial_no 不是商户号 {merchant.mch_id} 的证书，应为 {merchant.serial}"
        if items["serial_no"] in (world.platform_serial, world.wechat_public_key_id):
            verdict = "serial_no 填成了微信支付平台证书或公钥的编号，应填商户 API 证书的序列号"
        raise _unauthorized("商户证书序列号有误。", verdict)
    return merchant


def _verify(request: Request, items: Mapping[str, str], by: Merchant, world: World) -> None:
    message = v3.message_to_sign(
        request.method,
        request.target,
        timestamp=int(items["timestamp"]),
        nonce=items["nonce_str"],
        body=request.body,
    )
    signature = strict_base64(items["signature"]) or b""
    if mistakes.is_signed(message, signature, by.key):
        return
    text = message.decode(errors="replace")
    mistake = mistakes.in_v3(request, items, signature, by=by, world=world) if signature else ""
    if not signature:
        mistake = "signature 不是 Base64"
    raise _unauthorized(
        "错误的签名，验签失败",
        "：".join(filter(None, ("签名错误", mistake)))
        + f"。待签名串是「{text.replace(chr(10), '⏎')}」",
        detail=_detail(request, text),
        to_sign=text,
    )


def _detail(request: Request, message: str) -> dict[str, object]:
    # As WeChat has it: https://github.com/TheNorthMemory/wechatpay-axios-plugin/issues/58
    return {
        "detail": {"issue": "sign not match"},
        "field": "signature",
        "location": "authorization",
        "sign_information": {
            "method": request.method,
            "url": request.target,
            "truncated_sign_message": message[:_TRUNCATED],
            "sign_message_length": len(message.encode()),
        },
    }


def _unauthorized(
    message: str,
    verdict: str,
    *,
    number: int = SIGNATURE,
    detail: Mapping[str, object] | None = None,
    to_sign: str = "",
) -> Refused:
    return refuse(
        401,
        "SIGN_ERROR",
        message,
        verdict=verdict,
        number=number,
        detail=detail,
        to_sign=to_sign,
    )
