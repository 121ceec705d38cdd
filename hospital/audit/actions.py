"""
The vocabulary: every act the trail knows, and the facts it may state about it.

A fact that is not listed is refused, so a name cannot slip in through a new keyword, and so is one
that is not what a fact of its name is (`facts`). Tags are for ever: a retired one stays here as a
comment.
"""

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from hospital.audit.facts import (
    FACTS,
    Shape,
    digests,
    flag,
    ident,
    keys,
    number,
    scalar,
    word,
)

# With which outcomes an act tells of rows that changed together with it.
NOTHING: Final[frozenset[str]] = frozenset()  # a look, a refusal, a report
DONE: Final = frozenset({"success"})
EITHER_WAY: Final = frozenset({"success", "failed"})  # a failure that ends something


class Severity(enum.StrEnum):
    INFO = "info"
    NOTICE = "notice"
    WARNING = "warning"
    ALERT = "alert"


@dataclass(frozen=True)
class Kind:
    """What may be said of one action. `tag` is `subject.verb`, stable across releases."""

    tag: str
    label: str
    facts: Mapping[str, Shape] = field(default_factory=dict, hash=False)
    severity: Severity = Severity.INFO
    needs_reason: bool = False
    changes: frozenset[str] = DONE


def _kind(
    tag: str,
    label: str,
    *facts: str,
    severity: Severity = Severity.INFO,
    needs_reason: bool = False,
    changes: frozenset[str] = DONE,
    **otherwise: Shape,
) -> Kind:
    """:param otherwise: facts that are something else here than of other actions"""
    shapes = {name: FACTS[name] for name in facts} | otherwise
    return Kind(tag, label, MappingProxyType(shapes), severity, needs_reason, changes)


