"""The server's API as typed calls; each raises `Problem` or `Unreachable`."""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar
from uuid import UUID

from devices.agent import __version__
from devices.agent.wire import Problem, Unreachable, Wire, moment
from devices.sdk import FACE_AUTH, AuthResult, FaceParams, Member, Sighting

__all__ = ["FINAL", "Problem", "Server", "Unreachable"]

FINAL = frozenset(
    [
        "onboarded",
        "recognised",
        "unrecognised",
        "refused",
        "declined",
        "guardian_required",
        "failed",
        "expired",
    ]
)
T = TypeVar("T")


@dataclass(frozen=True)
class Registration:
    """What activation made of this box. Times in unix seconds."""

    terminal: dict[str, str]
    store: dict[str, str]
    key_id: str
    server_time: float


@dataclass(frozen=True)
class Credential:
    """What starts the camera, for `expires_in` seconds."""

    params: FaceParams
    expires_in: float


@dataclass(frozen=True)
class Purpose:
    code: str
    label: str
    required: bool


@dataclass(frozen=True)
class Notice:
    """What the person is told before the camera, and the way in for who says no."""

    version: int
    title: str
    text: str
    purposes: tuple[Purpose, ...]
    fallback: str


@dataclass(frozen=True)
class Patient:
    number: str
    masked_name: str = field(repr=False)


@dataclass(frozen=True)
class Session:
    """
    One visit, as the server sees it.

    :ivar quit_face_auth: after a sighting: close WeChat's screen without asking the person
    :ivar fallback: after opening: the way in that needs no face
    :ivar ask_unionid: after opening a FACEID-ONCE session: ask the SDK for a token
    """

    id: str
    state: str
    quit_face_auth: bool = True
    patient: Patient | None = None
    reason_code: str = ""
    reason_detail: str = ""
    fallback: str = ""
    ask_unionid: bool = False

    @property
    def is_final(self) -> bool:
        return self.state in FINAL


@dataclass(frozen=True)
class Presence:
    """The server's answer to a heartbeat. `suspension` is why this terminal is stopped, or ""."""

    server_time: float
    clock_offset: float
    notice_version: int | None
    suspension: str


class Server:
    """The hospital's side. A class because a terminal holds one connection."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def activate(self, code: str, *, public_key: str, model: str, sdk_version: str) -> Registration:
        body = {
            "code": code,
            "public_key": public_key,
            "model": model,
            "sdk_version": sdk_version,
            "agent_version": __version__,
        }
        return _shaped(_registration, self._wire.post("terminals/activation/", body))

    def add_key(self, public_key: str, *, proof: str) -> float:
        """
        Register this terminal's next key; return when that was, unix seconds.

        :param proof: base64 signature by the new key over what both keys and the terminal are
        """
        answer = self._wire.post("terminals/keys/", {"public_key": public_key, "proof": proof})
        return _shaped(lambda registered: moment(registered["created_at"]), answer)

    def retire_key(self, key_id: str) -> None:
        """Have the terminal's other key cut off."""
        self._wire.delete(f"terminals/keys/{key_id}/")

    def authinfo(
        self, rawdata: str, *, refresh: bool = False, patience: float | None = None
    ) -> Credential:
        """
        Return a credential; `refresh` when the last one has expired, or is about to.

        :param patience: seconds the call may be retried, if not the wire's own
        """
        body = {"rawdata": rawdata} | ({"refresh": True} if refresh else {})
        return _shaped(_credential, self._wire.post("authinfo/", body, patience=patience))

    def notice(self) -> Notice:
        return _shaped(_notice, self._wire.get("notice/"))

    def open(
        self,
        *,
        notice_version: int,
        granted: bool,
        purposes: list[str],
        kind: str = FACE_AUTH,
        on_request: bool = False,
    ) -> Session:
        """
        Begin a visit by putting on record what the person said to the notice.

        :param on_request: they said no on WeChat's screen lately, and now want to be asked
        """
        body = {"notice_version": notice_version, "granted": granted, "purposes": purposes}
        if kind != FACE_AUTH:
            body["kind"] = kind
        if on_request:
            body["on_request"] = True
        return _shaped(_session, self._wire.post("face-sessions/", body))

    def see(self, session: Session, seen: Sighting | Member) -> Session:
        """Say whom the SDK saw: a `Sighting` in a FACE_AUTH session, a `Member` in the other."""
        ids = asdict(seen)
        ids.pop("telephone_used", None)
        body = {name: value for name, value in ids.items() if value}
        return _shaped(_session, self._wire.post(f"face-sessions/{session.id}/sighting/", body))

    def authorize(self, session: Session, result: AuthResult) -> Session:
        body = {"return_code": result.return_code}
        if result.return_msg:
            body["return_msg"] = result.return_msg
        path = f"face-sessions/{session.id}/authorization/"
        return _shaped(_session, self._wire.post(path, body))

    def withdraw(self, session_id: str) -> None:
        """Take back what somebody agreed to in this visit, and what else they did."""
        self._wire.post(f"face-sessions/{session_id}/withdrawal/", {})

    def watch(self, session: Session, *, wait: int) -> Session:
        """Return the session as it is, or as soon as it moves, within `wait` seconds."""
        return _shaped(_session, self._wire.get(f"face-sessions/{session.id}/", wait=wait))

    def heartbeat(
        self,
        *,
        camera: str,
        clock: float,
        sdk_version: str,
        os: str,
        disk_free_mb: int,
        uptime: int,
        last_error: str = "",
    ) -> Presence:
        """
        Say that we are here, once: the next heartbeat is soon.

        :param camera: `ready`, `busy` or `missing`
        :param clock: the device's own time, uncorrected, unix seconds
        :param uptime: seconds this program has been running
        :param last_error: a code of capitals and underscores, of a failure since the last one
        """
        body = {
            "agent_version": __version__,
            "sdk_version": sdk_version,
            "os": os,
            "camera": camera,
            "clock": clock,
            "disk_free_mb": disk_free_mb,
            "uptime": uptime,
        }
        if last_error:
            body["last_error"] = last_error
        return _shaped(_presence, self._wire.post("heartbeat/", body, patience=0))


