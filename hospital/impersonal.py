"""Columns that look like somebody's and are nobody's, each with the reason."""

from typing import Final

_NAME: Final = "物的名称，不是人名"
_KEY: Final = "密钥材料，已封装或已封存，不含个人信息"
_PUBLIC: Final = "公开的密钥、证书或编号"
_HASH: Final = "散列值或签名"
_COUNTS: Final = "只有数量和代码"

# fmt: off
IMPERSONAL: Final[dict[str, str]] = {
    # Third parties' tables that stay empty, and Django's own words
    **dict.fromkeys(("admin.logentry.object_id", "admin.logentry.object_repr",
                     "admin.logentry.change_message"), "django 自带的日志：本系统只写留痕"),
    **dict.fromkeys(("account.emailaddress.email", "account.emailconfirmation.email_address"),
                    "不收集工作人员的电子邮件"),
    **dict.fromkeys(("axes.accessattempt.get_data", "axes.accessattempt.post_data"),
                    "不记录提交的内容"),
    **dict.fromkeys(("auth.permission.name", "auth.permission.codename", "auth.group.name"),
                    "权限的名称；角色见 hospital/roles.py"),
    # Keys
    **dict.fromkeys(("crypto.keyepoch.wrapped", "crypto.keyepoch.check_value",
                     "crypto.datakey.wrapped", "crypto.datakey.check_value",
                     "crypto.indexkey.wrapped", "crypto.indexkey.check_value"), _KEY),
    "crypto.job.findings": _COUNTS,
    **{f"faceauth.merchant.{slot}": _KEY for slot in (
        "apiv2_key", "apiv3_key", "signing_key", "decrypting_key", "signer_key")},
    **{f"faceauth.merchant.{field}": _PUBLIC for field in (
        "merchant_certificate", "decrypting_certificate", "wechat_public_key")},
    "devices.terminalkey.public_key": _PUBLIC,
    # The trail's machinery
    **{f"audit.{field}": _HASH for field in (
        "archive.root", "leaf.hash", "tile.hashes", "checkpoint.root", "checkpoint.note",
        "anchor.receipt", "event.mac", "commitment.salt")},
    "audit.change.facts": "登记改动的模型和行号，写入留痕后清除",
    "audit.archive.name": "归档文件的名称",
    "audit.review.counts": _COUNTS,
    # Things
    "devices.store.name": _NAME,
    "devices.terminal.name": _NAME,
    # Rules and sums
    **{f"faceauth.notice.{field}": "告知书文本，不涉及具体的人" for field in (
        "text", "purposes", "title", "fallback")},
    "privacy.retentionrun.counts": _COUNTS,
    "privacy.assessment.purposes": "处理目的的代码",
    "privacy.assessment.reference": "评估报告的文号",
    "privacy.notification.reference": "主管部门的回执编号",
    "accounts.emergency.ticket": "工单编号",
}
# fmt: on
