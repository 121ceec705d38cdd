"""Somebody else says yes or no, once."""

from datetime import datetime

from django.db import transaction

from hospital.audit.proposals import Proposal
from hospital.audit.proposing.kind import kind_of
from hospital.audit.proposing.outstanding import Expired, NotOpen, waiting
from hospital.audit.proposing.people import Person, demand_others, demand_right
from hospital.audit.proposing.saying import say
from hospital.audit.proposing.standing import demand_asker
from hospital.errors import Refusal

State = Proposal.State


class SamePerson(Refusal):
    code = "proposal_same_person"
    message = "申请人不能批准自己的申请"


@transaction.atomic
def decide(proposal: Proposal, *, approves: bool, by: Person, at: datetime) -> Proposal:
    """
    Allow it or not. It is done later, when the log has signed that it was allowed.

    :raises NotAllowed, SamePerson, OwnAct, AskerGone, Expired, NotOpen:
    """
    kind = kind_of(proposal)
    demand_right(by, kind.decides)
    if approves and proposal.asked_by != by.pk:
        demand_others(kind, proposal.facts, by.pk)
        demand_asker(proposal)
    state = State.APPROVED if approves else State.REFUSED
    moved = (
        waiting(at=at)
        .filter(pk=proposal.pk)
        .exclude(asked_by=by.pk)
        .update(state=state, decided_by=by.pk, decided_at=at)
    )
    proposal.refresh_from_db()
    if not moved:
        raise _why_not(proposal, by)
    say(proposal, by=by.actor, at=at)
    return proposal


def _why_not(proposal: Proposal, by: Person) -> Refusal:
    if proposal.asked_by == by.pk:
        return SamePerson()
    return Expired() if proposal.state in {State.ASKED, State.EXPIRED} else NotOpen()
