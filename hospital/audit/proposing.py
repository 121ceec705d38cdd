"""
Acts that take two people: one asks, another decides, the log signs both, and then it is done.

Whoever adds a kind of act registers it here, with the right to ask and the right to decide; no
role may hold both. Each step is one compare-and-set and one event, so two answers at the same
moment are one answer.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from uuid import UUID

from django.contrib.auth import get_user_model
from django.db import transaction
from django.db.models import Max, QuerySet

from hospital import roles
from hospital.audit import approved, canonical, stated
from hospital.audit.actions import Action
from hospital.audit.log import Checkpoint, Leaf
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.recording import SYSTEM, Actor, HasActor, Outcome, record
from hospital.errors import Refusal
from hospital.roles import GRANTS, May

LASTS: Final = timedelta(days=7)  # a request nobody decided
STANDS: Final = timedelta(days=30)  # an approval nobody carried out

State = Proposal.State


class Person(HasActor, Protocol):
    """Somebody with an account: a person has one account, and one role."""

    @property
    def pk(self) -> UUID: ...


class NotAllowed(Refusal):
    code = "proposal_not_allowed"
    message = "当前角色不能申请或批准此事项"


class SamePerson(Refusal):
    code = "proposal_same_person"
    message = "申请人不能批准自己的申请"


class OwnAct(Refusal):
    code = "proposal_own_act"
    message = "事项涉及本人的留痕，申请和批准须由其他人办理"


class AskerGone(Refusal):
    code = "proposal_asker_gone"
    message = "申请人已停用，或不再有申请此事项的角色，请由在岗人员重新申请"


class NotAsker(Refusal):
    code = "proposal_not_asker"
    message = "只有申请人可以撤回申请"


class NoReason(Refusal):
    code = "proposal_no_reason"
    message = "请填写理由"


class AlreadyAsked(Refusal):
    code = "proposal_already_asked"
    message = "同样的申请已经提出，正等待批准或执行"


class NotOpen(Refusal):
    """It was decided, withdrawn or done in the meantime."""

    code = "proposal_not_open"
    message = "该申请已经处理过，不能再改变"


class Expired(Refusal):
    code = "proposal_expired"
    message = "该申请已过有效期，请重新申请"


class NotSealed(Refusal):
    """The notary is not there yet: to be done later."""

    code = "proposal_not_sealed"
    message = "申请和批准的留痕还没有封存"


class NotGenuine(Refusal):
    code = "proposal_not_genuine"
    message = "留痕中没有两个人对此事项的真实申请和批准"


def _nothing(_facts: Mapping[str, Any]) -> None:
    pass


def _nobody(_facts: Mapping[str, Any]) -> frozenset[str]:
    return frozenset()


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """
    An act that takes two people.

    :param facts: the names of what a request states, all of them required
    :param check: whether it may be asked for; raises the Refusal that says why not
    :param prepare: what is slow and changes nothing, before the transaction; may refuse as well
    :param carry_out: does it, in a transaction; may refuse
    :param concerned: ids of those who may neither ask for it nor approve it: it is about them
    :param is_ours: whether the database's account in use may do it
    :param told: what a request states, in words, given the names of staff by id; where none is
        given each fact by its name
    :param is_final: what was done stays done; people are told before they approve it
    :param command: what a person runs to do it; then nobody else ever does
    """

    tag: str
    label: str
    asks: May
    decides: May
    facts: frozenset[str]
    check: Callable[[Mapping[str, Any], datetime], None]
    carry_out: Callable[[Proposal, datetime], None]
    prepare: Callable[[Mapping[str, Any]], None] = _nothing
    concerned: Callable[[Mapping[str, Any]], frozenset[str]] = _nobody
    is_ours: Callable[[], bool] = _always
    told: Callable[[Mapping[str, Any], Mapping[str, str]], str] | None = None
    is_final: bool = True
    command: str = ""


_KINDS: Final[dict[str, Kind]] = {}


def register(kind: Kind) -> None:
    """
    Make this kind known.

    :raises ValueError: somebody could ask and decide, or it is known already
    """
    if kind.asks == kind.decides or any(
        {kind.asks, kind.decides} <= held for held in GRANTS.values()
    ):
        raise ValueError(f"{kind.tag}: one role could ask and decide")
    if _KINDS.setdefault(kind.tag, kind) != kind:
        raise ValueError(f"{kind.tag} is registered already")


def kinds() -> list[Kind]:
    return list(_KINDS.values())


def kinds_for(person: object) -> list[Kind]:
    """Return those this person may ask for, or decide on."""
    return [
        kind
        for kind in _KINDS.values()
        if roles.may(person, kind.asks) or roles.may(person, kind.decides)
    ]


def to_decide(person: Person, *, at: datetime) -> QuerySet[Proposal]:
    """Return what waits for this person to decide on it: nothing they asked for themselves."""
    theirs = [kind.tag for kind in _KINDS.values() if roles.may(person, kind.decides)]
    return waiting(at=at).filter(kind__in=theirs).exclude(asked_by=person.pk)


def kind_of(proposal: Proposal) -> Kind:
    """:raises KeyError: this version knows no such act"""
    return _KINDS[proposal.kind]


def waiting(*, at: datetime) -> QuerySet[Proposal]:
    """Return what somebody still has to decide."""
    return Proposal.objects.filter(state=State.ASKED, expires_at__gt=at)


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
    kind = _KINDS[tag]
    _demand(by, kind.asks)
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
    _demand_others(kind, stated, by.pk)
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
def decide(proposal: Proposal, *, approves: bool, by: Person, at: datetime) -> Proposal:
    """
    Allow it or not. It is done later, when the log has signed that it was allowed.

    :raises NotAllowed, SamePerson, OwnAct, AskerGone, Expired, NotOpen:
    """
    kind = kind_of(proposal)
    _demand(by, kind.decides)
    if approves and proposal.asked_by != by.pk:
        _demand_others(kind, proposal.facts, by.pk)
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
    _say(proposal, by=by.actor, at=at)
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
    _say(proposal, by=by.actor, at=at)
    return proposal


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
    left_by_one = [one for one in standing if not _stand_by(one)]
    for proposal in (*late, *lapsed, *left_by_one):
        with transaction.atomic():
            mine = Proposal.objects.filter(pk=proposal.pk, state=proposal.state)
            if mine.update(state=State.EXPIRED):
                proposal.refresh_from_db()
                _say(proposal, by=SYSTEM, at=at)
                closed += 1
    return closed


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
        _demand_signed(proposal)
        _demand_others(kind, proposal.facts, proposal.asked_by, proposal.decided_by)
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


def undone(*, at: datetime) -> list[Proposal]:
    """
    Return what was approved, not too long ago, and is not done yet, the oldest first.

    What only a person does with a command of its own is not among it.
    """
    standing = Proposal.objects.filter(state=State.APPROVED, decided_at__gt=at - STANDS)
    ours = [kind.tag for kind in _KINDS.values() if not kind.command]
    return list(standing.filter(kind__in=ours).order_by("id"))


def left(*, at: datetime) -> list[Proposal]:
    """Return what was approved and this process's account of the database may not do."""
    return [proposal for proposal in undone(at=at) if not kind_of(proposal).is_ours()]


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


