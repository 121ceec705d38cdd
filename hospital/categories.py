"""
Every category of data with how long it is kept, and the lines that cannot be passed.

One table: the sweeps, the schedule people read and the evidence come from it. Three clocks, never
mixed: artefacts of a visit (minutes, hours), identity data (until its purpose is achieved), records
(years). A medical record belongs to the hospital's own system and is in none of them.
"""

import enum
from calendar import monthrange
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final


class Unit(enum.StrEnum):
    MINUTES = "分钟"
    HOURS = "小时"
    DAYS = "天"
    MONTHS = "个月"


class Clock(enum.StrEnum):
    """Who approves that one of these is changed."""

    ARTEFACT = "过程数据"
    PERSONAL = "个人信息"
    EVIDENCE = "记录"


@dataclass(frozen=True)
class Category:
    """
    :param default, least, most: how long it is kept, in `unit`, inclusive
    :param trigger: from when it is counted
    :param outcome: what becomes of it then
    :param basis: the clause an assessor looks for; "policy" where it is this hospital's own
    """

    key: str
    label: str
    clock: Clock
    unit: Unit
    default: int
    least: int
    most: int
    trigger: str
    outcome: str
    basis: str

    def allows(self, value: int) -> bool:
        return self.least <= value <= self.most

    @property
    def line(self) -> str:
        """How people read what it may be."""
        if self.least == self.most:
            return f"{self.least} {self.unit}，不可修改"
        return f"{self.least}–{self.most} {self.unit}"


_YEAR: Final = 12  # months
_A, _P, _E = Clock.ARTEFACT, Clock.PERSONAL, Clock.EVIDENCE
_MIN, _H, _D, _M = Unit.MINUTES, Unit.HOURS, Unit.DAYS, Unit.MONTHS
_PIPL_19: Final = "个人信息保护法 第十九条"
_PIPL_47: Final = "个人信息保护法 第四十七条"
_PIPL_56: Final = "个人信息保护法 第五十六条"
_CSL_23: Final = "网络安全法 第二十三条"
_ARTICLE_12: Final = "网络数据安全管理条例 第十二条"
_RECORDS: Final = "病历管理规定 第二十九条"

# fmt: off
CATEGORIES: Final = (
    Category("face_sid", "人脸凭证（face_sid）", _A, _H, 24, 1, 24,
             "取得", "用毕即删，只留带密钥的摘要；到期一律删除", _PIPL_19),
    Category("answer", "微信加密应答", _A, _MIN, 10, 1, 10,
             "取得", "建档同一事务内删除；到期一律删除", _PIPL_19),
    # Before what nobody confirmed: in one sweep no row goes only because another went.
    Category("identity_after_his", "已移交 HIS 的姓名和证件号码", _P, _D, 30, 1, 90,
             "HIS 确认", "删除明文，保留编号、索引和脱敏显示", _PIPL_47),
    Category("identity", "患者姓名和证件号码（本系统建档）", _P, _M, 180, 180, 600,
             "最后一次就诊", "销毁密钥；备份中的随备份到期清除", _RECORDS),
    Category("draft", "未经确认的身份信息", _P, _H, 24, 1, 168,
             "填写", "清除填写的内容", _PIPL_47),
    Category("wechat_account", "微信账号关联（OpenID、UnionID）", _P, _M, 24, 1, 60,
             "最后一次识别", "删除关联", _PIPL_19),
    Category("declining", "近期不同意的标记", _P, _D, 30, 30, 30,
             "不同意", "删除摘要", "网络数据安全管理条例 第二十二条"),
    # Before the visits, for the same reason.
    Category("consent", "同意、不同意、撤回记录", _E, _M, 36, 36, 600,
             "处理结束", "删除", _PIPL_56),
    Category("session", "刷脸会话", _E, _M, 36, 6, 60,
             "结束", "删除会话；同意记录另计", _PIPL_56),
    Category("registration", "人工登记、更正、复核的经过", _E, _M, 36, 36, 600,
             "办结", "删除（内容在办结时已清除）", _PIPL_56),
    Category("rights", "权利请求", _E, _M, 36, 36, 120, "办结", "删除", _PIPL_56),
    Category("rights_copy", "个人信息副本", _P, _H, 24, 1, 72, "制作", "删除", "policy"),
    Category("disclosure", "对外提供记录", _E, _M, 36, 36, 120, "提供", "删除", _ARTICLE_12),
    Category("assessment", "影响评估", _E, _M, 36, 36, 120, "被替代", "删除", _PIPL_56),
    Category("incident", "安全事件", _E, _M, 36, 36, 120, "关闭", "删除", "policy"),
    Category("hold", "依法保全", _E, _M, 36, 36, 120, "解除", "删除", "policy"),
    Category("retention_run", "清理经过", _E, _M, 36, 36, 120, "结束", "删除", _PIPL_56),
    Category("trail", "留痕", _E, _M, 36, 6, 600,
             "记录", "归档、核验后由两人批准清理", _CSL_23),
    Category("trail_copy", "留痕导出", _E, _H, 24, 1, 72, "制作", "删除", "policy"),
    Category("reveal", "查看明文计数", _E, _D, 2, 2, 2,
             "查看", "删除；留痕另计", "policy"),
    Category("request_log", "终端请求", _E, _D, 30, 1, 90,
             "请求", "删除；每台终端只留最近 50 条", "policy"),
    Category("stored_answer", "终端应答（幂等）", _A, _H, 24, 24, 24, "应答", "删除", _PIPL_19),
)
# fmt: on
BY_KEY: Final = {one.key: one for one in CATEGORIES}


def before(at: datetime, value: int, unit: Unit) -> datetime:
    """Return the moment that lies `value` of this unit before `at`; months are calendar months."""
    match unit:
        case Unit.MINUTES:
            return at - timedelta(minutes=value)
        case Unit.HOURS:
            return at - timedelta(hours=value)
        case Unit.DAYS:
            return at - timedelta(days=value)
        case Unit.MONTHS:
            return months_before(at, value)


def months_before(at: datetime, months: int) -> datetime:
    """Return the same day and time so many months earlier, or that month's last day."""
    years, month = divmod(at.year * _YEAR + at.month - 1 - months, _YEAR)
    month += 1
    return at.replace(year=years, month=month, day=min(at.day, monthrange(years, month)[1]))