def _shaped(build: Callable[[dict[str, Any]], T], answer: dict[str, Any]) -> T:
    try:
        return build(answer)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise Problem("not_our_server", 200) from None


def _registration(answer: dict[str, Any]) -> Registration:
    return Registration(
        terminal={name: str(answer["terminal"][name]) for name in ("id", "serial", "name")},
        store={name: str(answer["store"][name]) for name in ("code", "name")},
        key_id=answer["key_id"],
        server_time=moment(answer["server_time"]),
    )


def _credential(answer: dict[str, Any]) -> Credential:
    params = FaceParams(
        appid=answer["appid"],
        mch_id=answer["mch_id"],
        store_id=answer["store_id"],
        authinfo=answer["authinfo"],
        sub_appid=answer.get("sub_appid") or "",
        sub_mch_id=answer.get("sub_mch_id") or "",
        face_authtype=answer["face_authtype"],
    )
    return Credential(params, float(answer["expires_in"]))


def _notice(answer: dict[str, Any]) -> Notice:
    return Notice(
        version=answer["version"],
        title=answer["title"],
        text=answer["text"],
        purposes=tuple(
            Purpose(purpose["code"], purpose["label"], bool(purpose["required"]))
            for purpose in answer["purposes"]
        ),
        fallback=answer["fallback"],
    )


def _session(answer: dict[str, Any]) -> Session:
    patient, reason = answer.get("patient"), answer.get("reason") or {}
    return Session(
        id=str(UUID(answer["id"])),  # it becomes part of an address
        state=answer["state"],
        # Anything but a plain "0" closes the screen: nobody is asked for their name by mistake.
        quit_face_auth=answer.get("quit_face_auth") != "0",
        patient=Patient(patient["number"], patient["masked_name"]) if patient else None,
        reason_code=reason.get("code", ""),
        reason_detail=reason.get("detail", ""),
        fallback=answer.get("fallback") or "",
        ask_unionid=answer.get("ask_unionid") == "1",
    )


def _presence(answer: dict[str, Any]) -> Presence:
    suspension = answer.get("suspension") or {}
    return Presence(
        server_time=moment(answer["server_time"]),
        clock_offset=float(answer["clock_offset"]),
        notice_version=answer.get("notice_version"),
        suspension=suspension.get("reason", ""),
    )
