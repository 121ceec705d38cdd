"""
Break-glass: one asks, two allow it, one looks at it afterwards; never the same person twice.

The sealed account is open for an hour at most, to one campus. 急诊 does not wait for it: whoever
needs care is registered later.
"""

from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.conf import settings
from django.db import transaction

from hospital import policy, roles
from hospital.accounts import sealed, working_days
from hospital.accounts.models import Emergency, Staff
from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, Actor, record
from hospital.errors import Refusal
from hospital.roles import May

State = Emergency.State

OFFICES: Final = {
    May.APPROVE_EMERGENCY_SECURITY: "security",
    May.APPROVE_EMERGENCY_PRIVACY: "privacy",
}


class NotAllowed(Refusal):
    code = "emergency_not_allowed"
    message = "当前角色不能办理此事项"


class SamePerson(Refusal):
    code = "emergency_same_person"
    message = "申请、两项批准和复核须由不同的人办理"


class Incomplete(Refusal):
    code = "emergency_incomplete"
    message = "请选择院区，并填写工单号和事由"


class AlreadyAsked(Refusal):
    code = "emergency_already_asked"
    message = "您已有一项应急申请待批准"


class AlreadyOpen(Refusal):
    code = "emergency_already_open"
    message = "应急账号正在使用，停用后才能再次启用"


class NotWaiting(Refusal):
    """It was decided in the meantime, by this office or the other, or nobody did in time."""

    code = "emergency_not_waiting"
    message = "该申请已经处理过，或已超过 24 小时"


class NotHere(Refusal):
    code = "emergency_not_here"
    message = "申请人或另一位批准人的账号已停用或变更，请重新申请"


class NotAsker(Refusal):
    code = "emergency_not_asker"
    message = "只有申请人可以领取密码"


class NotFetchable(Refusal):
    code = "emergency_not_fetchable"
    message = "密码只能在应急账号启用期间领取一次"


class NotOpen(Refusal):
    code = "emergency_not_open"
    message = "应急账号已经停用"


class NotReviewable(Refusal):
    code = "emergency_not_reviewable"
    message = "该次使用尚未结束，或已经复核"


class NoConclusion(Refusal):
    code = "emergency_no_conclusion"
    message = "请填写复核结论"


@transaction.atomic
def ask(*, campus: str, ticket: str, reason: str, by: Staff, at: datetime) -> Emergency:
    """
    Ask for the sealed account, for two others to decide on within a day.

    :param campus: whose patients it is to see
    :param ticket: where else this is written down; a slug
    :raises NotAllowed, Incomplete, AlreadyAsked:
    """
    _demand(by, May.ASK_EMERGENCY)
    ticket, reason = ticket.strip(), _plain(reason)
    if campus not in settings.CAMPUSES or not canonical.SLUG.fullmatch(ticket):
        raise Incomplete
    if not ticket or not reason:
        raise Incomplete
    Staff.objects.select_for_update().get(pk=by.pk)  # two requests of theirs come one by one
    if Emergency.objects.waiting(at=at).filter(asked_by=by.pk).exists():
        raise AlreadyAsked
    emergency = Emergency.objects.create(
        campus=campus, ticket=ticket, reason=reason, asked_by=by.pk, asked_at=at
    )
    record(
        Action.EMERGENCY_ASK,
        by=by,
        on=emergency,
        at=at,
        reason=reason,
        campus=campus,
        ticket=ticket,
    )
    return emergency


@transaction.atomic
def decide(emergency: Emergency, *, approves: bool, by: Staff, at: datetime) -> Emergency:
    """
    Allow it for one's office, or not. The second of two that allow it opens the account.

    :raises NotAllowed, SamePerson, NotWaiting, NotHere, AlreadyOpen:
    """
    office = office_of(by)
    if by.pk in _people(emergency):
        raise SamePerson
    mine: dict[str, Any] = {f"{office}_by": by.pk, f"{office}_at": at}
    if not approves:
        mine["state"] = State.REFUSED
    moved = (
        Emergency.objects.waiting(at=at)
        .filter(pk=emergency.pk, **{f"{office}_by__isnull": True})
        .update(**mine)
    )
    emergency.refresh_from_db()
    if not moved:
        raise NotWaiting
    record(
        Action.EMERGENCY_DECIDE,
        by=by,
        on=emergency,
        at=at,
        decision="approved" if approves else "refused",
        office=office,
    )
    if approves and emergency.security_by and emergency.privacy_by:
        _open(emergency, by=by, at=at)
    return emergency


@transaction.atomic
def fetch(emergency: Emergency, *, by: Staff, at: datetime) -> str:
    """
    Return the password of the open account, once; it is made here and kept nowhere.

    :raises NotAsker, NotFetchable:
    """
    if emergency.asked_by != by.pk or not by.may(May.ASK_EMERGENCY):
        raise NotAsker
    moved = Emergency.objects.filter(
        pk=emergency.pk, state=State.OPEN, fetched_at__isnull=True, closes_at__gt=at
    ).update(fetched_at=at)
    emergency.refresh_from_db()
    if not moved:
        raise NotFetchable
    record(Action.EMERGENCY_FETCH, by=by, on=emergency, at=at)
    return sealed.give_password(sealed.account(by=by.actor, at=at), by=by.actor, at=at)


