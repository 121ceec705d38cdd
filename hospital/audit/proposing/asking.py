"""What whoever asks does: asks, and takes it back."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import transaction

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.proposing.kind import KINDS
from hospital.audit.proposing.outstanding import LASTS, NotOpen, waiting
from hospital.audit.proposing.people import Person, demand_others, demand_right
from hospital.audit.proposing.saying import say
from hospital.audit.recording import record
from hospital.errors import Refusal

State = Proposal.State


class NoReason(Refusal):
    code = "proposal_no_reason"
    message = "请填写理由"


class AlreadyAsked(Refusal):
    code = "proposal_already_asked"
    message = "同样的申请已经提出，正等待批准或执行"


class NotAsker(Refusal):
    code = "proposal_not_asker"
    message = "只有申请人可以撤回申请"


@transaction.atomic
def ask(
    tag: str, facts: Mapping[str, object], *, reason: str, by: Person, at: datetime
) -> Proposal:
    """
    Ask for an act, for somebody else to decide on within `LASTS`.

    :raises NotAllowed, NoReason, AlreadyAsked, OwnAct: or what the kind's check refuses with
    :raises ValueError: facts are missing, or there are others
    :raises NotAFact: a fact is no number, flag or slug
    """
    kind = KINDS[tag]
    demand_right(by, kind.asks)
    if facts.keys() != kind.facts:
        raise ValueError(f"{tag} states {', '.join(sorted(kind.facts))}")
    stated: dict[str, Any] = {name: canonical.fact(value) for name, value in facts.items()}
    reason = canonical.text(reason.strip())
    if not reason:
        raise NoReason
    alike = Proposal.objects.filter(kind=tag, facts=stated)
    if (waiting(at=at) & alike).exists() or alike.filter(state=State.APPROVED).exists():
        raise AlreadyAsked
    kind.check(stated, at)
    demand_others(kind, stated, by.pk)
    proposal = Proposal.objects.create(
        kind=tag,
        facts=stated,
        reason=reason,
        asked_by=by.pk,
        asked_at=at,
        expires_at=at + LASTS,
    )
    record(Action.PROPOSAL_ASK, by=by, on=proposal, at=at, reason=reason, kind=tag, **stated)
    return proposal


@transaction.atomic
def withdraw(proposal: Proposal, *, by: Person, at: datetime) -> Proposal:
    """
    Take a request back, as long as nothing was done.

    :raises NotAsker, NotOpen:
    """
    if proposal.asked_by != by.pk:
        raise NotAsker
    open_ = Proposal.objects.filter(pk=proposal.pk, state__in=[State.ASKED, State.APPROVED])
    moved = open_.update(state=State.WITHDRAWN)
    proposal.refresh_from_db()
    if not moved:
        raise NotOpen
    say(proposal, by=by.actor, at=at)
    return proposal
