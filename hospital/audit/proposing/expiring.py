"""What ends by itself: too late, or left by one of the two."""

from datetime import datetime

from django.db import transaction

from hospital.audit.proposals import Proposal
from hospital.audit.proposing.outstanding import STANDS
from hospital.audit.proposing.saying import say
from hospital.audit.proposing.standing import stand_by
from hospital.audit.recording import SYSTEM

State = Proposal.State


def expire(*, at: datetime) -> int:
    """
    Close what nobody decided, or carried out, in time, or whose two people do not both stand by it.

    Both are here still, and whoever asked may still ask. Return how many there were. Needs to read
    the accounts.
    """
    closed = 0
    late = Proposal.objects.filter(state=State.ASKED, expires_at__lte=at)
    lapsed = Proposal.objects.filter(state=State.APPROVED, decided_at__lte=at - STANDS)
    standing = Proposal.objects.filter(state=State.APPROVED, decided_at__gt=at - STANDS)
    left_by_one = [one for one in standing if not stand_by(one)]
    for proposal in (*late, *lapsed, *left_by_one):
        with transaction.atomic():
            mine = Proposal.objects.filter(pk=proposal.pk, state=proposal.state)
            if mine.update(state=State.EXPIRED):
                proposal.refresh_from_db()
                say(proposal, by=SYSTEM, at=at)
                closed += 1
    return closed
