"""What the auditor's pages call things. A word that is not here is shown as it is stored."""

from typing import Final

from django.apps import apps

from hospital.audit.actions import BY_TAG
from hospital.roles import Role

OUTCOMES: Final = {"success": "成功", "denied": "拒绝", "failed": "失败"}
ACTORS: Final = {"staff": "人员", "terminal": "终端", "system": "系统", "unknown": "未知"}
SEVERITIES: Final = {"info": "一般", "notice": "提示", "warning": "警告", "alert": "告警"}

# The first word of an action's tag.
GROUPS: Final = {
    "auth": "登录",
    "access": "越权",
    "staff": "账号",
    "role": "角色",
    "emergency": "应急",
    "store": "门店",
    "terminal": "终端",
    "merchant": "微信商户",
    "notice": "告知书",
    "authinfo": "调用凭证",
    "session": "刷脸会话",
    "wechat": "微信",
    "patient": "患者",
    "keys": "密钥",
    "audit": "留痕",
    "notary": "留痕签名",
    "trail": "查阅",
    "export": "导出",
    "proposal": "审批",
    "finding": "审计发现",
    "review": "每周分析",
    "database": "数据库",
    "backup": "备份恢复",
    "forward": "外发",
    "evidence": "合规证据",
    "assessment": "影响评估",
    "scale": "个人信息规模",
    "incident": "安全事件",
    "disclosure": "对外提供",
    "erasure": "删除个人信息",
    "request": "请求",
    "rights": "权利请求",
}
FACTS: Final = {
    "after": "之后",
    "algorithm": "算法",
    "applicant": "申请人身份",
    "approved_by": "批准人",
    "asked_by": "申请人",
    "attempt": "第几次",
    "backup": "备份编号",
    "before": "之前",
    "cached": "来自缓存",
    "campus": "院区",
    "cause": "原因",
    "certificate": "证书",
    "clearance": "安全标记",
    "code": "原因代码",
    "conflicts": "冲突",
    "consent": "同意记录",
    "count": "数量",
    "days": "天数",
    "decision": "结论",
    "digest": "摘要",
    "disclosure": "提供记录编号",
    "document_type": "证件类型",
    "due": "办理期限",
    "end": "终止",
    "epoch": "主密钥代次",
    "erasure": "删除记录编号",
    "erasures": "重做的删除数",
    "events": "留痕编号",
    "expires_in": "有效期（秒）",
    "factor": "验证方式",
    "failed": "失败数",
    "fields": "改动的字段",
    "filters": "条件",
    "findings": "异常数",
    "first": "第一组公钥",
    "found": "现有",
    "handoff": "移交编号",
    "hash": "散列",
    "hours": "冷静期（小时）",
    "ground_shown": "已看委托书或关系证明",
    "identity": "身份承诺",
    "index": "序号",
    "is_active": "启用",
    "is_anchored": "有外部锚点",
    "is_drill": "演练",
    "is_final": "不再尝试",
    "is_full": "从头核验",
    "is_new": "新建",
    "key_id": "密钥编号",
    "key_ids": "密钥编号",
    "kind": "类型",
    "level": "级别",
    "limit": "提醒数量",
    "linked": "关联的档案",
    "known_by": "识别依据",
    "met": "符合项",
    "methods": "登录方式",
    "minutes": "分钟数",
    "notice_digest": "告知书摘要",
    "digest_sm3": "摘要（SM3）",
    "on_request": "患者要求办理",
    "guardian": "监护人",
    "notice_version": "告知书版本",
    "office": "审批岗位",
    "opened": "解开数",
    "origin": "留痕名称",
    "patient": "患者编号",
    "person": "人员摘要",
    "place": "台账序号",
    "proposal": "审批编号",
    "purpose": "用途",
    "purposes": "用途",
    "recipient": "接收方",
    "request": "请求编号",
    "role": "角色",
    "root": "根",
    "route": "页面或接口",
    "seconds": "秒数",
    "serial": "序列号",
    "session": "会话编号",
    "sha256": "SHA-256",
    "shown": "所示内容",
    "signed_by": "签名密钥",
    "signer_url": "签名服务地址",
    "sink": "去处",
    "second": "第二组公钥",
    "size": "大小",
    "sm3": "SM3",
    "staff": "账号",
    "start": "起始",
    "step": "步骤",
    "subjects": "涉及对象",
    "suppressed": "此前未逐条记录",
    "target": "目标",
    "terminal": "终端编号",
    "ticket": "工单号",
    "total": "总数",
    "v2_base_url": "V2 地址",
    "v3_base_url": "V3 地址",
    "version": "版本",
    "wechat_code": "微信错误码",
    "wechat_fact": "微信应答",
    "wechat_request_id": "微信请求编号",
    "wechat_status": "微信状态码",
    "week": "周一",
}
SINKS: Final = {
    "file": "锚点文件",
    "witness": "见证方",
    "rfc3161": "时间戳",
    "sm2": "国密副署",
}


def role(value: str) -> str:
    return str(Role(value).label) if value in Role.values else value


def kind_of_thing(label: str) -> str:
    """Return what staff call a kind of thing; one that no longer exists keeps its label."""
    try:
        return str(apps.get_model(label)._meta.verbose_name) if label else ""
    except (LookupError, ValueError):
        return label


def value(fact: object) -> str:
    """Return a fact as text."""
    if isinstance(fact, bool):
        return "是" if fact else "否"
    if isinstance(fact, list):
        return "、".join(map(str, fact)) or "—"
    return "—" if fact in ("", None) else str(fact)


def action(tag: str) -> str:
    """Return an action's name; a retired one keeps its tag."""
    known = BY_TAG.get(tag)
    return known.value.label if known else tag
