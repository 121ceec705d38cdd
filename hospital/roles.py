"""
三员分立 as one table: who may do what.

Permission classes, the admin site and the audit trail all read `GRANTS`. There is no
superuser: nobody holds what is not written here (GB/T 22239-2019 8.1.4.2 d, 8.1.5).
"""

import enum

from django.db.models import TextChoices


class Role(TextChoices):
    """Five roles of people; one person holds one. The sixth belongs to nobody: see `SEALED`."""

    SYSTEM = "system", "系统管理员"
    SECURITY = "security", "安全管理员"
    AUDITOR = "auditor", "审计管理员"
    REGISTRAR = "registrar", "登记员"
    PRIVACY = "privacy", "个保负责人"
    EMERGENCY = "emergency", "应急账号"


SEALED = frozenset({Role.EMERGENCY})  # opened for an hour by two people, granted to nobody
ADMINISTRATORS = (Role.SYSTEM, Role.SECURITY, Role.AUDITOR)
ABOUT_PATIENTS = frozenset({Role.REGISTRAR, Role.PRIVACY, Role.EMERGENCY})


class May(enum.Enum):
    # 系统管理
    MANAGE_STAFF = "建立、停用账号"
    MANAGE_STORES = "管理门店"
    MANAGE_TERMINALS = "管理终端"
    MANAGE_MERCHANTS = "管理微信商户"
    VIEW_SYSTEM = "查看账号、门店、终端"
    APPROVE_ROLES = "批准授予角色"
    # 安全管理
    ASSIGN_ROLES = "申请授予、收回角色"
    APPROVE_RESETS = "批准重置登录方式"
    SET_POLICY = "设置安全策略"
    READ_POLICY = "查看安全策略"
    VIEW_KEYS = "查看密钥状态"
    ASK_KEY_DESTRUCTION = "申请销毁密钥"
    APPROVE_KEY_DESTRUCTION = "批准销毁密钥"
    ASK_RESTORE = "申请恢复备份"
    APPROVE_RESTORE = "批准恢复备份"
    SEE_EXPORTS = "知悉留痕导出"
    APPROVE_KEEPING = "批准清理、遮盖留痕"
    # 审计管理
    READ_TRAIL = "查阅留痕"
    EXPORT_TRAIL = "导出留痕"
    KEEP_TRAIL = "申请清理、遮盖留痕"
    SETTLE_FINDINGS = "处置审计发现"
    REVIEW_EMERGENCIES = "复核应急使用"
    # 应急
    ASK_EMERGENCY = "申请启用应急账号"
    APPROVE_EMERGENCY_SECURITY = "批准启用应急账号（安全）"
    APPROVE_EMERGENCY_PRIVACY = "批准启用应急账号（个保）"
    # 登记业务
    VIEW_SESSIONS = "查看刷脸会话"
    HANDLE_SESSIONS = "处理刷脸会话"
    VIEW_PATIENTS = "查看患者（脱敏）"
    SEARCH_PATIENTS = "查找患者"
    REVEAL_PATIENTS = "查看明文"
    REGISTER_PATIENTS = "人工建档"
    LINK_PATIENTS = "处理疑似重复"
    ASK_CORRECTIONS = "申请更正"
    DECIDE_CORRECTIONS = "复核更正"
    # 告知与同意
    MANAGE_NOTICES = "起草告知书，申请生效"
    APPROVE_NOTICES = "批准告知书生效"
    VIEW_CONSENTS = "查看同意记录"
    HANDLE_CONSENTS = "办理撤回同意、监护人同意"
    # 个人信息保护
    SET_RETENTION = "申请修改保存期限"
    APPROVE_RETENTION_PERSONAL = "批准修改个人信息的保存期限"
    APPROVE_RETENTION_EVIDENCE = "批准修改记录的保存期限"
    VIEW_RETENTION = "查看保存期限和清理"
    ASK_HOLD = "申请依法保全"
    APPROVE_HOLD = "批准依法保全"
    RESTRICT_PATIENTS = "限制处理"
    OPEN_RIGHTS = "受理权利请求"
    DECIDE_RIGHTS = "答复权利请求"
    ASK_ERASURE = "申请删除个人信息"
    APPROVE_ERASURE = "批准删除个人信息"
    VIEW_DISCLOSURES = "查看对外提供记录"
    MANAGE_ASSESSMENTS = "登记影响评估"
    MANAGE_INCIDENTS = "处置安全事件"
    VIEW_COMPLIANCE = "查看合规状况，收集证据"
    HANDLE_HANDOFFS = "处理 HIS 移交"


