"""
How long a category is kept is changed by two people, and by nobody beyond its lines.

The security administrator asks. What is personal the privacy officer decides, what is evidence
the audit administrator: no one of them can shorten what tells of themselves.
"""

from collections.abc import Mapping
from datetime import datetime
from functools import partial
from typing import Any, Final

from django.db import transaction

from hospital import retention
from hospital.accounts import policies
from hospital.audit import proposing
from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind, Person, demand_asker
from hospital.audit.recording import SYSTEM, record
from hospital.categories import BY_KEY, Category, Clock
from hospital.errors import Refusal
from hospital.privacy.models import RetentionRule
from hospital.roles import May

PERSONAL: Final = "retention.personal"
EVIDENCE: Final = "retention.evidence"
KINDS: Final[Mapping[Clock, str]] = {
    Clock.ARTEFACT: PERSONAL,
    Clock.PERSONAL: PERSONAL,
    Clock.EVIDENCE: EVIDENCE,
}


class NoSuchCategory(Refusal):
    code = "retention_no_category"
    message = "没有这个类别，或该类别不由此申请修改"


class Fixed(Refusal):
    code = "retention_fixed"
    message = "该类别的保存期限不可修改"


class Unchanged(Refusal):
    code = "retention_unchanged"
    message = "保存期限已经是这样"


class BeyondLine(Refusal):
    code = "retention_beyond_line"

    def __init__(self, category: Category) -> None:
        super().__init__()
        self.message = f"{category.label}的保存期限须为 {category.line}"  # type: ignore[misc]


def ask(key: str, value: int, *, reason: str, by: Person, at: datetime) -> Proposal:
    """
    Ask for another period; who tries to get beyond a line is on record.

    :raises KeyError: there is no such category
    :raises Fixed, BeyondLine, Unchanged: or what `proposing.ask` refuses with
    """
    category = BY_KEY[key]
    if not category.allows(value):
        policies.reject({f"retention.{key}": value}, source="admin", by=by, at=at)
    facts = {"category": key, "value": value}
    return proposing.ask(KINDS[category.clock], facts, reason=reason, by=by, at=at)


def look_over(*, at: datetime) -> None:
    """Record what was written into the table past its pages, as long as it is there."""
    if forced := retention.forced():
        named = {f"retention.{key}": value for key, value in forced.items()}
        policies.reject(named, source="database", at=at)


def _check(tag: str, facts: Mapping[str, Any], _at: datetime) -> None:
    category, value = BY_KEY.get(str(facts["category"])), facts["value"]
    if category is None or KINDS[category.clock] != tag:
        raise NoSuchCategory
    if category.least == category.most:
        raise Fixed
    if not isinstance(value, int) or not category.allows(value):
        raise BeyondLine(category)
    retention.forget()
    if retention.value(category.key) == value:
        raise Unchanged


def _carry_out(tag: str, proposal: Proposal, at: datetime) -> None:
    demand_asker(proposal)
    _check(tag, proposal.facts, at)
    key, value = proposal.facts["category"], proposal.facts["value"]
    before = retention.value(key)
    row, _ = RetentionRule.objects.select_for_update().update_or_create(
        category=key, defaults={"value": value, "proposal": proposal.pk, "changed_at": at}
    )
    record(
        Action.RETENTION_CHANGE,
        by=SYSTEM,
        on=row,
        at=at,
        category=key,
        before=before,
        after=value,
        proposal=proposal.pk,
    )
    retention.forget()
    transaction.on_commit(retention.forget)


def _told(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    category = BY_KEY.get(str(facts["category"]))
    if category is None:
        return str(facts["category"])
    return f"{category.label}：改为 {facts['value']} {category.unit}，可设为 {category.line}"


def _kind(tag: str, label: str, decides: May) -> Kind:
    return Kind(
        tag=tag,
        label=label,
        asks=May.SET_RETENTION,
        decides=decides,
        facts=frozenset({"category", "value"}),
        check=partial(_check, tag),
        carry_out=partial(_carry_out, tag),
        told=_told,
    )


OF_PERSONAL: Final = _kind(PERSONAL, "修改个人信息的保存期限", May.APPROVE_RETENTION_PERSONAL)
OF_EVIDENCE: Final = _kind(EVIDENCE, "修改记录的保存期限", May.APPROVE_RETENTION_EVIDENCE)