@transaction.atomic
def close(emergency: Emergency, *, by: Staff, at: datetime) -> Emergency:
    """
    Shut the account before its time.

    :raises NotAllowed: neither who asked, nor of those who may allow it
    :raises NotOpen:
    """
    if emergency.asked_by != by.pk and not any(by.may(right) for right in OFFICES):
        raise NotAllowed
    if not _close(emergency, by=by.actor, at=at, code="closed"):
        raise NotOpen
    return emergency


@transaction.atomic
def review(emergency: Emergency, *, conclusion: str, by: Staff, at: datetime) -> Emergency:
    """
    Say what came of a use, having looked at all it did.

    :raises NotAllowed, SamePerson, NoConclusion, NotReviewable:
    """
    _demand(by, May.REVIEW_EMERGENCIES)
    if by.pk in _people(emergency):
        raise SamePerson
    conclusion = _plain(conclusion)
    if not conclusion:
        raise NoConclusion
    moved = Emergency.objects.filter(pk=emergency.pk, state=State.CLOSED).update(
        state=State.REVIEWED, reviewed_by=by.pk, reviewed_at=at, conclusion=conclusion
    )
    emergency.refresh_from_db()
    if not moved:
        raise NotReviewable
    record(Action.EMERGENCY_REVIEW, by=by, on=emergency, at=at, reason=conclusion)
    return emergency


def close_late(*, at: datetime) -> int:
    """Shut what is past its end, or whose asker is no longer here; return how many there were."""
    closed = 0
    for emergency in Emergency.objects.filter(state=State.OPEN):
        is_late = emergency.closes_at is not None and emergency.closes_at <= at
        if is_late or not _are_here({emergency.asked_by: May.ASK_EMERGENCY}, at=at):
            code = "expired" if is_late else "asker_left"
            with transaction.atomic():
                closed += _close(emergency, by=SYSTEM, at=at, code=code)
    return closed


def lapse(*, at: datetime) -> int:
    """Close what two people did not allow within a day; return how many there were."""
    lapsed = 0
    for emergency in Emergency.objects.unanswered(at=at):
        with transaction.atomic():
            mine = Emergency.objects.unanswered(at=at).filter(pk=emergency.pk)
            if mine.update(state=State.LAPSED):
                record(Action.EMERGENCY_DECIDE, by=SYSTEM, on=emergency, at=at, decision="lapsed")
                lapsed += 1
    return lapsed


def warn_of_overdue(*, at: datetime) -> int:
    """Say once of each use that nobody reviewed it in time; return how many there were."""
    warned = 0
    for emergency in Emergency.objects.overdue(at=at):
        with transaction.atomic():
            mine = Emergency.objects.overdue(at=at).select_for_update().filter(pk=emergency.pk)
            said = Event.objects.on(emergency).filter(action=Action.EMERGENCY_OVERDUE.value.tag)
            if mine.first() and not said.exists():
                record(Action.EMERGENCY_OVERDUE, by=SYSTEM, on=emergency, at=at)
                warned += 1
    return warned


def office_of(person: Staff) -> str:
    """
    Return for which office someone decides.

    :raises NotAllowed: for none
    """
    for right, office in OFFICES.items():
        if person.may(right):
            return office
    raise NotAllowed


def _open(emergency: Emergency, *, by: Staff, at: datetime) -> None:
    assert emergency.security_by and emergency.privacy_by  # noqa: S101, PT018 (both just allowed it)
    people = {
        emergency.asked_by: May.ASK_EMERGENCY,
        emergency.security_by: May.APPROVE_EMERGENCY_SECURITY,
        emergency.privacy_by: May.APPROVE_EMERGENCY_PRIVACY,
    }
    if not _are_here(people, at=at):
        raise NotHere
    # Locked: of two that are to be opened at once, the second sees the first.
    account = sealed.account(by=by.actor, at=at)
    if Emergency.objects.filter(state=State.OPEN).exists():
        raise AlreadyOpen
    minutes = policy.value("EMERGENCY_MINUTES")
    closes_at = at + timedelta(minutes=minutes)
    Emergency.objects.filter(pk=emergency.pk).update(
        state=State.OPEN, opened_at=at, closes_at=closes_at
    )
    emergency.refresh_from_db()
    sealed.open_(account, campus=emergency.campus, until=closes_at, by=by.actor, at=at)
    record(Action.EMERGENCY_OPEN, by=by, on=emergency, at=at, minutes=minutes)


def _close(emergency: Emergency, *, by: Actor, at: datetime, code: str) -> bool:
    moved = Emergency.objects.filter(pk=emergency.pk, state=State.OPEN).update(
        state=State.CLOSED, closed_at=at, review_due_at=working_days.end_of_next(at)
    )
    emergency.refresh_from_db()
    if moved:
        sealed.shut(sealed.account(by=by, at=at), by=by, at=at)
        record(Action.EMERGENCY_CLOSE, by=by, on=emergency, at=at, code=code)
    return bool(moved)


def _demand(by: Staff, right: May) -> None:
    if not by.may(right):
        raise NotAllowed


def _people(emergency: Emergency) -> set[UUID | None]:
    return {emergency.asked_by, emergency.security_by, emergency.privacy_by}


def _are_here(people: dict[UUID, May], *, at: datetime) -> bool:
    found = Staff.objects.in_bulk(list(people))
    accounts = {pk: one for pk, one in found.items() if not one.has_ended(at=at)}
    return all(roles.may(accounts.get(pk), right) for pk, right in people.items())


def _plain(typed: str) -> str:
    # One line: a break would stand in the trail as what cannot be shown.
    return canonical.text(" ".join(typed.split()))
