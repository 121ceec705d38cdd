"""What is sealed, under which keys: GB/T 22239-2019 8.1.4.7, 8.1.4.8; GB/T 39786-2021 8.4."""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib.auth.hashers import get_hasher
from django.db.models import Q

from faceauth.models import FaceSession
from hospital.compliance import checks
from hospital.compliance.seen import Seen, duty, met, met_if, unmet
from hospital.crypto import known_answers, standing
from hospital.crypto.fields import SealedField
from hospital.inventory import GUARDIAN, INVENTORY, PATIENT
from hospital.sensitivity import Label

_SLOW: Final = frozenset({"argon2", "scrypt", "pbkdf2_sha256"})  # by design
_YEARS: Final = timedelta(days=3 * 365)  # 36 months: how long a key-encryption key serves at most


def algorithms(_at: datetime) -> Seen:
    try:
        known_answers.self_test()
    except known_answers.SelfTestFailed:
        return unmet("算法自检未通过")
    return met(f"SM3、SM4-GCM、AES-256-GCM 自检通过，新数据密钥使用 {settings.CRYPTO_SUITE}")


def sealed(_at: datetime) -> Seen:
    """What names a patient or a guardian is looked at, column by column."""
    naming = {
        item.field
        for item in INVENTORY
        if item.label is Label.IDENTIFYING and item.whose in {PATIENT, GUARDIAN}
    }
    sealed_ones = {name for name, field in checks.columns() if isinstance(field, SealedField)}
    plain = sorted(naming - sealed_ones)
    return met_if(
        not plain,
        f"没有封存：{'、'.join(plain)}"
        if plain
        else f"能识别患者和监护人的字段 {len(naming)} 个全部封存，绑定表、列、患者、行",
    )


def passwords_hashed(_at: datetime) -> Seen:
    algorithm = get_hasher().algorithm
    return met_if(algorithm in _SLOW, f"密码只存摘要，算法 {algorithm}")


def forgotten(_at: datetime) -> Seen:
    ended = FaceSession.objects.filter(state__in=FaceSession.FINAL)
    held = ended.filter(Q(face_sid__isnull=False) | Q(answer__isnull=False)).count()
    return met_if(not held, f"已结束而仍存有人脸凭证或微信应答的会话 {held} 次")


def destroyed(_at: datetime) -> Seen:
    """A key that was destroyed is no longer there; that is what erasing a patient rests on."""
    left = standing.half_destroyed()
    return met_if(not left, f"已销毁而仍有密文的数据密钥 {left} 个")


def root_key(_at: datetime) -> Seen:
    provider = settings.KEY_PROVIDER
    if provider == "file":
        return unmet("根密钥保存在文件中：软件保管，不是经认证的密码产品，不等于通过密评")
    return duty(
        f"根密钥由 {provider} 提供；该产品的商用密码产品认证证书和等级须由医院提供，本系统不能证明"
    )


def keys_rotated(at: datetime) -> Seen:
    active = next((one for one in standing.epochs() if one.is_active), None)
    if active is None:
        return unmet("没有使用中的主密钥")
    told = f"第 {active.number} 代主密钥，自 {active.created_at:%Y-%m-%d} 使用"
    return met_if(active.created_at > at - _YEARS, told)


def keys_apart(_at: datetime) -> Seen:
    is_apart = "keys" in settings.DATABASES
    detail = (
        "密钥表在单独的数据库" if is_apart else "密钥表与患者数据在同一数据库（KEYS_DATABASE_URL）"
    )
    return met_if(is_apart, detail)


def certified_login(_at: datetime) -> Seen:
    return duty(
        "登录使用口令加动态口令或安全密钥；密评要求经认证的 USB-Key、动态令牌或安全认证网关"
    )


def channel(_at: datetime) -> Seen:
    return duty("TLS 由前置代理终止；密评要求国密 SSL 网关（TLCP）")


def non_repudiation(_at: datetime) -> Seen:
    is_set = bool(settings.COUNTERSIGN_COMMAND)
    if is_set:
        return duty("留痕检查点由外部程序用 SM2 签名；签名验签产品的认证证书须由医院提供")
    return duty("须接签名验签服务器（COUNTERSIGN_COMMAND）；软件校验码不能提供不可否认性")
