"""Who gets in, and who may what: GB/T 22239-2019 8.1.4.1, 8.1.4.2, 8.1.5."""

from datetime import datetime, timedelta
from itertools import combinations
from typing import Final

from django.conf import settings
from django.db.models import Q

from hospital import labels, policy, roles
from hospital.accounts.models import Staff
from hospital.accounts.naming import RESERVED
from hospital.accounts.sealed import USERNAME as SEALED_ACCOUNT
from hospital.compliance.seen import Seen, all_of, met, met_if, unmet
from hospital.parameters import BY_KEY
from hospital.roles import ADMINISTRATORS, GRANTS, SEALED, May, Role

_SECOND_FACTOR: Final = "hospital.accounts.second_factor.BeforeAnyPage"


def passwords(_at: datetime) -> Seen:
    return _policy("PASSWORD_MIN_LENGTH", "PASSWORD_MAX_AGE_DAYS", "PASSWORD_HISTORY")


def terminals_sign(_at: datetime) -> Seen:
    wanted = ["devices.authentication.TerminalSignature"]
    used = settings.REST_FRAMEWORK["DEFAULT_AUTHENTICATION_CLASSES"]
    return met_if(used == wanted, f"终端接口的鉴别方式：{'、'.join(used)}")


def lockout(_at: datetime) -> Seen:
    return _policy(
        "LOGIN_FAIL_LIMIT",
        "LOGIN_LOCK_MINUTES",
        "ADDRESS_FAIL_LIMIT",
        "SESSION_IDLE_MINUTES",
        "SESSION_ABSOLUTE_HOURS",
    )


def https(_at: datetime) -> Seen:
    return all_of(
        (
            (settings.HTTPS_ONLY, "没有强制 HTTPS", "去掉 HTTPS_ONLY=0"),
            (settings.SESSION_COOKIE_SECURE, "会话 Cookie 可经明文发送", ""),
            (settings.SECURE_HSTS_SECONDS > 0, "没有启用 HSTS", ""),
        ),
        told=f"只接受 HTTPS，HSTS {settings.SECURE_HSTS_SECONDS} 秒；TLS 版本由前置代理决定",
    )


def second_factor(_at: datetime) -> Seen:
    is_asked = _SECOND_FACTOR in settings.MIDDLEWARE
    return all_of(
        ((is_asked, "没有第二验证方式也能打开页面", "MIDDLEWARE"),),
        told="没有第二验证方式的账号打不开任何业务页面；绑定情况见账号与权限复核表",
    )


def denied_by_default(_at: datetime) -> Seen:
    wanted = ["devices.authentication.IsTerminal"]
    used = settings.REST_FRAMEWORK["DEFAULT_PERMISSION_CLASSES"]
    return met_if(
        used == wanted, "接口默认拒绝，只有激活的终端可调用；页面逐页要求权限，见角色权限表"
    )


def no_default_accounts(_at: datetime) -> Seen:
    shared = sorted(RESERVED - {SEALED_ACCOUNT})
    count = Staff.objects.filter(username__in=shared).count()
    return met_if(not count, f"使用公用名称（{'、'.join(shared[:4])} 等）的账号 {count} 个")


def none_dormant(at: datetime) -> Seen:
    days = policy.value("DORMANT_DAYS")
    since = at - timedelta(days=days + 1)  # stopped once a day
    used = Q(last_login__gt=since) | Q(enabled_at__gt=since)
    active = Staff.objects.filter(is_active=True).exclude(role__in=SEALED)
    dormant = active.exclude(used).count()
    ended = active.filter(valid_until__lte=at - timedelta(days=1)).count()
    unbound = active.filter(is_vendor=True, valid_until=None).count()
    detail = (
        f"超过 {days} 天未用 {dormant} 个，过期未停 {ended} 个，没有期限的厂商账号 {unbound} 个"
    )
    return met_if(not dormant + ended + unbound, f"在用账号中：{detail}")


def separation(_at: datetime) -> Seen:
    shared = [
        f"{one.label}与{other.label}有共同的权限"
        for one, other in combinations(ADMINISTRATORS, 2)
        if (GRANTS[one] & GRANTS[other]) - _READING
    ]
    if any(column.name == "is_superuser" for column in Staff._meta.fields):
        shared.append("账号带有超级用户标志")
    detail = "；".join(shared) or "三类管理员没有共同的管理权限，账号没有超级用户标志"
    return met_if(not shared, detail)


_READING: Final = frozenset({May.READ_POLICY, May.VIEW_RETENTION})  # nothing is changed by them


def staffed(_at: datetime) -> Seen:
    held = set(Staff.objects.filter(is_active=True).values_list("role", flat=True))
    missing = [role.label for role in Role if role not in held | SEALED]
    if missing:
        return unmet("缺：" + "、".join(missing))
    return met("五个角色均有在用账号，一人一角色")


def clearance(_at: datetime) -> Seen:
    cleared = Staff.objects.filter(role__in=ADMINISTRATORS)
    above = cleared.exclude(clearance=labels.Label.INTERNAL).count()
    blind = [
        role.label
        for role in ADMINISTRATORS
        if GRANTS[role] & {May.REVEAL_PATIENTS, May.VIEW_PATIENTS, May.SEARCH_PATIENTS}
    ]
    detail = (
        f"有安全标记的对象 {len(labels.LABELS)} 个；标记高于“内部”的管理员 {above} 个；"
        f"能看患者的管理员角色 {len(blind)} 个"
    )
    return met_if(not above and not blind, detail)


def vendors(_at: datetime) -> Seen:
    count = Staff.objects.filter(is_active=True, is_vendor=True).count()
    detail = f"在用厂商账号 {count} 个，限期、只能查看账号和终端，看不到个人信息"
    return met_if({May.VIEW_SYSTEM} >= roles.OF_VENDORS, detail)


def emergencies(_at: datetime) -> Seen:
    minutes = policy.value("EMERGENCY_MINUTES")
    return met_if(
        bool(SEALED) and May.APPROVE_EMERGENCY_SECURITY not in GRANTS[Role.PRIVACY],
        f"应急账号平时停用，两人批准后启用 {minutes} 分钟，事后复核",
    )


def _policy(*keys: str) -> Seen:
    beyond = policy.beyond()
    amiss = [BY_KEY[key].refusal(beyond[key]) for key in keys if key in beyond]
    values = "，".join(
        f"{BY_KEY[key].label} {policy.value(key)} {BY_KEY[key].unit}" for key in keys
    )
    return met_if(not amiss, "；".join(amiss) or values)
