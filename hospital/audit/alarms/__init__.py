"""The alarms: every rule by which something in the trail needs a person's eye."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

from hospital.audit.actions import Action, Severity
from hospital.audit.alarms.bursts import Burst, Of
from hospital.audit.alarms.conditions import Late, Silent, Told, Unverified
from hospital.audit.detection import Occasion, detect
from hospital.audit.findings import Finding

__all__ = ["RULES", "Rule", "watch"]

_GRAVE: Final = frozenset(
    action
    for action in Action
    # Somebody who was turned away did nothing; those have rules of their own.
    if action.value.severity in {Severity.WARNING, Severity.ALERT}
    and not action.value.tag.startswith(("access.", "auth.", "session.", "authinfo."))
)


class Rule(Protocol):
    """What it is called, how grave it is, and the occasions there are for it at a moment."""

    @property
    def kind(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def severity(self) -> Finding.Severity: ...
    def occasions(self, at: datetime) -> Iterator[Occasion]: ...


RULES: Final[Sequence[Rule]] = (
    Burst(
        "login-failures", "同一账号连续登录失败", Finding.Severity.WARNING,
        actions=frozenset({Action.LOGIN_FAILED}), of=Of.OBJECT,
        window=timedelta(minutes=10), threshold=5,
    ),
    Burst(
        "login-storm", "短时间内大量登录失败", Finding.Severity.ALERT,
        actions=frozenset({Action.LOGIN_FAILED}), of=Of.ALL,
        window=timedelta(minutes=10), threshold=30,
    ),
    Burst(
        "step-up-failures", "再次验证身份连续失败", Finding.Severity.WARNING,
        actions=frozenset({Action.STEP_UP_FAIL}), of=Of.ACTOR,
        window=timedelta(minutes=10), threshold=3,
    ),
    Burst(
        "patients-read", "短时间内大量查看患者", Finding.Severity.WARNING,
        actions=frozenset({Action.PATIENT_VIEW, Action.PATIENT_SEARCH}), of=Of.ACTOR,
        window=timedelta(hours=1), threshold=120,
    ),
    Burst(
        "access-denials", "同一人员连续越权访问", Finding.Severity.WARNING,
        actions=frozenset({Action.ACCESS_DENIED}), of=Of.ACTOR,
        window=timedelta(minutes=10), threshold=5,
    ),
    Burst(
        "terminal-denials", "大量终端请求被拒绝", Finding.Severity.WARNING,
        actions=frozenset({Action.TERMINAL_DENIED}), of=Of.ALL,
        window=timedelta(minutes=10), threshold=60,
    ),
    Burst(
        "off-hours", "夜间（22 点至 6 点）的高风险操作", Finding.Severity.WARNING,
        actions=_GRAVE, of=Of.ACTOR, by_staff=True, at_night=True,
        window=timedelta(hours=12), threshold=1,
    ),
    Burst(
        "exports", "一天内多次申请导出留痕", Finding.Severity.WARNING,
        actions=frozenset({Action.EXPORT_REQUEST}), of=Of.ACTOR,
        window=timedelta(days=1), threshold=5,
    ),
    Told(
        "trail", "留痕或公证出现异常", Finding.Severity.ALERT,
        actions=frozenset(
            {
                Action.AUDIT_FINDING, Action.NOTARY_REFUSE,
                Action.NOTARY_UNWITNESSED, Action.NOTARY_BEGIN,
            }
        ),
        window=timedelta(days=1),
    ),
    Late("notary-late", "留痕超过 60 秒没有签名", Finding.Severity.ALERT),
    Unverified("unverified", "超过 48 小时没有核验留痕", Finding.Severity.WARNING),
    Silent(
        "silence", "平时有业务的时段没有任何留痕", Finding.Severity.ALERT,
        window=timedelta(hours=2), threshold=20,
    ),
)  # fmt: skip


def watch(*, at: datetime) -> int:
    """Look once by every rule; return how many findings are new."""
    found = (occasion for rule in RULES for occasion in rule.occasions(at))
    return sum(detect(occasion, at=at) is not None for occasion in found)
