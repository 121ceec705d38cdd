"""What became of a request, on record."""

from datetime import datetime

from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.recording import Actor, Outcome, record


def say(
    proposal: Proposal,
    *,
    by: Actor,
    at: datetime,
    outcome: Outcome = "success",
    **facts: str,
) -> None:
    record(
        Action.PROPOSAL_DECIDE,
        by=by,
        on=proposal,
        at=at,
        outcome=outcome,
        kind=proposal.kind,
        decision=proposal.state,
        **facts,
    )
