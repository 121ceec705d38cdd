"""
Every number of the security policy, with the line it cannot pass.

One table: settings, environment, admin and documentation read it. A value beyond its line is
refused wherever it comes from (GB/T 22239-2019 8.1.4.1–8.1.4.2; the hospital may be stricter).
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Parameter:
    """
    :param least, most: what it may be, inclusive
    :param unit: how people read it
    :param clause: what an assessor looks for
    """

    key: str
    label: str
    default: int
    least: int
    most: int
    unit: str
    clause: str

    def allows(self, value: int) -> bool:
        return self.least <= value <= self.most

    @property
    def line(self) -> str:
        """How people read what it may be."""
        return f"{self.least}–{self.most} {self.unit}".rstrip()

    def refusal(self, value: int) -> str:
        """Say that `value` is beyond the line."""
        return f"{self.key}={value} 超出允许范围：{self.label}须为 {self.line}（{self.clause}）"


PARAMETERS: Final = (
    Parameter("PASSWORD_MIN_LENGTH", "密码最短长度", 12, 8, 64, "个字符", "8.1.4.1 a"),
    Parameter("PASSWORD_MAX_AGE_DAYS", "密码有效期", 90, 1, 180, "天", "8.1.4.1 a"),
    Parameter("PASSWORD_HISTORY", "不得重复的历史密码", 5, 3, 24, "个", "8.1.4.1 a"),
    Parameter("LOGIN_FAIL_LIMIT", "登录失败次数上限", 5, 1, 10, "次", "8.1.4.1 b"),
    Parameter("LOGIN_FAIL_WINDOW_MINUTES", "登录失败统计时间", 15, 5, 1440, "分钟", "8.1.4.1 b"),
    Parameter("LOGIN_LOCK_MINUTES", "账号锁定时间", 30, 10, 1440, "分钟", "8.1.4.1 b"),
    Parameter("ADDRESS_FAIL_LIMIT", "同一地址登录失败次数上限", 20, 5, 100, "次", "8.1.4.1 b"),
    Parameter("SESSION_IDLE_MINUTES", "无操作自动退出", 15, 1, 30, "分钟", "8.1.4.1 b"),
    Parameter("SESSION_ABSOLUTE_HOURS", "连续登录时间上限", 8, 1, 12, "小时", "8.1.4.1 b"),
    Parameter("STEP_UP_MINUTES", "二次验证有效时间", 5, 1, 15, "分钟", "8.1.4.2"),
    Parameter("DORMANT_DAYS", "长期不用停用账号", 90, 1, 180, "天", "8.1.4.2 c"),
    Parameter("VENDOR_DAYS", "厂商账号有效期", 30, 1, 30, "天", "8.1.4.2 c"),
    Parameter("EMERGENCY_MINUTES", "应急账号启用时间", 60, 10, 120, "分钟", "8.1.4.2"),
    Parameter("REVEAL_WARN_HOUR", "查看明文提醒（每小时）", 30, 1, 60, "次", "8.1.4.2 f"),
    Parameter("REVEAL_STOP_HOUR", "查看明文上限（每小时）", 60, 1, 120, "次", "8.1.4.2 f"),
    Parameter("REVEAL_STOP_DAY", "查看明文上限（每天）", 200, 1, 500, "次", "8.1.4.2 f"),
    Parameter("REVEAL_SECONDS", "明文显示时间", 30, 5, 60, "秒", "8.1.4.10"),
    Parameter("RIGHTS_WORKING_DAYS", "权利请求办理期限", 15, 1, 20, "个工作日", "PIPL 第五十条"),
    Parameter("ERASURE_COOLING_HOURS", "删除前的冷静期", 72, 24, 168, "小时", "PIPL 第四十七条"),
    Parameter("SECOND_LOOK", "人工建档须同事复核（0 否，1 是）", 0, 0, 1, "", "8.1.4.2 d"),
)
BY_KEY: Final = {one.key: one for one in PARAMETERS}