GRANTS: dict[Role, frozenset[May]] = {
    Role.SYSTEM: frozenset(
        {
            May.MANAGE_STAFF,
            May.MANAGE_STORES,
            May.MANAGE_TERMINALS,
            May.MANAGE_MERCHANTS,
            May.VIEW_SYSTEM,
            May.APPROVE_ROLES,
            May.ASK_KEY_DESTRUCTION,
            May.ASK_RESTORE,
            May.ASK_EMERGENCY,
        }
    ),
    Role.SECURITY: frozenset(
        {
            May.ASSIGN_ROLES,
            May.APPROVE_RESETS,
            May.SET_POLICY,
            May.READ_POLICY,
            May.VIEW_KEYS,
            May.APPROVE_KEY_DESTRUCTION,
            May.APPROVE_RESTORE,
            May.SEE_EXPORTS,
            May.APPROVE_KEEPING,
            May.APPROVE_EMERGENCY_SECURITY,
            May.APPROVE_NOTICES,
            May.SET_RETENTION,
            May.VIEW_RETENTION,
            May.APPROVE_HOLD,
            May.MANAGE_INCIDENTS,
        }
    ),
    Role.AUDITOR: frozenset(
        {
            May.READ_TRAIL,
            May.EXPORT_TRAIL,
            May.KEEP_TRAIL,
            May.SETTLE_FINDINGS,
            May.READ_POLICY,
            May.REVIEW_EMERGENCIES,
            May.APPROVE_RETENTION_EVIDENCE,
            May.VIEW_RETENTION,
            May.VIEW_DISCLOSURES,
            May.VIEW_COMPLIANCE,
        }
    ),
    Role.REGISTRAR: frozenset(
        {
            May.VIEW_SESSIONS,
            May.HANDLE_SESSIONS,
            May.VIEW_PATIENTS,
            May.SEARCH_PATIENTS,
            May.REVEAL_PATIENTS,
            May.REGISTER_PATIENTS,
            May.LINK_PATIENTS,
            May.ASK_CORRECTIONS,
            May.DECIDE_CORRECTIONS,
            May.ASK_EMERGENCY,
            May.HANDLE_CONSENTS,
            May.OPEN_RIGHTS,
            May.ASK_ERASURE,
            May.HANDLE_HANDOFFS,
        }
    ),
    Role.PRIVACY: frozenset(
        {
            May.MANAGE_NOTICES,
            May.VIEW_CONSENTS,
            May.VIEW_PATIENTS,
            May.DECIDE_CORRECTIONS,
            May.READ_POLICY,
            May.APPROVE_EMERGENCY_PRIVACY,
            May.APPROVE_RETENTION_PERSONAL,
            May.VIEW_RETENTION,
            May.ASK_HOLD,
            May.RESTRICT_PATIENTS,
            May.DECIDE_RIGHTS,
            May.APPROVE_ERASURE,
            May.VIEW_DISCLOSURES,
            May.MANAGE_ASSESSMENTS,
            May.MANAGE_INCIDENTS,
            May.VIEW_COMPLIANCE,
        }
    ),
    Role.EMERGENCY: frozenset({May.VIEW_PATIENTS, May.SEARCH_PATIENTS, May.REVEAL_PATIENTS}),
}
# Of whoever is there for a supplier, whatever their role grants (compliance: time-boxed, no
# personal data, nothing to change).
OF_VENDORS = frozenset({May.VIEW_SYSTEM})


def may(person: object, right: May) -> bool:
    """Whether `person` (a request's user, perhaps anonymous) holds `right` now."""
    role = getattr(person, "role", "")
    active = getattr(person, "is_active", False)
    if getattr(person, "is_vendor", False) and right not in OF_VENDORS:
        return False
    return bool(active and role and right in GRANTS[Role(role)])
