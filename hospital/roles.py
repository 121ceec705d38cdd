"""
三员分立 as one table: who may do what.

Permission classes, the admin site and the audit trail all read `GRANTS`. There is no
superuser: nobody holds what is not written here (GB/T 22239-2019 8.1.4.2 d, 8.1.5).
"""

import enum

from django.db.models import TextChoices


class Role(TextChoices):
    SYSTEM = "system", "系统管理员"
    SECURITY = "security", "安全管理员"
    AUDITOR = "auditor", "审计管理员"
    REGISTRAR = "registrar", "登记员"
    PRIVACY = "privacy", "个保负责人"


class May(enum.Enum):
    MANAGE_STAFF = "建立、停用账号"
    MANAGE_STORES = "管理门店"
    MANAGE_TERMINALS = "管理终端"
    MANAGE_MERCHANTS = "管理微信商户"
    ASSIGN_ROLES = "分配角色"
    VIEW_KEYS = "查看密钥状态"
    READ_TRAIL = "查阅留痕"
    EXPORT_TRAIL = "导出留痕"
    KEEP_TRAIL = "申请清理、遮盖留痕"
    APPROVE_KEEPING = "批准清理、遮盖留痕"
    SEE_EXPORTS = "知悉留痕导出"
    SETTLE_FINDINGS = "处置审计发现"
    VIEW_SESSIONS = "查看刷脸会话"
    VIEW_PATIENTS = "查看患者（脱敏）"
    MANAGE_NOTICES = "管理告知书"
    VIEW_CONSENTS = "查看同意记录"


GRANTS: dict[Role, frozenset[May]] = {
    Role.SYSTEM: frozenset(
        {May.MANAGE_STAFF, May.MANAGE_STORES, May.MANAGE_TERMINALS, May.MANAGE_MERCHANTS}
    ),
    Role.SECURITY: frozenset(
        {May.ASSIGN_ROLES, May.VIEW_KEYS, May.SEE_EXPORTS, May.APPROVE_KEEPING}
    ),
    Role.AUDITOR: frozenset(
        {May.READ_TRAIL, May.EXPORT_TRAIL, May.KEEP_TRAIL, May.SETTLE_FINDINGS}
    ),
    Role.REGISTRAR: frozenset({May.VIEW_SESSIONS, May.VIEW_PATIENTS}),
    Role.PRIVACY: frozenset({May.MANAGE_NOTICES, May.VIEW_CONSENTS, May.VIEW_PATIENTS}),
}


def may(person: object, right: May) -> bool:
    """Whether `person` (a request's user, perhaps anonymous) holds `right` now."""
    role = getattr(person, "role", "")
    active = getattr(person, "is_active", False)
    return bool(active and role and right in GRANTS[Role(role)])