class Action(enum.Enum):
    # People
    LOGIN = _kind("auth.login", "登录", "methods", severity=Severity.NOTICE, changes=NOTHING)
    LOGIN_FAILED = _kind(
        "auth.login_failed",
        "登录失败",
        "factor",
        "suppressed",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    LOGIN_LOCK = _kind(
        "auth.lock", "登录锁定", "minutes", "suppressed", severity=Severity.ALERT, changes=NOTHING
    )
    LOGIN_UNLOCK = _kind("auth.unlock", "解除登录锁定", severity=Severity.WARNING, changes=NOTHING)
    SESSION_REPLACED = _kind(
        "auth.session_replaced", "旧登录被新登录取代", severity=Severity.NOTICE, changes=NOTHING
    )
    SESSION_TIMEOUT = _kind("auth.session_timeout", "登录超时退出", "kind", changes=NOTHING)
    MFA_ENROL = _kind("auth.mfa_enrol", "绑定第二验证方式", "factor", severity=Severity.NOTICE)
    MFA_REMOVE = _kind("auth.mfa_remove", "解绑第二验证方式", "factor", severity=Severity.WARNING)
    MFA_COPIED = _kind(
        "auth.mfa_copied",
        "安全密钥疑似被复制",
        "factor",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    CREDENTIALS_RESET = _kind("auth.reset", "重置登录方式", "proposal", severity=Severity.WARNING)
    CREDENTIALS_FETCH = _kind(
        "auth.reset_fetch", "领取一次性密码", "proposal", severity=Severity.WARNING
    )
    LOGOUT = _kind("auth.logout", "退出", changes=NOTHING)
    PASSWORD_CHANGE = _kind("auth.password_change", "修改密码", severity=Severity.NOTICE)
    PASSWORD_REHASH = _kind("auth.password_rehash", "更新密码散列")
    ACCESS_DENIED = _kind(
        "access.denied",
        "越权访问被拒绝",
        "route",
        "suppressed",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    REQUEST_ABORT = _kind(
        "request.abort",
        "操作未完成，已撤销",
        "route",
        "code",
        "actions",
        "suppressed",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    STAFF_CREATE = _kind("staff.create", "建立账号", "role", severity=Severity.NOTICE)
    STAFF_CHANGE = _kind(
        "staff.change", "修改账号", "fields", "is_active", severity=Severity.NOTICE
    )
    STAFF_DISABLE = _kind("staff.disable", "自动停用账号", "code", severity=Severity.NOTICE)
    STAFF_LAST = _kind(
        "staff.last",
        "应停用的账号是该角色最后一个，没有停用",
        "code",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    STAFF_PRIVILEGE = _kind(
        "staff.privilege",
        "发现越权的超级权限",
        "code",
        "count",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    ROLE_ASSIGN = _kind(
        "role.assign",
        "分配角色",
        "before",
        "after",
        "campus",
        "clearance",
        "proposal",
        severity=Severity.WARNING,
    )
    POLICY_CHANGE = _kind(
        "policy.change",
        "修改安全策略",
        "key",
        severity=Severity.WARNING,
        before=number,
        after=number,
    )
    POLICY_REJECT = _kind(
        "policy.change_rejected",
        "拒绝越过底线的安全策略",
        "key",
        "source",
        severity=Severity.ALERT,
        changes=NOTHING,
        value=scalar,
    )
    ADDRESS_DENIED = _kind(
        "access.address_denied",
        "不允许的地址访问管理端",
        "suppressed",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    EMERGENCY_ASK = _kind(
        "emergency.ask",
        "申请启用应急账号",
        "campus",
        "ticket",
        severity=Severity.ALERT,
        needs_reason=True,
    )
    EMERGENCY_DECIDE = _kind(
        "emergency.decide", "审批应急账号", "decision", "office", severity=Severity.ALERT
    )
    EMERGENCY_OPEN = _kind("emergency.open", "启用应急账号", "minutes", severity=Severity.ALERT)
    EMERGENCY_FETCH = _kind("emergency.fetch", "领取应急账号密码", severity=Severity.ALERT)
    EMERGENCY_CLOSE = _kind("emergency.close", "停用应急账号", "code", severity=Severity.ALERT)
    EMERGENCY_REVIEW = _kind(
        "emergency.review", "复核应急使用", severity=Severity.NOTICE, needs_reason=True
    )
    EMERGENCY_OVERDUE = _kind(
        "emergency.overdue", "应急使用逾期未复核", severity=Severity.ALERT, changes=NOTHING
    )
    # Places and boxes
    STORE_CREATE = _kind("store.create", "建立门店")
    STORE_CHANGE = _kind("store.change", "修改门店", "fields")
    TERMINAL_CREATE = _kind("terminal.create", "建立终端")
    TERMINAL_CHANGE = _kind("terminal.change", "修改终端", "fields")
    TERMINAL_ACTIVATION = _kind("terminal.activation", "签发激活码", severity=Severity.NOTICE)
    TERMINAL_ACTIVATE = _kind(
        "terminal.activate", "激活终端", "key_id", "algorithm", severity=Severity.NOTICE
    )
    TERMINAL_REPLACE = _kind(
        "terminal.replace", "新设备接替在线终端", "key_id", "key_ids", severity=Severity.WARNING
    )
    TERMINAL_SILENT = _kind("terminal.silent", "终端失联", "seconds", severity=Severity.WARNING)
    TERMINAL_RETURN = _kind("terminal.return", "终端恢复联络", "seconds", severity=Severity.NOTICE)
    TERMINAL_SUSPEND = _kind(
        "terminal.suspend", "停用终端", severity=Severity.WARNING, needs_reason=True
    )
    TERMINAL_RESUME = _kind("terminal.resume", "恢复终端", severity=Severity.NOTICE)
    KEY_ADD = _kind(
        "terminal.key_add",
        "登记终端新密钥",
        "key_id",
        "algorithm",
        "signed_by",
        severity=Severity.NOTICE,
    )
    KEY_RETIRE = _kind(
        "terminal.key_retire", "终端停用旧密钥", "key_id", "signed_by", severity=Severity.NOTICE
    )
    KEY_REVOKE = _kind("terminal.key_revoke", "吊销终端密钥", "key_id", severity=Severity.WARNING)
    TERMINAL_DENIED = _kind(
        "terminal.denied",
        "拒绝终端请求",
        "code",
        "key_id",
        "route",
        "suppressed",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    # WeChat and the notice
    MERCHANT_CREATE = _kind("merchant.create", "建立微信商户", "fields", severity=Severity.NOTICE)
    MERCHANT_CHANGE = _kind(
        "merchant.change",
        "修改微信商户",
        "fields",
        "v2_base_url",
        "v3_base_url",
        "signer_url",
        severity=Severity.WARNING,
    )
    MERCHANT_EXPIRING = _kind(
        "merchant.expiring",
        "微信商户证书将过期",
        "certificate",
        "serial",
        "days",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    NOTICE_CREATE = _kind("notice.create", "起草告知书")
    NOTICE_CHANGE = _kind("notice.change", "修改告知书草稿", "fields", "version")
    NOTICE_ENFORCE = _kind(
        "notice.enforce",
        "告知书生效",
        "version",
        "digest",
        "digest_sm3",
        "proposal",
        severity=Severity.NOTICE,
    )
    AUTHINFO_ISSUE = _kind(
        "authinfo.issue", "签发调用凭证", "cached", "expires_in", changes=NOTHING
    )
    AUTHINFO_FAIL = _kind(
        "authinfo.fail",
        "获取调用凭证失败",
        "code",
        "wechat_code",
        "wechat_status",
        "wechat_request_id",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    # One visit
    SESSION_OPEN = _kind(
        "session.open",
        "同意告知书",
        "kind",
        "notice_version",
        "notice_digest",
        "purposes",
        "consent",
        "on_request",
    )
    SESSION_REFUSE = _kind(
        "session.refuse",
        "不同意告知书",
        "kind",
        "notice_version",
        "notice_digest",
        "purposes",
        "consent",
        "on_request",
        "code",
    )
    SESSION_NOT_ASKED = _kind("session.not_asked", "近期不同意，未再询问", "code")
    SESSION_SEE = _kind("session.see", "识别人脸")
    SESSION_RECOGNISE = _kind(
        "session.recognise",
        "识别为已建档患者",
        "patient",
        "consent",
        "known_by",
        "code",
        "wechat_fact",
        "wechat_status",
        "wechat_request_id",
    )
    SESSION_UNRECOGNISED = _kind(
        "session.unrecognised",
        "未识别（未建档）",
        "code",
        "wechat_fact",
        "wechat_status",
        "wechat_request_id",
    )
    SESSION_ACCOUNT_DIFFERS = _kind(
        "session.account_differs",
        "微信账号与档案不一致",
        "wechat_request_id",
        severity=Severity.WARNING,
        changes=EITHER_WAY,
    )
    SESSION_AUTHORIZE = _kind("session.authorize", "患者授权")
    SESSION_DECLINE = _kind("session.decline", "患者在微信上拒绝授权")
    SESSION_GUARDIAN = _kind("session.guardian", "不满十四周岁，转监护人办理")
    SESSION_FAIL = _kind(
        "session.fail",
        "建档失败",
        "code",
        "wechat_fact",
        "wechat_status",
        "wechat_request_id",
        severity=Severity.WARNING,
        changes=EITHER_WAY,
    )
    SESSION_EXPIRE = _kind("session.expire", "会话过期")
    SESSION_REQUEUE = _kind("session.requeue", "立即重试核验")
    SESSION_TAKE = _kind("session.take", "人工接手会话")
    SESSION_LEAVE = _kind("session.leave", "放回会话")
    SESSION_SETTLE = _kind("session.settle", "人工办结会话", "settlement", "patient")
    WECHAT_ANSWER = _kind(
        "wechat.answer", "取得微信应答", "wechat_request_id", "attempt", changes=NOTHING
    )
    WECHAT_RETRY = _kind(
        "wechat.retry",
        "微信暂不可用",
        "code",
        "attempt",
        "wechat_fact",
        "wechat_status",
        "wechat_request_id",
        severity=Severity.NOTICE,
        changes=NOTHING,
    )
    WORKER_RESTART = _kind(
        "worker.restart",
        "后台进程停滞，已自行重启",
        "seconds",
        "count",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    # Patients
    PATIENT_ONBOARD = _kind(
        "patient.onboard",
        "建档",
        "session",
        "consent",
        "is_new",
        "document_type",
        "identity",
        "method",
        "evidence",
        "registration",
        severity=Severity.NOTICE,
    )
    PATIENT_ATTEND = _kind("patient.attend", "在本院区登记", "campus")
    PATIENT_CORRECT = _kind(
        "patient.correct",
        "更正患者身份",
        "fields",
        "correction",
        "identity",
        severity=Severity.WARNING,
    )
    PATIENT_REVEAL = _kind(
        "patient.reveal",
        "查看明文",
        "field",
        "purpose",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    PATIENT_REVEAL_QUOTA = _kind(
        "patient.reveal_quota",
        "查看明文达到限额",
        "code",
        "count",
        "suppressed",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    PATIENT_PRINT = _kind("patient.print", "打印患者凭条", "format", changes=NOTHING)
    REGISTRATION_ENTER = _kind(
        "registration.enter",
        "人工登记",
        "cause",
        "evidence",
        "document_type",
        "session",
        "patient",
        severity=Severity.NOTICE,
        guardian=flag,  # that one agreed
    )
    REGISTRATION_DECIDE = _kind(
        "registration.decide",
        "复核人工登记",
        "decision",
        "patient",
        severity=Severity.NOTICE,
    )
    LIKENESS_FIND = _kind("likeness.find", "发现疑似重复", "kind", "patients")
    LIKENESS_LINK = _kind("likeness.link", "关联为同一患者", "patients", severity=Severity.WARNING)
    LIKENESS_UNLINK = _kind(
        "likeness.unlink", "解除患者关联", "patients", severity=Severity.WARNING
    )
    LIKENESS_APART = _kind(
        "likeness.apart", "确认不是同一患者", "patients", severity=Severity.NOTICE
    )
    CORRECTION_ASK = _kind(
        "correction.ask",
        "申请更正身份",
        "fields",
        "patient",
        "evidence",
        severity=Severity.NOTICE,
        needs_reason=True,
    )
    CORRECTION_DECIDE = _kind(
        "correction.decide", "复核更正申请", "decision", "patient", severity=Severity.NOTICE
    )
    WECHAT_ACCOUNT_MOVE = _kind(
        "patient.wechat_account_move", "微信账号改属他人", severity=Severity.WARNING, before=ident
    )
    PATIENT_VIEW = _kind(
        "patient.view", "查看患者（脱敏）", "count", "subjects", "shown", changes=NOTHING
    )
    PATIENT_SEARCH = _kind(
        "patient.search",
        "查找患者",
        "kind",
        "opened",
        "count",
        "subjects",
        "shown",
        "suppressed",
        changes=NOTHING,
    )
    PATIENT_RESTRICT = _kind(
        "patient.restrict", "限制处理", "code", "request", severity=Severity.WARNING
    )
    PATIENT_RELEASE = _kind(
        "patient.release", "解除限制处理", "code", "request", severity=Severity.WARNING
    )
    PATIENT_THIN = _kind("patient.thin", "移交后精简档案", "handoff", severity=Severity.NOTICE)
    PATIENT_UNLINK_WECHAT = _kind(
        "patient.unlink_wechat", "删除微信账号关联", "code", "count", severity=Severity.NOTICE
    )
    # Consent
    CONSENT_WITHDRAW = _kind(
        "consent.withdraw",
        "撤回同意",
        "patient",
        "terminal",
        "session",
        "purposes",
        severity=Severity.WARNING,
    )
    CONSENT_GUARDIAN = _kind(
        "consent.guardian",
        "监护人同意",
        "patient",
        "guardian",
        "evidence",
        "notice_version",
        "notice_digest",
        "purposes",
        severity=Severity.NOTICE,
    )
    CONSENT_VIEW = _kind(
        "consent.view", "查看同意记录", "count", "subjects", "shown", changes=NOTHING
    )
    # What is kept, and how long
    RETENTION_CHANGE = _kind(
        "retention.change",
        "修改保存期限",
        "category",
        "proposal",
        severity=Severity.ALERT,
        before=number,
        after=number,
    )
    RETENTION_SWEEP = _kind(
        "retention.sweep",
        "到期清理",
        "category",
        "count",
        "held",
        "run",
        "table",
        severity=Severity.NOTICE,
        rows=keys,
    )
    HOLD_PLACE = _kind(
        "hold.place", "依法保全", "patient", "until", "proposal", severity=Severity.WARNING
    )
    HOLD_LIFT = _kind(
        "hold.lift", "解除保全", "patient", "code", "proposal", severity=Severity.WARNING
    )
    # Rights
    RIGHTS_OPEN = _kind(
        "rights.open",
        "受理权利请求",
        "kind",
        "patient",
        "applicant",
        "due",
        severity=Severity.NOTICE,
    )
    RIGHTS_VERIFY = _kind(
        "rights.verify",
        "核验申请人身份",
        "evidence",
        "ground_shown",
        severity=Severity.NOTICE,
    )
    RIGHTS_ANSWER = _kind(
        "rights.answer",
        "答复权利请求",
        "kind",
        "patient",
        "decision",
        "code",
        severity=Severity.NOTICE,
    )
    RIGHTS_COPY = _kind(
        "rights.copy", "制作个人信息副本", "patient", "sha256", severity=Severity.WARNING
    )
    RIGHTS_FETCH = _kind(
        "rights.fetch", "领取个人信息副本", "patient", "sha256", severity=Severity.WARNING
    )
    RIGHTS_COPY_GONE = _kind("rights.copy_gone", "删除个人信息副本", "code")
    RIGHTS_LATE = _kind("rights.late", "权利请求逾期未答复", "kind", severity=Severity.ALERT)
    # Erasure
    ERASURE_DECIDE = _kind(
        "erasure.decide",
        "决定删除个人信息",
        "patient",
        "cause",
        "proposal",
        "request",
        "hours",
        severity=Severity.ALERT,
    )
    ERASURE_CANCEL = _kind(
        "erasure.cancel", "取消删除", "patient", "code", severity=Severity.WARNING
    )
    ERASURE_STEP = _kind(
        "erasure.step", "删除个人信息", "erasure", "step", "count", severity=Severity.WARNING
    )
    ERASURE_REPLAY = _kind(
        "erasure.replay",
        "恢复备份后重做删除",
        "count",
        "place",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    # To whom what was given
    DISCLOSE = _kind(
        "disclosure.note",
        "对外提供",
        "recipient",
        "purpose",
        "fields",
        "count",
        "patient",
        severity=Severity.NOTICE,
    )
    HANDOFF_OWE = _kind("handoff.owe", "待移交 HIS", "handoff")
    HANDOFF_DONE = _kind(
        "handoff.done", "HIS 已确认", "patient", "attempt", "disclosure", severity=Severity.NOTICE
    )
    HANDOFF_FAIL = _kind(
        "handoff.fail",
        "移交 HIS 失败",
        "patient",
        "code",
        "attempt",
        "is_final",
        severity=Severity.WARNING,
        changes=EITHER_WAY,
    )
    HANDOFF_REPLAY = _kind("handoff.replay", "重新移交 HIS", "patient", severity=Severity.NOTICE)
    # Assessment and incidents
    ASSESSMENT_APPROVE = _kind(
        "assessment.approve",
        "批准影响评估",
        "digest",
        "notice_version",
        "days",
        severity=Severity.WARNING,
    )
    ASSESSMENT_END = _kind("assessment.end", "影响评估失效", "code", severity=Severity.ALERT)
    SCALE_REACHED = _kind(
        "scale.reached",
        "个人信息规模提醒",
        "count",
        "limit",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    INCIDENT_OPEN = _kind(
        "incident.open", "登记安全事件", "kind", "is_drill", severity=Severity.ALERT
    )
    INCIDENT_CLASSIFY = _kind(
        "incident.classify", "安全事件定级", "level", "before", severity=Severity.ALERT
    )
    INCIDENT_QUERY = _kind(
        "incident.query",
        "查询受影响患者",
        "count",
        "patient",
        "staff",
        "terminal",
        severity=Severity.WARNING,
        start=word,
        end=word,
    )
    INCIDENT_NOTIFY = _kind("incident.notify", "报告安全事件", "recipient", severity=Severity.ALERT)
    INCIDENT_LATE = _kind(
        "incident.late", "安全事件逾期未报告", "recipient", "code", severity=Severity.ALERT
    )
    INCIDENT_CLOSE = _kind("incident.close", "关闭安全事件", severity=Severity.ALERT)
    # Keys
    KEYS_ROTATE_BEGIN = _kind(
        "keys.rotate_begin",
        "开始更换密钥",
        "kind",
        "target",
        "total",
        "conflicts",
        "failed",
        severity=Severity.WARNING,
    )
    KEYS_ROTATE_END = _kind(
        "keys.rotate_end",
        "更换密钥结束",
        "kind",
        "target",
        "total",
        "conflicts",
        "failed",
        severity=Severity.WARNING,
    )
    KEYS_DESTROY = _kind("keys.destroy", "销毁密钥", "epoch", "proposal", severity=Severity.ALERT)
    KEYS_CHECK = _kind(
        "keys.check",
        "检查封存的数据",
        "kind",
        "target",
        "total",
        "conflicts",
        "failed",
        "differing",
        severity=Severity.NOTICE,
        changes=NOTHING,
    )
    # The trail itself
    AUDIT_FINDING = _kind(
        "audit.finding",
        "留痕有异常",
        "kind",
        "count",
        "events",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    AUDIT_VERIFY = _kind(
        "audit.verify",
        "核验留痕",
        "is_full",
        "is_anchored",
        "size",
        "count",
        "findings",
        severity=Severity.NOTICE,
        changes=NOTHING,
    )
    NOTARY_REFUSE = _kind(
        "notary.refuse",
        "留痕停止签名",
        "code",
        "size",
        "found",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    NOTARY_UNWITNESSED = _kind(
        "notary.unwitnessed",
        "检查点长时间无人见证",
        "seconds",
        "size",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    NOTARY_BEGIN = _kind(
        "notary.begin", "留痕另起一册", "origin", "before", "size", "root", severity=Severity.ALERT
    )
    TRAIL_READ = _kind("trail.read", "查阅留痕", "route", "filters", "count", changes=NOTHING)
    EXPORT_REQUEST = _kind(
        "export.request",
        "申请导出留痕",
        "kind",
        "purpose",
        "start",
        "end",
        "filters",
        severity=Severity.WARNING,
        needs_reason=True,
    )
    EXPORT_COMPLETE = _kind(
        "export.complete",
        "留痕导出完成",
        "count",
        "sha256",
        "sm3",
        "size",
        severity=Severity.NOTICE,
    )
    EXPORT_FAIL = _kind(
        "export.fail", "留痕导出失败", "code", severity=Severity.WARNING, changes=EITHER_WAY
    )
    EXPORT_DOWNLOAD = _kind(
        "export.download", "下载留痕导出文件", "sha256", severity=Severity.WARNING, changes=NOTHING
    )
    EXPORT_EXPIRE = _kind("export.expire", "留痕导出文件过期删除")
    EXPORT_SEE = _kind("export.see", "知悉留痕导出", "count", changes=NOTHING)
    STEP_UP = _kind("auth.step_up", "再次验证身份", severity=Severity.NOTICE, changes=NOTHING)
    STEP_UP_FAIL = _kind(
        "auth.step_up_failed",
        "再次验证身份失败",
        "suppressed",
        severity=Severity.WARNING,
        changes=NOTHING,
    )
    PROPOSAL_ASK = _kind(
        "proposal.ask",
        "申请双人审批",
        "kind",
        "start",
        "end",
        "index",
        "hash",
        "staff",
        "person",
        "role",
        "campus",
        "clearance",
        "epoch",
        "category",
        "value",
        "patient",
        "request",
        "linked",
        "until",
        "hold",
        "notice",
        "digest",
        "backup",
        severity=Severity.WARNING,
        needs_reason=True,
    )
    PROPOSAL_DECIDE = _kind(
        "proposal.decide",
        "审批",
        "kind",
        "decision",
        "code",
        severity=Severity.WARNING,
        changes=EITHER_WAY,
    )
    AUDIT_ARCHIVE = _kind(
        "audit.archive",
        "归档留痕",
        "start",
        "end",
        "root",
        "sha256",
        "sm3",
        severity=Severity.NOTICE,
    )
    AUDIT_PRUNE = _kind(
        "audit.prune",
        "清理已归档的留痕",
        "start",
        "end",
        "count",
        "proposal",
        "asked_by",
        "approved_by",
        severity=Severity.ALERT,
        sha256=digests,
    )
    AUDIT_REDACT = _kind(
        "audit.redact",
        "遮盖留痕中的内容",
        "index",
        "hash",
        "proposal",
        "asked_by",
        "approved_by",
        severity=Severity.ALERT,
    )
    FINDING_RAISE = _kind(
        "finding.raise", "审计发现", "kind", "count", severity=Severity.WARNING, subjects=keys
    )
    FINDING_SETTLE = _kind(
        "finding.settle", "处置审计发现", "kind", "decision", severity=Severity.NOTICE
    )
    REVIEW_MAKE = _kind("review.make", "生成每周分析", "week", "count")
    REVIEW_SIGN = _kind("review.sign", "审阅每周分析", "week", severity=Severity.NOTICE)
    DATABASE_GRANT = _kind("database.grant", "设置数据库角色", "count", severity=Severity.WARNING)
    DATABASE_REPAIR = _kind(
        "database.repair", "直接修正数据", severity=Severity.ALERT, needs_reason=True
    )
    FORWARD_RESET = _kind(
        "forward.reset", "重新外发留痕", "sink", "start", severity=Severity.WARNING
    )
    # Backups
    BACKUP_MAKE = _kind(
        "backup.make",
        "备份",
        "backup",
        "digest",
        "size",
        "rows",
        "total",
        "root",
        severity=Severity.NOTICE,
        changes=NOTHING,
    )
    BACKUP_FAIL = _kind("backup.fail", "备份失败", "code", severity=Severity.ALERT, changes=NOTHING)
    BACKUP_EXPIRE = _kind(
        "backup.expire", "备份到期删除", "count", severity=Severity.NOTICE, changes=NOTHING
    )
    BACKUP_RESTORE = _kind(
        "backup.restore",
        "恢复备份",
        "backup",
        "digest",
        "first",
        "second",
        "proposal",
        "asked_by",
        "approved_by",
        "rows",
        "erasures",
        "findings",
        "total",
        "root",
        severity=Severity.ALERT,
        changes=NOTHING,
    )
    BACKUP_DRILL = _kind(
        "backup.drill",
        "恢复演练",
        "backup",
        "digest",
        "first",
        "second",
        "seconds",
        "rows",
        "erasures",
        "findings",
        "total",
        "code",
        severity=Severity.NOTICE,
        changes=NOTHING,
    )
    # Evidence
    EVIDENCE_COLLECT = _kind(
        "evidence.collect",
        "收集合规证据",
        "met",
        "count",
        severity=Severity.NOTICE,
        changes=NOTHING,
    )


BY_TAG: dict[str, Action] = {action.value.tag: action for action in Action}
