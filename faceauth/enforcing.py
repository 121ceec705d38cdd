"""
A notice comes into force by two people: who wrote it asks, the security administrator approves.

What is approved is the text with this digest: a draft that was edited since is another one.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.db.models import QuerySet

from faceauth import consent
from faceauth.models import Notice
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind, demand_asker
from hospital.audit.recording import SYSTEM
from hospital.errors import Refusal
from hospital.roles import May


class NoSuchNotice(Refusal):
    code = "notice_missing"
    message = "没有这份告知书"


class NoticeChanged(Refusal):
    code = "notice_changed"
    message = "告知书在申请之后改过，请重新申请"


def stated(notice: Notice) -> dict[str, Any]:
    """Return what a request to have patients told this states: which text, to the letter."""
    return {"notice": str(notice.pk), "digest": notice.digest}


def check(facts: Mapping[str, Any], _at: datetime) -> None:
    """:raises Refusal: there is no such notice, it was edited, or is in force already"""
    _demand_same(_found(facts, Notice.objects.all()), facts)


def carry_out(proposal: Proposal, at: datetime) -> None:
    """:raises Refusal: what `check` refuses, or `proposing.AskerGone`"""
    demand_asker(proposal)
    rows = Notice.objects.select_for_update()  # an edit waits, or came first
    notice = _found(proposal.facts, rows)
    _demand_same(notice, proposal.facts)
    consent.enforce(notice, by=SYSTEM, at=at, proposal=proposal.pk)


def told(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    """Return which notice it is, in words."""
    notice = Notice.objects.filter(pk=facts["notice"]).first()
    which = f"{notice}《{notice.title}》" if notice else "已不存在的告知书"
    return f"{which}，摘要 {facts['digest']}"


def _found(facts: Mapping[str, Any], rows: QuerySet[Notice]) -> Notice:
    try:
        return rows.get(pk=UUID(str(facts["notice"])))
    except (ValueError, Notice.DoesNotExist):
        raise NoSuchNotice from None


def _demand_same(notice: Notice, facts: Mapping[str, Any]) -> None:
    if notice.in_force_from is not None:
        raise consent.AlreadyInForce
    if notice.compute_digests()[0] != facts["digest"]:
        raise NoticeChanged


KIND: Final = Kind(
    tag="notice.enforce",
    label="告知书生效",
    asks=May.MANAGE_NOTICES,
    decides=May.APPROVE_NOTICES,
    facts=frozenset({"notice", "digest"}),
    check=check,
    carry_out=carry_out,
    told=told,
)
