"""Who has an account and what each role may: work ids, no names."""

from collections.abc import Iterator
from datetime import datetime, timedelta

from allauth.mfa.models import Authenticator

from hospital import policy
from hospital.accounts import mfa
from hospital.accounts.models import Staff
from hospital.compliance.evidence.files import Artefact, as_csv, minute, yes
from hospital.roles import GRANTS, May, Role

_ACCOUNT = (
    "工号", "角色", "院区", "安全标记", "启用", "厂商", "有效期至", "建立时间", "上次登录",
    "第二验证方式", "长期未用",
)  # fmt: skip


def roles() -> Artefact:
    """角色权限表: `GRANTS` as it is."""
    rows = [(right.value, *(yes(right in GRANTS[role]) for role in Role)) for right in May]
    return as_csv("roles.csv", "角色权限表", ("权限", *(role.label for role in Role)), rows)


def accounts(at: datetime) -> Artefact:
    """账号与权限复核表."""
    return as_csv("accounts.csv", "账号与权限复核表", _ACCOUNT, _accounts(at))


def _accounts(at: datetime) -> Iterator[tuple[object, ...]]:
    factors: dict[object, set[str]] = {}
    for one in Authenticator.objects.exclude(type=Authenticator.Type.RECOVERY_CODES):
        factors.setdefault(one.user_id, set()).add(mfa.name_of(one))
    since = at - timedelta(days=policy.value("DORMANT_DAYS"))
    for staff in Staff.objects.order_by("username"):
        last = max(staff.last_login or staff.enabled_at, staff.enabled_at)
        yield (
            staff.username,
            staff.get_role_display() or "未分配",
            staff.campus,
            staff.get_clearance_display(),
            yes(staff.is_active),
            yes(staff.is_vendor),
            minute(staff.valid_until),
            minute(staff.created_at),
            minute(staff.last_login),
            "、".join(sorted(factors.get(staff.pk, ()))),
            yes(staff.is_active and last <= since),
        )
