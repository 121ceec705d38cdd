"""face_sid → identity → patient: why this system exists. A FACEID-ONCE session ends here too."""

from collections.abc import Callable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, TypeVar
from uuid import UUID

from django.db import transaction

from faceauth import consent, leases, recognition, sighting, wechat
from faceauth.guardianship import NeedsGuardian
from faceauth.models import FaceSession, Merchant, NotConfigured, WrongState
from faceauth.remedies import exchange_of
from hospital import statements
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record, writing
from hospital.crypto.keyring import SubjectForgotten
from hospital.errors import Refusal, Unavailable
from hospital.patients import enrolment, guardians
from hospital.patients import identity as identity_of
from hospital.patients.documents import DocumentType
from hospital.patients.restriction import Restricted, demand_unrestricted

State = FaceSession.State

ATTEMPTS = 15  # then a person has to look; about ten minutes with the waits below
# A verified answer in hand is worth more patience: whatever fails now, it is not WeChat.
ATTEMPTS_WITH_ANSWER = 100
GIVE_UP = timedelta(hours=6)
LONGEST_WAIT = 60  # seconds between two attempts, whatever WeChat asks for

ClientFor = Callable[[Merchant], wechat.IdentityClient]
Clock = Callable[[], datetime]
T = TypeVar("T")


class Unsuitable(Refusal):
    """A business licence is no person's document."""

    code = "document_unsuitable"
    message = "该证件不能用于建档，请到人工窗口办理"


_FOR_THE_DESK = (Unsuitable, enrolment.NameDiffers, Restricted, SubjectForgotten)


def onboard(session_id: UUID, *, client_for: ClientFor, clock: Clock) -> None:
    """
    Ask WeChat who this is, and give them a record. Safe to call any number of times.

    The network call stands outside of any transaction; everything that must be true
    together (patient, session, trail, the dropped answer) is one.
    """
    session = FaceSession.objects.claim(session_id, at=clock())
    if session is None:
        return
    # A lease that ran out all the same makes it another worker's.
    with suppress(WrongState), leases.holding(session, clock=clock):
        _work(session, client_for=client_for, clock=clock)


def _work(session: FaceSession, *, client_for: ClientFor, clock: Clock) -> None:
    try:
        _settle(session, client_for=client_for, clock=clock)
    except consent.NotInForce as exc:
        reason = exc.code
        _end(session, State.REFUSED, Action.SESSION_REFUSE, at=clock(), reason=reason, code=reason)


def _settle(session: FaceSession, *, client_for: ClientFor, clock: Clock) -> None:
    """:raises NotInForce: what it stands on was taken back"""
    if _exhausted(session, at=clock()):
        _give_up(session, at=clock())
        return
    settle = _recognise if session.kind == FaceSession.Kind.FACEID_ONCE else _register
    try:
        settle(session, client_for=client_for, clock=clock)
    except (wechat.Unavailable, wechat.Untrusted) as exc:
        _postpone(session, exc, after=getattr(exc, "retry_after", None), at=clock())
    except (Unavailable, NotConfigured, wechat.Misconfigured) as exc:  # ours: keys or configuration
        _postpone(session, exc, after=LONGEST_WAIT / 4, at=clock(), counted=False)
    except (wechat.Rejected, wechat.Undecryptable, *_FOR_THE_DESK) as exc:
        _fail(session, _code(exc), at=clock(), **_stated(exc))
    except NeedsGuardian:
        _end(session, State.GUARDIAN_REQUIRED, Action.SESSION_GUARDIAN, at=clock())


def _exhausted(session: FaceSession, *, at: datetime) -> bool:
    """Whether trying again is over: too often, or too long ago."""
    if at - session.opened_at > GIVE_UP:
        return True
    failed = session.attempts - session.excused
    if failed <= ATTEMPTS:
        return False
    held = FaceSession.objects.filter(pk=session.pk, answer__isnull=False).exists()
    return not held or failed > ATTEMPTS_WITH_ANSWER


def _give_up(session: FaceSession, *, at: datetime) -> None:
    if session.patient is None:
        _fail(session, "attempts_exhausted", at=at)
    else:
        recognition.settle_without(session, code="attempts_exhausted", at=at)


def _register(session: FaceSession, *, client_for: ClientFor, clock: Clock) -> None:
    client = client_for(_merchant(session))
    identity = _answer(session, ask=client.ask, read=client.open, clock=clock)
    _enrol(session, identity, at=clock())


def _recognise(session: FaceSession, *, client_for: ClientFor, clock: Clock) -> None:
    try:
        client = client_for(_merchant(session))
        membership = _answer(session, ask=client.ask_union, read=client.open_union, clock=clock)
    except (wechat.WeChatError, Unavailable, NotConfigured) as exc:
        # A union id is worth no patience to whoever is known already, and may be refused to
        # anybody (an appid without an open platform account). A stranger is asked about again.
        refused = isinstance(exc, wechat.Rejected) and not isinstance(exc, wechat.Misconfigured)
        if session.patient is None and not refused:
            raise
        recognition.settle_without(session, code=_code(exc), at=clock(), **_stated(exc))
    else:
        recognition.settle(session, membership, at=clock())


