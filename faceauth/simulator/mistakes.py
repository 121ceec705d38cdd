"""Which of the usual mistakes a signature was made with: what an integrator wants to be told."""

from collections.abc import Iterator, Mapping
from urllib.parse import unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from faceauth.simulator.keys import private_key
from faceauth.simulator.wire import Request
from faceauth.simulator.world import Merchant, World
from faceauth.wechat import v2, v3

_OFFICIAL = "https://api.mch.weixin.qq.com"


def is_signed(message: bytes, signature: bytes, key: str) -> bool:
    """Return whether the holder of `key` (PEM) signed `message` as v3 does."""
    try:
        private_key(key).public_key().verify(
            signature, message, padding.PKCS1v15(), hashes.SHA256()
        )
    except InvalidSignature:
        return False
    return True


def in_v3(
    request: Request, items: Mapping[str, str], signature: bytes, *, by: Merchant, world: World
) -> str:
    """Return in Chinese what was done wrong, or "" if it is none of the usual mistakes."""
    message = _message(request, items)
    for owner, key in _other_keys(by, world):
        if is_signed(message, signature, key):
            return f"用{owner}的私钥签名，与 serial_no 不是一对"
    return next(
        (
            mistake
            for mistake, wrong in _wrong_messages(request, items)
            if wrong != message and is_signed(wrong, signature, by.key)
        ),
        "",
    )


def in_v2(fields: Mapping[str, str], *, by: Merchant, world: World) -> str:
    """Return in Chinese what was done wrong, or "" if it is none of the usual mistakes."""
    given = fields.get("sign", "")
    if not given:
        return "没有 sign"
    right = [v2.sign(fields, by.apiv2_key, "MD5"), v2.sign(fields, by.apiv2_key, "HMAC-SHA256")]
    if given in right:
        return "签名算法与 sign_type 不一致"
    if given.upper() in right:
        return "签名没有转成大写"
    without = {name: value for name, value in fields.items() if name != "sign_type"}
    signed = {v2.sign(without, by.apiv2_key, kind) for kind in ("MD5", "HMAC-SHA256")}
    if given in signed:
        return "sign_type 没有参加签名"
    for owner, key in (("APIv3", by.apiv3_key), *_other_v2_keys(by, world)):
        if given in {v2.sign(fields, key, kind) for kind in ("MD5", "HMAC-SHA256")}:
            return f"用的是{owner}密钥"
    return ""


def _message(request: Request, items: Mapping[str, str], **changed: str) -> bytes:
    return v3.message_to_sign(
        changed.get("method", request.method),
        changed.get("target", request.target),
        timestamp=int(items["timestamp"]),
        nonce=items["nonce_str"],
        body=request.body,
    )


def _wrong_messages(request: Request, items: Mapping[str, str]) -> Iterator[tuple[str, bytes]]:
    path, _, query = request.target.partition("?")
    message = _message(request, items)
    yield "查询参数没有参加签名，只签了路径", _message(request, items, target=path)
    yield "待签名串最后少一个换行（请求体为空也占一行）", message[:-1]
    yield "待签名串最后少两个换行", message[:-2]
    yield (
        "签了解码后的地址，应按发出的样子签",
        _message(request, items, target=unquote(request.target)),
    )
    yield "签了带域名的完整地址", _message(request, items, target=_OFFICIAL + request.target)
    yield (
        "签了带域名的完整地址",
        _message(
            request, items, target=f"http://{request.headers.get('host', '')}{request.target}"
        ),
    )
    yield (
        "查询参数的次序与发出的不同",
        _message(request, items, target=f"{path}?{'&'.join(sorted(query.split('&')))}"),
    )
    yield "请求方法写成了小写", _message(request, items, method=request.method.lower())
    for method in ("GET", "POST", "PUT"):
        yield f"请求方法签成了 {method}", _message(request, items, method=method)
    yield "换行用了 \\r\\n", message.replace(b"\n", b"\r\n")
    yield "换行用了字面的 \\n", message.replace(b"\n", b"\\n")
    yield "时间戳与随机串的次序颠倒", _swapped(message)


def _swapped(message: bytes) -> bytes:
    method, target, timestamp, nonce, rest = message.split(b"\n", 4)
    return b"\n".join((method, target, nonce, timestamp, rest))


def _other_keys(by: Merchant, world: World) -> Iterator[tuple[str, str]]:
    for merchant, name in ((world.direct, "普通商户"), (world.partner, "服务商")):
        if merchant != by:
            yield name, merchant.key
    for hospital in world.partner.hospitals:
        yield f"特约商户 {hospital.sub_mch_id} ", hospital.key


def _other_v2_keys(by: Merchant, world: World) -> Iterator[tuple[str, str]]:
    for merchant, name in ((world.direct, "普通商户"), (world.partner, "服务商")):
        if merchant != by:
            yield f"{name}的 APIv2 ", merchant.apiv2_key
