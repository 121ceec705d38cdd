"""The alarms: every rule by which something in the trail needs a person's eye."""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import structlog
from django.db import transaction

from hospital.audit.actions import Action, Severity
from hospital.audit.alarms.bursts import Burst, Of
from hospital.audit.alarms.conditions import Late, Silent, Told, Unverified
from hospital.audit.alarms.occurring import covered_until
from hospital.audit.alarms.undone import Undone
from hospital.audit.detection import Growth, Occasion, detect, grow
from hospital.audit.findings import Finding
from hospital.audit.times import micros
from hospital.roles import Role

__all__ = ["FAILED", "RULES", "TITLES", "Rule", "growth", "watch"]

logger = structlog.get_logger(__name__)

FAILED: Final = "rule-failed"  # the kind of a finding about a rule itself

_GRAVE: Final = frozenset(
    action
    for action in Action
    # Somebody who was turned away did nothing; those have rules of their own.
    if action.value.severity in {Severity.WARNING, Severity.ALERT}
    and not action.value.tag.startswith(("access.", "auth.", "session.", "authinfo."))
)

_OF_PATIENTS: Final = frozenset(
    action for action in Action if action.value.tag.startswith("patient.")
)


class Rule(Protocol):
    """What it is called, how grave it is, and the occasions there are for it at a moment."""

    @property
    def kind(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def severity(self) -> Finding.Severity: ...
    def occasions(self, at: datetime) -> Iterator[Occasion | Growth]: ...


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
        "patients-listed", "短时间内看到大量患者", Finding.Severity.WARNING,
        actions=frozenset({Action.PATIENT_VIEW, Action.PATIENT_SEARCH}), of=Of.ACTOR,
        window=timedelta(hours=1), threshold=1_500, fact="count",
    ),
    Burst(
        "reveals", "一小时内大量查看患者明文", Finding.Severity.WARNING,
        actions=frozenset({Action.PATIENT_REVEAL}), of=Of.ACTOR,
        window=timedelta(hours=1), threshold=30,
    ),
    Burst(
        "reveal-quota", "查看患者明文超过限额被停止", Finding.Severity.ALERT,
        actions=frozenset({Action.PATIENT_REVEAL_QUOTA}), of=Of.ACTOR, outcome="denied",
        window=timedelta(hours=1), threshold=1,
    ),
    Burst(
        "corrections-asked", "短时间内大量申请更正患者身份", Finding.Severity.WARNING,
        actions=frozenset({Action.CORRECTION_ASK}), of=Of.ACTOR,
        window=timedelta(hours=1), threshold=10,
    ),
    Burst(
        "search-stopped", "查找患者过于频繁或多次落空，被停止", Finding.Severity.ALERT,
        actions=frozenset({Action.PATIENT_SEARCH}), of=Of.ACTOR, outcome="denied",
        window=timedelta(hours=1), threshold=1,
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
    Burst(
        "emergency-reads", "应急账号查看了患者", Finding.Severity.ALERT,
        actions=_OF_PATIENTS, of=Of.ACTOR, role=Role.EMERGENCY,
        window=timedelta(hours=1), threshold=1,
    ),
    Told(
        "emergency-overdue", "应急使用逾期未复核", Finding.Severity.ALERT,
        actions=frozenset({Action.EMERGENCY_OVERDUE}), window=timedelta(days=1),
    ),
    Told(
        "incident-late", "安全事件逾期未报告", Finding.Severity.ALERT,
        actions=frozenset({Action.INCIDENT_LATE}), window=timedelta(days=1),
    ),
    Told(
        "logins-locked", "多次验证失败，登录被锁定", Finding.Severity.WARNING,
        actions=frozenset({Action.LOGIN_LOCK}), window=timedelta(days=1),
    ),
    Told(
        "policy-rejected", "有人试图越过安全策略的底线", Finding.Severity.ALERT,
        actions=frozenset({Action.POLICY_REJECT}), window=timedelta(days=1),
    ),
    Told(
        "last-administrator", "应停用的管理员账号是该角色最后一个", Finding.Severity.ALERT,
        actions=frozenset({Action.STAFF_LAST}), window=timedelta(days=1),
    ),
    Told(
        "trail", "留痕或其签名出现异常", Finding.Severity.ALERT,
        actions=frozenset(
            {
                Action.AUDIT_FINDING, Action.NOTARY_REFUSE,
                Action.NOTARY_UNWITNESSED, Action.NOTARY_BEGIN,
            }
        ),
        window=timedelta(days=1),
    ),
    Told(
        "repair", "绕过系统直接修正了数据", Finding.Severity.ALERT,
        actions=frozenset({Action.DATABASE_REPAIR}), window=timedelta(days=1),
    ),
    Told(
        "privilege", "有账号或数据库账号凌驾于角色之上", Finding.Severity.ALERT,
        actions=frozenset({Action.STAFF_PRIVILEGE}), window=timedelta(days=2),
    ),
    Told(
        "rare-acts", "少见的高风险操作，请核对是否经过批准", Finding.Severity.WARNING,
        actions=frozenset(
            {
                Action.DATABASE_GRANT, Action.FORWARD_RESET,
                Action.AUDIT_PRUNE, Action.AUDIT_REDACT,
            }
        ),
        window=timedelta(days=1),
    ),
    Undone("proposal-failed", "两人批准的事项没能执行", Finding.Severity.WARNING),
    Late("notary-late", "留痕超过 60 秒没有签名", Finding.Severity.ALERT),
    Unverified("unverified", "超过 48 小时没有核验留痕", Finding.Severity.WARNING),
    Silent(
        "silence", "平时有业务的时段没有任何留痕", Finding.Severity.ALERT,
        window=timedelta(hours=2), threshold=20,
    ),
)  # fmt: skip


TITLES: Final = {rule.kind: rule.title for rule in RULES} | {FAILED: "一条告警规则无法执行"}


def watch(*, at: datetime) -> int:
    """Look once by every rule; return how many findings were raised, anew or again."""
    return sum(_look(rule, at) for rule in RULES)


def growth(finding: Finding, *, at: datetime) -> Growth | None:
    """Return what an open finding has become by now; None if it is of no kind that grows."""
    rule = next((one for one in RULES if one.kind == finding.kind), None)
    is_open = finding.state == Finding.State.OPEN
    return rule.since(finding, at) if is_open and isinstance(rule, Burst) else None


def _look(rule: Rule, at: datetime) -> int:
    # Whatever a forged event makes of one rule, or of one occasion: all others still look.
    try:
        with transaction.atomic():
            found = list(rule.occasions(at))
    except Exception as exc:  # noqa: BLE001 (whatever it is, it is told)
        return _failed(rule, exc, at)
    return sum(_raise(rule, one, at) for one in found)


def _raise(rule: Rule, found: Occasion | Growth, at: datetime) -> int:
    try:
        new = grow(found, at=at) if isinstance(found, Growth) else detect(found, at=at)
    except Exception as exc:  # noqa: BLE001 (whatever it is, it is told)
        return _failed(rule, exc, at)
    return int(new is not None)


def _failed(rule: Rule, exc: Exception, at: datetime) -> int:
    # The text of the exception may hold what an event says.
    logger.error("alarms.rule_failed", kind=rule.kind, error=type(exc).__name__)
    if covered_until(FAILED, rule.kind, at=at) == at:
        return 0
    occasion = Occasion(
        FAILED,
        Finding.Severity.ALERT,
        first=str(micros(at)),
        about=rule.kind,
        facts={"kind": rule.kind, "code": type(exc).__name__},
    )
    return int(detect(occasion, at=at) is not None)
