"""What was approved is done, once, all or nothing."""

from contextlib import suppress
from datetime import datetime

from django.db import transaction

from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.proposing.kind import kind_of
from hospital.audit.proposing.outstanding import STANDS, Expired, NotOpen, undone
from hospital.audit.proposing.people import demand_others
from hospital.audit.proposing.saying import say
from hospital.audit.proposing.standing import NotSealed, demand_signed
from hospital.audit.recording import SYSTEM
from hospital.errors import Refusal

State = Proposal.State


def carry_out(proposal: Proposal, *, at: datetime) -> Proposal:
    """
    Do what was approved, all or nothing; where it cannot be done (any more) say so.

    Of two workers one does it. Killed at any moment, it is either done or still approved.

    :raises NotOpen: it is not approved, or already done
    :raises Expired: it was approved too long ago
    :raises NotSealed: nothing has changed; try again later
    """
    kind = kind_of(proposal)
    if proposal.decided_at and proposal.decided_at <= at - STANDS:
        raise Expired
    try:
        demand_signed(proposal)
        demand_others(kind, proposal.facts, proposal.asked_by, proposal.decided_by)
        kind.prepare(proposal.facts)
        with transaction.atomic():
            _lock(proposal)
            kind.carry_out(proposal, at)
            _finish(proposal, State.DONE, at=at)
    except (NotOpen, NotSealed):
        raise
    except Refusal as exc:
        with transaction.atomic():
            _lock(proposal)
            _finish(proposal, State.FAILED, at=at, code=exc.code)
    return proposal


def carry_out_approved(*, at: datetime) -> list[Proposal]:
    """
    Do what was approved and is not done yet, the oldest first; return what became of each.

    What is not sealed yet waits, and so does what is another account's to do: see `left`.
    """
    done = []
    for proposal in undone(at=at):
        with suppress(NotOpen, NotSealed):  # withdrawn meanwhile
            if kind_of(proposal).is_ours():
                done.append(carry_out(proposal, at=at))
    return done


def why_failed(proposal: Proposal) -> str:
    """Return the code of the refusal for which it could not be done; empty if it did not fail."""
    if proposal.state != State.FAILED:
        return ""
    last = (
        Event.objects.on(proposal)
        .filter(action=Action.PROPOSAL_DECIDE.value.tag)
        .order_by("-id")
        .first()
    )
    return str(stated.facts(last.payload).get("code", "")) if last else ""


def _lock(proposal: Proposal) -> None:
    mine = Proposal.objects.select_for_update().filter(pk=proposal.pk, state=State.APPROVED)
    if mine.first() is None:
        raise NotOpen


def _finish(proposal: Proposal, state: State, *, at: datetime, **facts: str) -> None:
    Proposal.objects.filter(pk=proposal.pk).update(state=state, done_at=at)
    proposal.refresh_from_db()
    say(proposal, by=SYSTEM, at=at, outcome="success" if state is State.DONE else "failed", **facts)
