"""The scenarios by name: what WeChat, or whatever lies between us, may do to an answer."""

from dataclasses import dataclass

AUTHINFO, USERS, CERTIFICATES = "authinfo", "users", "certificates"

_ALL = frozenset({AUTHINFO, USERS, CERTIFICATES})
_SIGNED = frozenset({USERS, CERTIFICATES})  # what v3 signs
_V2, _WHO, _KEYS = frozenset({AUTHINFO}), frozenset({USERS}), frozenset({CERTIFICATES})


@dataclass(frozen=True, slots=True)
class Scenario:
    """
    One scenario, in words for whoever chooses it.

    `lasting`: once begun it shows at /v3/certificates, uncounted, until it is cleared.
    """

    label: str
    explains: str
    endpoints: frozenset[str]
    lasting: bool = False


SCENARIOS = {
    # the way here
    "slow": Scenario("应答迟缓", "正确应答，但晚若干秒", _ALL),
    "down": Scenario("服务不可用", "503 SERVICE_UNAVAILABLE", _ALL),
    "500": Scenario("系统异常", "500 SYSTEM_ERROR", _ALL),
    "rate-limited": Scenario("频率超限", "429 RATELIMIT_EXCEEDED，可设 Retry-After", _ALL),
    "202": Scenario("已受理未完成", "202，空应答；应以原参数重新请求", _ALL),
    "reset": Scenario("连接重置", "不作应答就断开连接", _ALL),
    "drop": Scenario("中途断开", "应答正文发到一半断开，比 Content-Length 短", _ALL),
    "drip": Scenario("逐字节应答", "响应头一个字节一个字节地发，共若干秒", _ALL),
    "redirect": Scenario("重定向", "302 转到别处，不应跟随", _ALL),
    "html": Scenario("网页", "代理返回的网页，状态码 200", _ALL),
    "html-404": Scenario("网页 404", "代理返回的网页，状态码 404", _ALL),
    "oversized": Scenario("超大应答", "正文二十万字节", _ALL),
    "empty": Scenario("空应答", "状态码 200，正文为空，没有签名", _ALL),
    # the signature
    "forged": Scenario("伪造签名", "用别人的密钥签名", _ALL),
    "unsigned": Scenario("没有签名", "成功应答，但不带签名", _ALL),
    "truncated": Scenario("正文截断", "签名正确，正文只剩一半", _ALL),
    "stale": Scenario("过期应答", "签名时间在 400 秒之前", _SIGNED),
    "future": Scenario("未来应答", "签名时间在 400 秒之后", _SIGNED),
    "signtest": Scenario("签名探测", "签名值以 WECHATPAY/SIGNTEST/ 开头，不得通过", _SIGNED),
    "bad-base64": Scenario("签名值损坏", "应答签名不是 Base64", _SIGNED),
    "unknown-certificate": Scenario("未知证书", "签名证书从未下发过", _SIGNED),
    # WeChat's keys
    "rotating": Scenario("证书轮换", "用新平台证书签名；新旧证书都可下载", _SIGNED, lasting=True),
    "rotated-expired": Scenario(
        "轮换且旧证书过期", "用新平台证书签名；下载到新证书和已过期的旧证书", _SIGNED, lasting=True
    ),
    "pubkey-switch": Scenario(
        "公钥灰度", "轮流用微信支付公钥和平台证书签名，不管请求头要哪个", _SIGNED
    ),
    "pubkey-only": Scenario("仅公钥", "只用微信支付公钥签名，没有平台证书", _SIGNED, lasting=True),
    "no-certificates": Scenario("没有平台证书", "404，商户只能使用微信支付公钥", _KEYS),
    "certificates-forbidden": Scenario("证书已失效", "403 NOT_ENOUGH", _KEYS),
    "certificates-empty": Scenario("证书列表为空", '{"data":[]}', _KEYS),
    # what is inside
    "malformed": Scenario("格式错误", "不是 XML；或不是 JSON，但签名正确", _ALL),
    "entities": Scenario("XML 实体炸弹", "层层展开的实体定义", _V2),
    "dtd": Scenario("XML 文档类型", "带 DOCTYPE，没有实体", _V2),
    "oaep": Scenario("OAEP 加密", "用其他 APIv3 接口的填充方式加密", _WHO),
    "garbage": Scenario("密文损坏", "密文处是随机字节", _WHO),
    "gbk": Scenario("GBK 明文", "姓名以 GBK 编码后加密", _WHO),
    "wrong-checksum": Scenario("校验位错误", "证件号码最后一位不对", _WHO),
    "credential-type": Scenario("指定证件类型", "证件类型为所给数值（1–12），号码相符", _WHO),
    # what WeChat refuses
    "no-permission": Scenario("未开通权限", "403 NO_AUTH，未开通实名权限", _WHO),
    "wrong-appid": Scenario("appid 与商户号不匹配", "如同公众号未绑定该商户号", _V2 | _WHO),
    "device-unregistered": Scenario("设备未登记", "该设备型号未登记", _V2),
    "sdk-outdated": Scenario("刷脸版本过低", "终端刷脸程序需要升级", _V2),
}
