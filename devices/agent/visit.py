"""One visit: from the notice to a patient on record, or to the reason why not."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

from devices.agent.api import Credential, Notice, Problem, Server, Session, Unreachable
from devices.agent.people import Agreement, nothing
from devices.agent.screen import Dark, Screen, Step
from devices.sdk import (
    FACE_AUTH,
    FACEID_ONCE,
    AuthResult,
    FaceParams,
    FaceSDK,
    Member,
    Proxy,
    Sighting,
    Window,
)
from devices.sdk.errors import (
    SUCCESS,
    CredentialExpired,
    Initialising,
    NotInitialised,
    SDKError,
)

LONG_POLL = 10  # seconds the server may hold one question
SHORTEST_POLL = 0.5  # seconds between two questions, when the server does not hold them
LONGEST_WAIT = 120.0  # seconds; then the person is sent to the desk and the server goes on alone
MARGIN = 60.0  # seconds before its expiry at which a credential is no longer begun with
AHEAD = 240.0  # seconds before that at which the next one is fetched, if nobody is there
WITHDRAWN, NOT_WITHDRAWN = "withdrawn", "not_withdrawn"
WITHDRAWABLE = ("onboarded", "recognised", "authorized")
READY, MISSING = "ready", "missing"  # a camera, as the heartbeat tells it
INIT_ATTEMPTS, INIT_PAUSE = 20, 0.5  # the service needs some seconds after the machine's start

Say = Callable[[str], None]
Consent = Callable[[Notice], bool | Agreement]
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Mounting:
    """How this box hangs on its wall: what the SDK has to be told each time."""

    proxy: Proxy | None = None
    camera_rotation: int = 0
    window: Window = field(default_factory=Window)


@dataclass(frozen=True)
class Visit:
    """
    How a visit ended.

    :ivar state: a final state of the session, or `authorized` when we stopped waiting;
        `withdrawn` or `not_withdrawn` after the person took back what they agreed to
    :ivar session: where there is something to take back: its id, or ""
    :ivar patient: the patient number, or ""
    :ivar seconds: from the face being seen to the final state; None without either
    :ivar code: why, when the server or the SDK said so; `detail` is the sentence with it
    """

    state: str
    patient: str = ""
    masked_name: str = field(default="", repr=False)
    seconds: float | None = None
    code: str = ""
    detail: str = ""
    session: str = ""

    @property
    def reason(self) -> str:
        """The code and the sentence, for the operator."""
        return " ".join(filter(None, [self.code, self.detail]))


class Terminal:
    """
    A camera in front of people, a server behind it, and the credential between them.

    :param aggregate: other payment platforms use the camera as well (聚合支付): it is taken for
        each visit and given back after it, and not held in between
    :ivar meanwhile: called every few seconds while a visit waits for the server
    """

    def __init__(
        self,
        server: Server,
        sdk: FaceSDK,
        *,
        say: Say,
        screen: Screen | None = None,
        mounting: Mounting = Mounting(),
        aggregate: bool = False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.screen: Screen = screen or Dark()
        self.meanwhile: Callable[[], None] = nothing
        self._server = server
        self._sdk = sdk
        self._say = say
        self._mounting = mounting
        self._aggregate = aggregate
        self._clock = clock
        self._sleep = sleep
        self._credential: Credential | None = None
        self._usable_until = 0.0
        self._camera_is_on = self._is_visiting = False
        self._camera_started = True  # when it was last tried

    def visit(self, *, consent: Consent) -> Visit:
        """
        Receive one person.

        :param consent: shows the notice, returns what the person said
        :raises SDKError, Problem, Unreachable: the visit could not be finished; the camera
            is free again, and the session, if there is one, expires by itself
        :raises Left: the person went away without an answer; nothing is on record
        """
        window = self._mounting.window
        with self._visiting():
            session, granted = self._open(consent, FACE_AUTH)
            if not granted:
                return _ended(session, None)
            credential, sighting = self._scan(partial(self._sdk.code, window=window))
            seen_at = self._clock()
            session = self._finish(session, credential, sighting, seen_at)
            return self._end(session, seen_at)

    def recognise(self, *, consent: Consent) -> Visit:
        """
        Receive one person who may be on record; nobody is asked for their name.

        :param consent: shows the notice, returns what the person said
        :raises SDKError, Problem, Unreachable, Left: as for `visit`
        """
        with self._visiting():
            session, granted = self._open(consent, FACEID_ONCE)
            if not granted:
                return _ended(session, None)

            def look(params: FaceParams) -> Member:
                params = replace(params, face_authtype=FACEID_ONCE)  # the authinfo is for either
                ask = session.ask_unionid
                return self._sdk.user_info(params, ask_unionid=ask, window=self._mounting.window)

            _, member = self._scan(look)
            seen_at = self._clock()
            self._show_seen(Step.SEEKING)
            answered = self._server.see(session, member)
            if not answered.is_final:
                answered = self._wait(answered, until=seen_at + LONGEST_WAIT)
            return self._end(answered, seen_at)

    def take_back(self, session: str) -> str:
        """Withdraw what was agreed to in a visit; return `withdrawn` or `not_withdrawn`."""
        try:
            self._server.withdraw(session)
        except (Problem, Unreachable) as exc:
            self._say(f"未能撤回同意（{getattr(exc, 'code', 'unreachable')}）")
            return NOT_WITHDRAWN
        self._say("患者已撤回同意")
        return WITHDRAWN

    def camera(self) -> str:
        """
        Return `ready`, or `missing` when the SDK does not start.

        In aggregate mode somebody else may be using it: what is told is how it was last, and it
        is tried anew only where it was missing then.
        """
        if not (self._aggregate and self._camera_started):
            with suppress(SDKError):
                self._turn_on_camera()
            if self._aggregate:
                self.close()
        return READY if self._camera_started else MISSING

    def prefetch_at(self) -> float:
        """Return when, by our clock, the next credential is worth fetching."""
        if self._is_visiting:
            return math.inf
        return -math.inf if self._credential is None else self._usable_until - AHEAD

    def prefetch(self) -> None:
        """
        Fetch the credential that the next visit will need.

        :raises SDKError, Problem, Unreachable: there is none; the visit will try again
        """
        try:
            self._turn_on_camera()
            self._renew_credential(refresh=self._credential is not None, patience=0)
        except SDKError:
            self.close()  # perhaps the service was restarted: the next attempt begins anew
            raise
        finally:
            if self._aggregate:
                self.close()

    def tidy(self) -> None:
        """Close what a predecessor may have left open when it was killed."""
        with suppress(SDKError):  # there is nothing to close, most of the time
            self._sdk.release()

    def close(self) -> None:
        """Give the camera back to the machine, and with it WeChat's screen, if it is open."""
        if not self._camera_is_on:
            return
        self._camera_is_on = False
        try:
            self._sdk.release()
        except SDKError as exc:
            self._say(f"摄像头未能释放：{exc}（{exc.code}）")

    @contextmanager
    def _visiting(self) -> Iterator[None]:
        self._is_visiting = True
        try:
            yield
        except SDKError:
            self.close()  # a screen that was cancelled may keep the camera busy
            raise
        finally:
            self._is_visiting = False
            if self._aggregate:
                self.close()

    def _open(self, consent: Consent, kind: str) -> tuple[Session, bool]:
        self._turn_on_camera()
        notice = self._server.notice()
        self._say(f"告知书：{notice.title}（第 {notice.version} 版）")
        answer = consent(notice)
        purposes = _purposes(notice, answer)
        granted = bool(purposes)
        self.screen.show(Step.WAIT)
        session = self._server.open(
            notice_version=notice.version,
            granted=granted,
            purposes=purposes,
            kind=kind,
            on_request=isinstance(answer, Agreement) and answer.on_request,
        )
        if granted:
            self._say("已同意，请看摄像头")
            self.screen.show(Step.LOOK)
        else:
            self._say(f"未同意刷脸，可以改用：{session.fallback or notice.fallback}")
        return session, granted

    def _turn_on_camera(self) -> None:
        for attempt in range(INIT_ATTEMPTS):
            if self._camera_is_on:
                return
            self._camera_started = False
            try:
                self._sdk.init(
                    proxy=self._mounting.proxy, camera_rotation=self._mounting.camera_rotation
                )
                self._camera_is_on = self._camera_started = True
            except Initialising:
                if attempt == INIT_ATTEMPTS - 1:
                    raise
                self._sleep(INIT_PAUSE)

    def _scan(self, look: Callable[[FaceParams], T]) -> tuple[Credential, T]:
        refresh = False
        try:
            return self._look(look, refresh=refresh)
        except CredentialExpired:
            refresh = True
        except NotInitialised:  # the service was restarted behind our back
            self._camera_is_on = False
            self._turn_on_camera()
        return self._look(look, refresh=refresh)

    def _look(self, look: Callable[[FaceParams], T], *, refresh: bool) -> tuple[Credential, T]:
        credential = self._fetch_credential(refresh=refresh)
        return credential, look(credential.params)

    def _fetch_credential(self, *, refresh: bool) -> Credential:
        if self._credential is None or refresh or self._clock() >= self._usable_until:
            # The server keeps one as well: without `refresh` it gives the same again.
            return self._renew_credential(refresh=self._credential is not None)
        return self._credential

    def _renew_credential(self, *, refresh: bool, patience: float | None = None) -> Credential:
        asked_at = self._clock()
        self._credential = self._ask_for_credential(refresh=refresh, patience=patience)
        self._usable_until = asked_at + self._credential.expires_in - MARGIN
        return self._credential

    def _ask_for_credential(self, *, refresh: bool, patience: float | None) -> Credential:
        def ask() -> Credential:
            return self._server.authinfo(self._sdk.rawdata(), refresh=refresh, patience=patience)

        try:
            return ask()
        except Problem as exc:
            if exc.code != "rawdata_refused":
                raise
        return ask()

    def _show_seen(self, step: Step) -> None:
        self._say("已看到人脸")
        self.screen.show(step)

    def _finish(
        self, session: Session, credential: Credential, sighting: Sighting, seen_at: float
    ) -> Session:
        session, result = self._ask_the_person(session, credential, sighting)
        if session.is_final and session.patient:
            return session
        if result is not None:
            self._say("已在微信界面确认" if result.return_code == SUCCESS else "未在微信界面确认")
            self.screen.show(Step.WORKING)
            session = self._server.authorize(session, result)
        return self._wait(session, until=seen_at + LONGEST_WAIT)

    def _ask_the_person(
        self, session: Session, credential: Credential, sighting: Sighting
    ) -> tuple[Session, AuthResult | None]:
        """Return what the person answered on WeChat's screen, or None if they were not asked."""
        quit_unasked = True  # also when the server fails us: the screen must not stay open
        try:
            self._show_seen(Step.WAIT)
            session = self._server.see(session, sighting)
            is_asked = not (session.quit_face_auth or session.is_final)
            if is_asked:
                self.screen.show(Step.CONFIRM)
            quit_unasked = not is_asked
        finally:
            result = self._sdk.authorize(
                credential.params.authinfo, sighting.face_sid, quit=quit_unasked
            )
            if result.return_code != SUCCESS:
                self.close()  # a screen that was cancelled, or would not close, keeps the camera
        return session, None if quit_unasked else result

    def _wait(self, session: Session, *, until: float) -> Session:
        # Also for a session that is final already: only this answer says who, or why.
        while True:
            asked_at = self._clock()
            session = self._server.watch(session, wait=LONG_POLL)
            if self.screen.wants_back():
                state = self.take_back(session.id)
                return replace(session, state=state, patient=None, reason_code="")
            if session.is_final or self._clock() >= until:
                return session
            self.meanwhile()
            if self._clock() - asked_at < SHORTEST_POLL:
                self._sleep(SHORTEST_POLL)

    def _end(self, session: Session, seen_at: float) -> Visit:
        took = round(self._clock() - seen_at, 3)
        return _ended(session, took if session.is_final else None)


def _ended(session: Session, seconds: float | None) -> Visit:
    return Visit(
        state=session.state,
        patient=session.patient.number if session.patient else "",
        masked_name=session.patient.masked_name if session.patient else "",
        seconds=seconds,
        code=session.reason_code,
        detail=session.reason_detail,
        session=session.id if session.state in WITHDRAWABLE else "",
    )


def _purposes(notice: Notice, answer: bool | Agreement) -> list[str]:
    """Return what was agreed to, nothing for a no; a bare yes is to what cannot be left out."""
    if isinstance(answer, Agreement):
        return sorted(answer.purposes)
    return [purpose.code for purpose in notice.purposes if purpose.required] if answer else []
