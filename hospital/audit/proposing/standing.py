"""Whether two people stand by it, and the log has signed both."""

from datetime import datetime

from django.contrib.auth import get_user_model
from django.db.models import Max

from hospital import roles
from hospital.audit import approved
from hospital.audit.log import Checkpoint, Leaf
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.proposing.kind import KINDS, kind_of
from hospital.audit.proposing.outstanding import STANDS, Expired, NotOpen
from hospital.errors import Refusal

State = Proposal.State


class AskerGone(Refusal):
    code = "proposal_asker_gone"
    message = "申请人已停用，或不再有申请此事项的角色，请由在岗人员重新申请"


class NotSealed(Refusal):
    """The notary is not there yet: to be done later."""

    code = "proposal_not_sealed"
    message = "申请和批准的留痕还没有封存"


class NotGenuine(Refusal):
    code = "proposal_not_genuine"
    message = "留痕中没有两个人对此事项的真实申请和批准"


def demand_standing(proposal: Proposal, *, at: datetime) -> None:
    """
    Demand that two people stand by it now, and that the log has signed both.

    :raises NotOpen, Expired, NotSealed, NotGenuine, AskerGone:
    """
    if proposal.decided_at is None or proposal.decided_at <= at - STANDS:
        raise Expired
    demand_signed(proposal)
    if not stand_by(proposal):
        raise AskerGone


def demand_signed(proposal: Proposal) -> None:
    """
    Demand that the log has signed what the trail says of it, and that this is genuine.

    :raises NotOpen, NotSealed, NotGenuine:
    """
    if not Proposal.objects.filter(pk=proposal.pk, state=State.APPROVED).exists():
        raise NotOpen
    size = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    events = list(Event.objects.on(proposal).values_list("pk", flat=True))
    if Leaf.objects.filter(event_id__in=events, index__lt=size).count() < len(events):
        raise NotSealed
    if not approved.by_two(str(proposal.pk), proposal.kind, proposal.facts, before=None):
        raise NotGenuine


def demand_asker(proposal: Proposal) -> None:
    """
    Demand that whoever asked for this may still ask for it. Needs to read the accounts.

    Not every account of the database that carries something out can; the others' is `expire`.

    :raises AskerGone:
    """
    asker = get_user_model().objects.filter(pk=proposal.asked_by).first()
    if not roles.may(asker, kind_of(proposal).asks):
        raise AskerGone


def stand_by(proposal: Proposal) -> bool:
    """Return whether both are here still, and whoever asked may still ask."""
    here = get_user_model().objects.filter(is_active=True)
    asker = here.filter(pk=proposal.asked_by).first()
    decider = proposal.decided_by
    if asker is None or decider is None or not here.filter(pk=decider).exists():
        return False
    kind = KINDS.get(proposal.kind)
    return kind is None or roles.may(asker, kind.asks)
