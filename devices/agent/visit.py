"""One visit: from the notice to a patient on record, or to the reason why not."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TypeVar

from devices.agent.api import Credential, Notice, Problem, Server, Session
from devices.sdk import (
    FACE_AUTH,
    FACEID_ONCE,
    AuthResult,
    FaceParams,
    FaceSDK,
    Member,
    Sighting,
)
from devices.sdk.errors import CredentialExpired, Initialising, NotInitialised, SDKError

LONG_POLL = 10  # seconds the server may hold one question
SHORTEST_POLL = 0.5  # seconds between two questions, when the server does not hold them
LONGEST_WAIT = 120.0  # seconds; then the person is sent to the desk and the server goes on alone
MARGIN = 60.0  # seconds before its expiry at which a credential is no longer begun with
INIT_ATTEMPTS, INIT_PAUSE = 20, 0.5  # the service needs some seconds after the machine's start

Say = Callable[[str], None]
Consent = Callable[[Notice], bool]
T = TypeVar("T")


@dataclass(frozen=True)
class Visit:
    """
    How a visit ended.

    :ivar state: a final state of the session, or `authorized` when we stopped waiting
    :ivar patient: the patient number, or ""
    :ivar seconds: from the face being seen to the final state; None without either
    :ivar reason: a code and a sentence, when the server gave one
    """

    state: str
    patient: str = ""
    masked_name: str = field(default="", repr=False)
    seconds: float | None = None
    reason: str = ""


class Terminal:
    """A camera in front of people, a server behind it, and the credential between them."""

    def __init__(
        self,
        server: Server,
        sdk: FaceSDK,
        *,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._server = server
        self._sdk = sdk
        self._say = say
        self._clock = clock
        self._sleep = sleep
        self._credential: Credential | None = None
        self._usable_until = 0.0
        self._camera_is_on = False

    def visit(self, *, consent: Consent) -> Visit:
        """
        Receive one person.

        :param consent: shows the notice, returns what the person said
        :raises SDKError, Problem, Unreachable: the visit could not be finished; the camera
            is free again, and the session, if there is one, expires by itself
        """
        session, granted = self._open(consent, FACE_AUTH)
        if not granted:
            return _ended(session, None)
        credential, sighting = self._scan(self._sdk.code)
        seen_at = self._clock()
        self._say("已看到人脸")
        session = self._finish(session, credential, sighting, seen_at)
        return self._end(session, seen_at)

    def recognise(self, *, consent: Consent) -> Visit:
        """
        Receive one person who may be on record; nobody is asked for their name.

        :param consent: shows the notice, returns what the person said
        :raises SDKError, Problem, Unreachable: as for `visit`
        """
        session, granted = self._open(consent, FACEID_ONCE)
        if not granted:
            return _ended(session, None)

        def look(params: FaceParams) -> Member:
            params = replace(params, face_authtype=FACEID_ONCE)  # the authinfo is for either
            return self._sdk.user_info(params, ask_unionid=session.ask_unionid)

        _, member = self._scan(look)
        seen_at = self._clock()
        self._say("已看到人脸")
        answered = self._server.see(session, member)
        if not answered.is_final:
            answered = self._wait(answered, until=seen_at + LONGEST_WAIT)
        return self._end(answered, seen_at)

    def camera(self) -> str:
        """Return `ready`, or `missing` when the SDK does not start."""
        try:
            self._turn_on_camera()
        except SDKError:
            return "missing"
        return "ready"

    def close(self) -> None:
        """Give the camera back to the machine."""
        if self._camera_is_on:
            self._camera_is_on = False
            self._sdk.release()

    def _open(self, consent: Consent, kind: str) -> tuple[Session, bool]:
        self._turn_on_camera()
        notice = self._server.notice()
        self._say(f"告知书：{notice.title}（第 {notice.version} 版）")
        granted = consent(notice)
        # Only what the visit cannot do without is agreed to: nothing is ticked in advance.
        purposes = [purpose.code for purpose in notice.purposes if purpose.required]
        session = self._server.open(
            notice_version=notice.version,
            granted=granted,
            purposes=purposes if granted else [],
            kind=kind,
        )
        if granted:
            self._say("已同意，请看摄像头")
        else:
            self._say(f"未同意刷脸，可以改用：{session.fallback or notice.fallback}")
        return session, granted

    def _turn_on_camera(self) -> None:
        for attempt in range(INIT_ATTEMPTS):
            if self._camera_is_on:
                return
            try:
                self._sdk.init()
                self._camera_is_on = True
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
            asked_at = self._clock()
            self._credential = self._ask_for_credential(refresh=refresh)
            self._usable_until = asked_at + self._credential.expires_in - MARGIN
        return self._credential

    def _ask_for_credential(self, *, refresh: bool) -> Credential:
        try:
            return self._server.authinfo(self._sdk.rawdata(), refresh=refresh)
        except Problem as exc:
            if exc.code != "rawdata_refused":
                raise
        return self._server.authinfo(self._sdk.rawdata(), refresh=refresh)

    def _finish(
        self, session: Session, credential: Credential, sighting: Sighting, seen_at: float
    ) -> Session:
        session, result = self._ask_the_person(session, credential, sighting)
        if session.is_final and session.patient:
            return session
        if result is not None:
            self._say("已在微信界面确认" if result.return_code == "SUCCESS" else "未在微信界面确认")
            session = self._server.authorize(session, result)
        return self._wait(session, until=seen_at + LONGEST_WAIT)

    def _ask_the_person(
        self, session: Session, credential: Credential, sighting: Sighting
    ) -> tuple[Session, AuthResult | None]:
        """Return what the person answered on WeChat's screen, or None if they were not asked."""
        quit_unasked = True  # also when the server fails us: the screen must not stay open
        try:
            session = self._server.see(session, sighting)
            quit_unasked = session.quit_face_auth
        finally:
            result = self._sdk.authorize(
                credential.params.authinfo, sighting.face_sid, quit=quit_unasked
            )
        return session, None if quit_unasked else result

    def _wait(self, session: Session, *, until: float) -> Session:
        # Also for a session that is final already: only this answer says who, or why.
        while True:
            asked_at = self._clock()
            session = self._server.watch(session, wait=LONG_POLL)
            if session.is_final or self._clock() >= until:
                return session
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
        reason=" ".join(filter(None, [session.reason_code, session.reason_detail])),
    )
