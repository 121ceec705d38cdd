"""What WeChat's answer means for those who run the system: what is wrong, and where to mend it."""

from typing import Any

from faceauth import wechat

_REMEDIES = {
    "signature": "签名错误：检查 APIv2 密钥与签名方式",
    "identifiers": "商户号或 appid 不符合格式：核对商户资料",
    "message": "请求报文格式错误：检查门店名称与终端编号有无特殊字符",
    "appid_mch_id": "appid 与商户号不匹配：在微信商户平台绑定二者",
    "permission": "商户没有接口权限：在微信商户平台开通刷脸权限",
    "sub_merchant": "与子商户没有受理关系：核对子商户号及其授权",
    "clock": "服务器时钟不准：校时，与北京时间相差不得超过五分钟",
    "signer": "签名服务拒绝签名：检查其地址、密钥编号与授权",
    "rawdata": "终端数据无效：终端会重新获取；若反复出现，检查其网络与时钟",
    "device_unregistered": "该设备型号未在微信登记，请联系设备厂商",
    "sdk_outdated": "终端刷脸程序版本过旧，请联系设备厂商升级",
    "refused": "微信拒绝了请求：核对商户与设备登记",
    "not_configured": "商户密钥未配置或无法打开：请系统管理员检查商户资料",
    "egress": "接入地址不在外联白名单：核对商户的接入地址，签名服务须列入 EGRESS_ALLOW",
    "unreachable": "连不上微信：检查出口网络、域名解析与防火墙",
    "timeout": "微信没有及时应答：检查出口网络，稍后会自动重试",
    "network": "与微信的连接中断：检查出口网络，稍后会自动重试",
    "busy": "同时向微信的请求过多，稍后会自动重试",
    "http_429": "请求过于频繁，稍后会自动重试",
    "http_5xx": "微信系统繁忙，稍后会自动重试",
    "system_error": "微信未能处理：若反复出现，检查服务器时钟与终端数据",
    "circuit_open": "微信持续没有应答，已暂停请求，稍后会自动重试",
}
# For a name a key pair signs, and WeChat words a missing right and a missing consent alike.
_OF_IDENTITY = {
    "signature": "签名错误：检查商户私钥、证书序列号与商户号是否配套",
    "permission": "没有权限：患者未在微信上授权，或商户未开通实名信息权限",
    "refused": "",
}
_SIGNER_AWAY = "签名服务没有应答：检查其地址与网络，稍后会自动重试"


def remedy(fact: str, *, of_identity: bool = False) -> str:
    """
    Return a sentence for staff; "" if there is nothing they could mend.

    :param of_identity: WeChat was asked who somebody is, not for an authinfo
    """
    if fact.startswith("signer_"):
        return _SIGNER_AWAY
    return (_REMEDIES | _OF_IDENTITY if of_identity else _REMEDIES).get(fact, "")


def exchange_of(exc: Exception) -> dict[str, Any]:
    """Return what the trail may state of an exchange with WeChat: status and WeChat's number."""
    if not isinstance(exc, wechat.WeChatError):
        return {}
    told = {"wechat_status": exc.status, "wechat_request_id": exc.request_id}
    return {name: value for name, value in told.items() if value}
