"""
Acts that take two people: one asks, another decides, and only then it is done.

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

from django.db import transaction
from django.db.models import QuerySet

from hospital import roles
from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.recording import SYSTEM, Actor, HasActor, Outcome, record
from hospital.errors import Refusal
from hospital.roles import GRANTS, May

LASTS: Final = timedelta(days=7)  # a request nobody decided

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


def _nothing(_facts: Mapping[str, Any]) -> None:
    pass


@dataclass(frozen=True)
class Kind:
    """
    An act that takes two people.

    :param facts: the names of what a request states, all of them required
    :param check: whether it may be asked for; raises the Refusal that says why not
    :param prepare: what is slow and changes nothing, before the transaction; may refuse as well
    :param carry_out: does it, in a transaction; may refuse
    :param is_quick: it is done with the decision, in one transaction; else a worker does it
    """

    tag: str
    label: str
    asks: May
    decides: May
    facts: frozenset[str]
    check: Callable[[Mapping[str, Any], datetime], None]
    carry_out: Callable[[Proposal, datetime], None]
    prepare: Callable[[Mapping[str, Any]], None] = _nothing
    is_quick: bool = True


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

    :raises NotAllowed, NoReason, AlreadyAsked: or what the kind's check refuses with
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
    Allow it or not; what is quick is done at once.

    :raises NotAllowed, SamePerson, Expired, NotOpen:
    """
    kind = kind_of(proposal)
    _demand(by, kind.decides)
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
    return carry_out(proposal, at=at) if approves and kind.is_quick else proposal


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
    """Close what nobody decided in time; return how many there were."""
    closed = 0
    for proposal in Proposal.objects.filter(state=State.ASKED, expires_at__lte=at):
        with transaction.atomic():
            mine = Proposal.objects.filter(pk=proposal.pk, state=State.ASKED)
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
    """
    kind = kind_of(proposal)
    try:
        kind.prepare(proposal.facts)
        with transaction.atomic():
            _lock(proposal)
            kind.carry_out(proposal, at)
            _finish(proposal, State.DONE, at=at)
    except NotOpen:
        raise
    except Refusal as exc:
        with transaction.atomic():
            _lock(proposal)
            _finish(proposal, State.FAILED, at=at, code=exc.code)
    return proposal


def carry_out_approved(*, at: datetime) -> list[Proposal]:
    """Do what was approved and is not done yet, the oldest first; return what became of each."""
    done = []
    for proposal in Proposal.objects.filter(state=State.APPROVED, kind__in=_KINDS).order_by("id"):
        with suppress(NotOpen):  # withdrawn meanwhile
            done.append(carry_out(proposal, at=at))
    return done


def _demand(by: Person, right: May) -> None:
    if not roles.may(by, right):
        raise NotAllowed


def _why_not(proposal: Proposal, by: Person) -> Refusal:
    if proposal.asked_by == by.pk:
        return SamePerson()
    return Expired() if proposal.state in {State.ASKED, State.EXPIRED} else NotOpen()


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
