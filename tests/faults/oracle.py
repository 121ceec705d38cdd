"""
What must hold whatever failed, asked of everybody but the product.

Of the terminals' own log of what they were promised, of the database over a connection of its own,
of WeChat's count of who it was asked about, of the files the processes wrote, and of what broker
and cache hold. Knows tables and columns, and imports none of the product's code: who there is, the
simulator prints (`cast`).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psycopg

from tests.faults import cast, searching

PROMISED, TRIED = "promised", "tried"
ENDED_WELL = frozenset({"onboarded", "recognised"})
WITHOUT_A_YES = frozenset({"opened", "refused", "expired"})  # those a face_sid may not have reached
ONGOING = frozenset({"opened", "seen", "authorized"})
PATIENCE = 90.0  # seconds until the simulator is given up
ACTIONS = ("session.authorize", "wechat.answer", "patient.onboard")


@dataclass(frozen=True)
class Word:
    """A line of the terminals' log: somebody's visit, and whether it was answered with 202."""

    kind: str
    session: str
    person: str
    face_sid: str

    @property
    def digest(self) -> str:
        """The name under which WeChat counts questions about them."""
        return hashlib.sha256(self.face_sid.encode()).hexdigest()[:16]


@dataclass
class Verdict:
    """Counts, and of each thing that must not be the ids of where it is."""

    accepted: int = 0
    people: int = 0
    questions: int = 0  # about those who were accepted
    spoiled: int = 0  # of these, those that WeChat did not answer, or not itself
    most: int = 0  # questions about one of them, WeChat's own failures included
    wrong: dict[str, list[str]] = field(default_factory=dict)

    def count(self, *names: str) -> int:
        return sum(len(self.wrong.get(name, ())) for name in names)

    def find(self, name: str, ids: Iterable[object]) -> None:
        if found := sorted(map(str, ids)):
            self.wrong[name] = found


LOST = ("unknown", "failed")
STUCK = ("waiting",)
DOUBLED = (
    "two patients", "one patient for two", "two sessions", "authorized twice", "onboarded twice",
    "answered twice", "extra patients",
)  # fmt: skip


def read(log: Path) -> list[Word]:
    """Return what the terminals wrote down."""
    return [Word(**json.loads(line)) for line in log.read_text().splitlines()]


def judge(
    words: list[Word],
    *,
    database: str,
    simulator: str,
    logs: Path,
    held: Mapping[str, bytes] | None = None,
    poison: frozenset[str] = frozenset(),
) -> Verdict:
    """
    Compare what was promised with what is.

    :param held: what else is kept, by where; nobody is to be found in it
    :param poison: sessions that kill whoever works on them; they are to end `failed`
    """
    verdict = Verdict()
    promised = {word.session: word for word in words if word.kind == PROMISED}
    verdict.accepted = len(promised)
    verdict.people = len({word.person for word in promised.values()})
    with psycopg.connect(database, autocommit=True) as server:
        _judge_sessions(server, verdict, promised, poison)
        _judge_patients(server, verdict, promised)
        _judge_trail(server, verdict)
        places = {**_logs(logs), **(held or {}), "the trail": _trail(server)}
        verdict.find("said who somebody is", searching.telling(places, _secrets(server, words)))
    with httpx.Client(base_url=simulator, trust_env=False, timeout=PATIENCE) as wechat:
        asked = wechat.get("/_sim/requests").json()["face_sids"]
        spoiled = wechat.get("/_sim/spoiled").json()
    verdict.questions = sum(asked.get(word.digest, 0) for word in promised.values())
    verdict.spoiled = sum(spoiled.get(word.digest, 0) for word in promised.values())
    verdict.most = max((asked.get(word.digest, 0) for word in promised.values()), default=0)
    verdict.find("asked without a yes", asked.keys() - {word.digest for word in words})
    return verdict


def waiting(words: list[Word], database: str) -> set[str]:
    """Return who said yes and is not dealt with, whether or not the 202 reached them."""
    ours = {word.session for word in words}
    with psycopg.connect(database, autocommit=True) as server:
        rows = server.execute("SELECT id FROM faceauth_facesession WHERE state = 'authorized'")
        return ours & {str(pk) for (pk,) in rows}


@dataclass(frozen=True)
class _Row:
    """A session, as it lies on disk."""

    state: str
    patient: object
    is_kept: bool  # what is sealed for the time being: face_sid, WeChat's answer
    is_agreed: bool


def _judge_sessions(
    server: psycopg.Connection[Any],
    verdict: Verdict,
    promised: dict[str, Word],
    poison: frozenset[str],
) -> None:
    rows = server.execute(
        "SELECT s.id, s.state, s.patient_id, s.answer IS NOT NULL OR s.face_sid IS NOT NULL,"
        " c.granted AND c.withdrawn_at IS NULL FROM faceauth_facesession s"
        " JOIN faceauth_consent c ON c.id = s.consent_id"
    ).fetchall()
    there = {str(pk): _Row(*row) for pk, *row in rows}
    ours = {pk: there[pk] for pk in promised if pk in there}
    verdict.find("unknown", promised.keys() - there.keys())
    verdict.find("waiting", (pk for pk, row in there.items() if row.state == "authorized"))
    ended = {pk: row for pk, row in ours.items() if row.state != "authorized"}
    verdict.find(
        "failed",
        (pk for pk, row in ended.items() if row.state not in ENDED_WELL and pk not in poison),
    )
    verdict.find("poison", (pk for pk in poison if there[pk].state != "failed"))
    verdict.find(
        "kept", (pk for pk, row in there.items() if row.is_kept and row.state not in ONGOING)
    )
    verdict.find(
        "without consent",
        (pk for pk, row in there.items() if not row.is_agreed and row.state not in WITHOUT_A_YES),
    )
    pairs = {
        (promised[pk].person, row.patient) for pk, row in ended.items() if row.state in ENDED_WELL
    }
    verdict.find("two patients", _more_than_once(person for person, _ in pairs))
    verdict.find("one patient for two", _more_than_once(patient for _, patient in pairs))


def _judge_patients(
    server: psycopg.Connection[Any],
    verdict: Verdict,
    promised: dict[str, Word],
) -> None:
    there = _ids(server, "SELECT id FROM patients_patient")
    onboarded = _ids(server, "SELECT id FROM faceauth_facesession WHERE state = 'onboarded'")
    told: dict[str, Counter[str]] = {action: Counter() for action in ACTIONS}
    named = set()
    for (payload,) in server.execute(
        "SELECT payload FROM audit_event WHERE action = ANY(%s)", [list(ACTIONS)]
    ):
        event = json.loads(payload) if isinstance(payload, str) else payload
        if event["action"] == "patient.onboard":
            named.add(event["object"]["id"])
            told[event["action"]][event["facts"]["session"]] += 1
        else:
            told[event["action"]][event["object"]["id"]] += 1
    verdict.find("authorized twice", _more_than_one(told["session.authorize"]))
    verdict.find("answered twice", _more_than_one(told["wechat.answer"]))
    verdict.find("onboarded twice", _more_than_one(told["patient.onboard"]))
    verdict.find("authorized without event", promised.keys() - told["session.authorize"].keys())
    verdict.find("without event", onboarded - told["patient.onboard"].keys())
    verdict.find("extra patients", there - named)
    verdict.find("without patient", named - there)
    verdict.find(
        "two sessions",
        _ids(
            server,
            "SELECT face_sid_index FROM faceauth_facesession WHERE face_sid_index IS NOT NULL"
            " GROUP BY face_sid_index HAVING count(*) > 1",
        ),
    )


def _judge_trail(server: psycopg.Connection[Any], verdict: Verdict) -> None:
    """Every event is a leaf, once, and every leaf an event's; what else holds it, it proves."""
    verdict.find(
        "unsealed",
        _ids(
            server,
            "SELECT e.id FROM audit_event e LEFT JOIN audit_leaf l ON l.event_id = e.id"
            " WHERE l.event_id IS NULL",
        ),
    )
    verdict.find(
        "sealed twice",
        _ids(server, "SELECT event_id FROM audit_leaf GROUP BY event_id HAVING count(*) > 1"),
    )
    changes = server.execute("SELECT 1 FROM audit_change WHERE event_id IS NULL").fetchall()
    verdict.find("changed unrecorded", range(len(changes)))


