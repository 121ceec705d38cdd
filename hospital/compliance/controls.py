"""
Which control answers which clause, and whether it is met right now.

Every state is looked up, never declared. What software cannot meet is a deployment's duty and
is not listed as met.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from itertools import combinations

from django.conf import settings
from django.db.models import Q

from faceauth.models import FaceSession, Merchant, Notice
from hospital import checks
from hospital.accounts.models import Staff
from hospital.audit import trail, verification
from hospital.crypto import known_answers
from hospital.roles import GRANTS, SEALED, Role

ADMINISTRATORS = (Role.SYSTEM, Role.SECURITY, Role.AUDITOR)


@dataclass(frozen=True)
class Finding:
    """One control at one moment. `detail` counts and names settings; it never names a person."""

    clause: str
    control: str
    is_met: bool
    detail: str


@dataclass(frozen=True)
class Control:
    """`clause` as an assessor cites it; `look` returns whether it is met, and what was seen."""

    clause: str
    name: str
    look: Callable[[datetime], tuple[bool, str]]


def findings(*, at: datetime) -> list[Finding]:
    """Look at every control."""
    return [Finding(control.clause, control.name, *control.look(at)) for control in CONTROLS]


def _level(_at: datetime) -> tuple[bool, str]:
    unmet = [f"{found.id} {found.msg}" for found in checks.production()]
    return not unmet, "；".join(unmet) or f"DEPLOY_LEVEL={settings.DEPLOY_LEVEL}，各项均满足"


def _separation(_at: datetime) -> tuple[bool, str]:
    shared = [
        f"{one.label}与{other.label}"
        for one, other in combinations(ADMINISTRATORS, 2)
        if GRANTS[one] & GRANTS[other]
    ]
    if any(column.name == "is_superuser" for column in Staff._meta.fields):
        shared.append("账号带有超级用户标志")
    return not shared, "；".join(shared) or "三类管理员的权限互不重叠，账号没有超级用户标志"


def _staffed(_at: datetime) -> tuple[bool, str]:
    held = set(Staff.objects.filter(is_active=True).values_list("role", flat=True))
    missing = [role.label for role in Role if role not in held | SEALED]
    if missing:
        return False, "缺：" + "、".join(missing)
    return True, "五个角色均有在用账号，一人一角色"


def _trail(at: datetime) -> tuple[bool, str]:
    try:
        verdict = verification.verify(at=at, verifiers=trail.verifiers())
    except trail.NotConfigured as exc:
        return False, str(exc)
    seen = (
        f"留痕 {verdict.events} 条，已封存 {verdict.sealed} 条，签名到第 {verdict.signed} 条，"
        f"异常 {verdict.count} 处；是否截断须用外部锚点核验（verifyaudit --anchor）"
    )
    return verdict.is_intact and verdict.signed > 0 and not verdict.unsettled, seen


def _consent(_at: datetime) -> tuple[bool, str]:
    seen = FaceSession.objects.exclude(state=FaceSession.State.REFUSED)
    without = seen.filter(consent__granted=False).count()
    return not without, f"刷脸会话 {seen.count()} 次，其中没有同意记录的 {without} 次"


def _notice(at: datetime) -> tuple[bool, str]:
    notice = Notice.objects.in_force(at)
    if notice is None:
        return False, "没有生效的告知书"
    return bool(notice.fallback), f"告知书{notice}生效中，写明不刷脸的办理方式"


def _sealing(_at: datetime) -> tuple[bool, str]:
    try:
        known_answers.self_test()
    except known_answers.SelfTestFailed:
        return False, "算法自检未通过"
    suite = settings.CRYPTO_SUITE
    return True, f"算法自检通过，新数据密钥使用 {suite}；密钥由软件保管，不等于通过密评"


def _forgotten(_at: datetime) -> tuple[bool, str]:
    ended = FaceSession.objects.filter(state__in=FaceSession.FINAL)
    held = ended.filter(Q(face_sid__isnull=False) | Q(answer__isnull=False)).count()
    return not held, f"已结束而仍存有人脸凭证或微信应答的会话 {held} 次"


def _merchant(_at: datetime) -> tuple[bool, str]:
    merchant = Merchant.objects.filter(is_active=True).first()
    if merchant is None:
        return False, "没有使用中的微信商户"
    signed = merchant.sign_type == Merchant.SignType.HMAC_SHA256
    where = "微信" if merchant.is_official else "模拟微信"
    return merchant.is_official and signed, f"连接{where}，签名方式 {merchant.sign_type}"


CONTROLS = (
    Control("GB/T 22239-2019 三级", "上线检查", _level),
    Control("GB/T 22239-2019 8.1.4.2 d、8.1.5", "三员分立", _separation),
    Control("GB/T 22239-2019 8.1.5", "五个角色到位", _staffed),
    Control("GB/T 22239-2019 8.1.4.3 c", "留痕逐行校验", _trail),
    Control("个人信息保护法 第二十九条", "先同意后刷脸", _consent),
    Control("人脸识别技术应用安全管理办法 第十条", "不刷脸也能办", _notice),
    Control("GB/T 22239-2019 8.1.4.8", "敏感信息封存", _sealing),
    Control("GB/T 22239-2019 8.1.4.10", "用毕即删", _forgotten),
    Control("微信刷脸实名认证接入条件", "微信接入", _merchant),
)