def _merchant(session: FaceSession) -> Merchant:
    assert session.merchant is not None  # noqa: S101 (an authorized session has one)
    return session.merchant


def _answer(
    session: FaceSession,
    *,
    ask: Callable[[str], wechat.Answer],
    read: Callable[[bytes], T],
    clock: Clock,
) -> T:
    """Ask WeChat at most once per verified answer: `face_sid` may work a single time."""
    body = session.answer
    if body is None:
        assert session.face_sid is not None  # noqa: S101 (authorized)
        consent.demand_standing(session.consent)  # read with the claim
        answer = ask(session.face_sid)
        body = _text(answer)
        with writing(
            Action.WECHAT_ANSWER,
            by=SYSTEM,
            on=session,
            at=clock(),
            wechat_request_id=answer.request_id,
            attempt=session.attempts,
        ) as event:
            session.keep(body, wechat_request_id=answer.request_id, event=event)
    try:
        return read(body.encode())
    except wechat.Untrusted:
        session.drop_answer()  # it says nothing, now or later: only asking again may help
        raise


def _text(answer: wechat.Answer) -> str:
    try:
        return answer.body.decode()
    except UnicodeDecodeError:
        fact = "malformed"
    raise wechat.Untrusted(fact)  # out here: the error above carries the body


@transaction.atomic
def _enrol(session: FaceSession, identity: wechat.Identity, *, at: datetime) -> None:
    person = enrolment.Person(
        real_name=identity.real_name,
        document_type=identity.document_type,
        document_number=identity.document_number,
    )
    if person.document_type == DocumentType.BUSINESS:
        raise Unsuitable
    merchant = _merchant(session)
    accounts = sighting.openids_of(
        merchant, openid=identity.openid, sub_openid=identity.sub_openid or ""
    )
    campus = session.terminal.store.campus
    patient, is_new = enrolment.enrol_within(person, accounts=accounts, campus=campus, at=at)
    demand_unrestricted(patient)
    if guardians.is_child(patient, at=at):  # by the document, or by what the desk put on record
        raise NeedsGuardian
    agreed = consent.hold_in_force(session, patient, is_new=is_new)
    session.complete(patient, at=at)
    committed = identity_of.commitment(patient)
    with writing(
        Action.PATIENT_ONBOARD,
        by=SYSTEM,
        on=patient,
        at=at,
        session=str(session.pk),
        consent=agreed.pk,
        is_new=is_new,
        document_type=person.document_type,
        identity=committed.digest,
    ) as event:
        statements.insert(committed, event)


def _code(exc: Exception) -> str:
    """Return what the session, the trail and the terminal may be told of a failure."""
    match exc:
        case wechat.Rejected(code=code):
            return f"wechat:{code}"
        case wechat.Undecryptable(fact=fact):
            return f"undecryptable:{fact}"
        case wechat.Unavailable(fact=fact) | wechat.Untrusted(fact=fact):
            return fact
    return str(getattr(exc, "code", "unknown"))


def _stated(exc: Exception) -> dict[str, Any]:
    """Return what the trail states of WeChat's part in a failure."""
    fact = {"wechat_fact": exc.fact} if isinstance(exc, wechat.Rejected) else {}
    return {**fact, **exchange_of(exc)}


@transaction.atomic
def _postpone(
    session: FaceSession,
    exc: Exception,
    *,
    after: float | None,
    at: datetime,
    counted: bool = True,
) -> None:
    wait = min(max(after or 0, 2 ** (session.attempts - session.excused - 1)), LONGEST_WAIT)
    session.postpone(until=at + timedelta(seconds=wait), counted=counted)
    record(
        Action.WECHAT_RETRY,
        by=SYSTEM,
        on=session,
        at=at,
        outcome="failed",
        code=_code(exc),
        attempt=session.attempts,
        **_stated(exc),
    )


def _fail(session: FaceSession, code: str, *, at: datetime, **stated: Any) -> None:
    """:param stated: WeChat's own number of the request it rejected, to quote to them, and more"""
    stated = {"wechat_request_id": session.wechat_request_id, **stated}
    sighting.leave_to_desk(session, code, by=SYSTEM, at=at, **stated)


@transaction.atomic
def _end(
    session: FaceSession,
    state: FaceSession.State,
    action: Action,
    *,
    at: datetime,
    reason: str = "",
    **facts: Any,
) -> None:
    session.end(state, at=at, reason=reason)
    record(action, by=SYSTEM, on=session, at=at, **facts)
