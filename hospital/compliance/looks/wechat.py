"""WeChat's own conditions: who can touch the real-name data on its way."""

from datetime import datetime
from typing import Final

from django.conf import settings

from faceauth.models import Merchant
from faceauth.models.merchant import OFFICIAL
from hospital.compliance.seen import Seen, all_of, duty, met, met_if, unmet

_NONE: Final = "没有使用中的微信商户"


def merchant() -> Merchant | None:
    return Merchant.objects.filter(is_active=True).first()


def official(_at: datetime) -> Seen:
    one = merchant()
    if one is None:
        return unmet(_NONE)
    where = "微信" if one.is_official else "模拟微信"
    detail = f"连接{where}，只访问 {'、'.join(sorted({one.v2_base_url, one.v3_base_url}))}"
    return met_if(one.is_official, detail)


def signed(_at: datetime) -> Seen:
    one = merchant()
    if one is None:
        return unmet(_NONE)
    return met_if(
        one.sign_type == Merchant.SignType.HMAC_SHA256,
        f"v2 签名方式 {one.sign_type}；v3 应答先验签再解析",
    )


def data_path(_at: datetime) -> Seen:
    """What a 服务商's signing service sees is declared, not denied."""
    one = merchant()
    if one is None:
        return unmet(_NONE)
    if not one.is_partner:
        return met("普通商户直连：实名信息不经过服务商服务器")
    if not one.signer_url:
        return unmet("服务商模式而服务商的签名私钥在本系统：改用签名服务（signer_url）")
    return duty(
        "服务商模式：签名服务看得到 face_sid，看不到应答；"
        "须写入数据安全承诺文件，并由服务商限制其用途"
    )


def keys_of_worker(_at: datetime) -> Seen:
    web_has = bool(settings.WORKER_KEY_FILE)
    detail = "商户密钥封存给工作进程；本进程没有它的私钥" if not web_has else "本进程能打开商户密钥"
    return met_if(not web_has, f"{detail}（在网页进程中查看为准）")


def certificate(_at: datetime) -> Seen:
    one = merchant()
    if one is None:
        return unmet(_NONE)
    return all_of(
        ((not one.missing, f"缺少 {'、'.join(one.missing)}", "在“微信商户”中补齐"),),
        told=f"证书序列号 {one.merchant_serial or '由签名服务保管'}，到期前由告警提示",
    )


def minimal(_at: datetime) -> Seen:
    one = merchant()
    if one is None:
        return unmet(_NONE)
    asks = "查询姓名、证件号码" + ("和 UnionID" if one.asks_union_id else "")
    return duty(f"本系统只{asks}；商户号是否另有手机号码等权限，须在商户平台核对")


def egress() -> list[str]:
    """Return whom this installation is configured to talk to, besides its own database."""
    one = merchant()
    urls = {one.v2_base_url, one.v3_base_url, one.signer_url} if one else set(OFFICIAL)
    if one and one.is_official:
        urls.add("https://api2.mch.weixin.qq.com")
    named = ("HIS_FHIR_URL", "FORWARD_ADDRESS", "WITNESS_URL", "TIMESTAMP_URL", "VAULT_ADDR")
    urls |= {str(getattr(settings, name, "")) for name in named}
    return sorted(urls - {""})