def demand_standing(proposal: Proposal, *, at: datetime) -> None:
    """
    Demand that two people stand by it now, and that the log has signed both.

    :raises NotOpen, Expired, NotSealed, NotGenuine, AskerGone:
    """
    if proposal.decided_at is None or proposal.decided_at <= at - STANDS:
        raise Expired
    _demand_signed(proposal)
    if not _stand_by(proposal):
        raise AskerGone


def demand_asker(proposal: Proposal) -> None:
    """
    Demand that whoever asked for this may still ask for it. Needs to read the accounts.

    Not every account of the database that carries something out can; the others' is `expire`.

    :raises AskerGone:
    """
    asker = get_user_model().objects.filter(pk=proposal.asked_by).first()
    if not roles.may(asker, kind_of(proposal).asks):
        raise AskerGone


def _stand_by(proposal: Proposal) -> bool:
    here = get_user_model().objects.filter(is_active=True)
    asker = here.filter(pk=proposal.asked_by).first()
    decider = proposal.decided_by
    if asker is None or decider is None or not here.filter(pk=decider).exists():
        return False
    kind = _KINDS.get(proposal.kind)
    return kind is None or roles.may(asker, kind.asks)


def _demand(by: Person, right: May) -> None:
    if not roles.may(by, right):
        raise NotAllowed


def _demand_others(kind: Kind, facts: Mapping[str, Any], *people: UUID | None) -> None:
    if kind.concerned(facts) & set(map(str, people)):
        raise OwnAct


def _why_not(proposal: Proposal, by: Person) -> Refusal:
    if proposal.asked_by == by.pk:
        return SamePerson()
    return Expired() if proposal.state in {State.ASKED, State.EXPIRED} else NotOpen()


def _demand_signed(proposal: Proposal) -> None:
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


def _lock(proposal: Proposal) -> None:
    mine = Proposal.objects.select_for_update().filter(pk=proposal.pk, state=State.APPROVED)
    if mine.first() is None:
        raise NotOpen


def _finish(proposal: Proposal, state: State, *, at: datetime, **facts: str) -> None:
    Proposal.objects.filter(pk=proposal.pk).update(state=state, done_at=at)
    proposal.refresh_from_db()
    _say(
        proposal, by=SYSTEM, at=at, outcome="success" if state is State.DONE else "failed", **facts
    )


def _say(
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