def _ids(server: psycopg.Connection[Any], question: str) -> set[str]:
    return {str(found) for (found,) in server.execute(question)}


def _more_than_once(names: Iterable[object]) -> list[object]:
    return _more_than_one(Counter(names))


def _more_than_one(counts: Counter[Any]) -> list[Any]:
    return [name for name, count in counts.items() if count > 1]


def _logs(place: Path) -> dict[str, bytes]:
    return {log.name: log.read_bytes() for log in place.glob("*.log")}


def _trail(server: psycopg.Connection[Any]) -> bytes:
    lines = server.execute("SELECT convert_to(payload::text, 'UTF8') FROM audit_event").fetchall()
    return b"\n".join(line for (line,) in lines)


def _secrets(server: psycopg.Connection[Any], words: list[Word]) -> set[str]:
    """Return what says who somebody is: face_sids, document numbers, openids, longer names."""
    [*appids] = _ids(
        server,
        "SELECT appid FROM faceauth_merchant UNION SELECT sub_appid FROM faceauth_merchant",
    )
    known = cast.secrets({word.person for word in words}, appids)
    told = {secret for secrets in known.values() for secret in secrets}
    # Two characters turn up by themselves: in 任何文字, for one.
    return {word.face_sid for word in words} | {secret for secret in told if len(secret) > 2}
