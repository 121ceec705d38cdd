"""What is asked for and not decided yet, what is allowed and not done yet, and for how long."""

from datetime import datetime, timedelta
from typing import Final

from django.db.models import QuerySet

from hospital import roles
from hospital.audit.proposals import Proposal
from hospital.audit.proposing.kind import KINDS, kind_of
from hospital.audit.proposing.people import Person
from hospital.errors import Refusal

LASTS: Final = timedelta(days=7)  # a request nobody decided
STANDS: Final = timedelta(days=30)  # an approval nobody carried out

State = Proposal.State


class NotOpen(Refusal):
    """It was decided, withdrawn or done in the meantime."""

    code = "proposal_not_open"
    message = "该申请已经处理过，不能再改变"


class Expired(Refusal):
    code = "proposal_expired"
    message = "该申请已过有效期，请重新申请"


def waiting(*, at: datetime) -> QuerySet[Proposal]:
    """Return what somebody still has to decide."""
    return Proposal.objects.filter(state=State.ASKED, expires_at__gt=at)


def to_decide(person: Person, *, at: datetime) -> QuerySet[Proposal]:
    """Return what waits for this person to decide on it: nothing they asked for themselves."""
    theirs = [kind.tag for kind in KINDS.values() if roles.may(person, kind.decides)]
    return waiting(at=at).filter(kind__in=theirs).exclude(asked_by=person.pk)


def undone(*, at: datetime) -> list[Proposal]:
    """
    Return what was approved, not too long ago, and is not done yet, the oldest first.

    What only a person does with a command of its own is not among it.
    """
    standing = Proposal.objects.filter(state=State.APPROVED, decided_at__gt=at - STANDS)
    ours = [kind.tag for kind in KINDS.values() if not kind.command]
    return list(standing.filter(kind__in=ours).order_by("id"))


def left(*, at: datetime) -> list[Proposal]:
    """Return what was approved and this process's account of the database may not do."""
    return [proposal for proposal in undone(at=at) if not kind_of(proposal).is_ours()]
