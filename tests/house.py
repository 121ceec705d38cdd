"""
A house of real processes in a directory of its own: simulator, web, worker, a terminal.

For tests that kill them. What is true is asked of the database itself, over a connection
that has nothing to do with the processes or with Django.
"""

import json
import os
import secrets
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
import psycopg

from devices.agent import activation
from devices.agent.api import Server, Session
from devices.sdk import FACEID_ONCE, FaceSDK
from devices.sdk.simulated import SimulatedLibrary
from faceauth.simulator.app import digest
from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from hospital.demo.processes import Processes

PATIENCE = 90.0  # seconds until something that should happen is a failure
GONE = 10.0  # seconds, for a process of many threads on a busy machine
# Of ports. Those above are the system's: given to whoever connects, or listens on any, before
# the one a test has chosen listens there, or while it is killed.
LOWEST, ABOVE = 20_000, 32_768


@dataclass(frozen=True)
class Visit:
    """Somebody who said yes, and whom the server promised to deal with (202)."""

    session: str
    person: str
    face_sid: str


@dataclass(frozen=True)
class End:
    """A session's row, as it lies on disk."""

    session: str
    state: str
    patient: str | None
    has_answer: bool
    has_face_sid: bool


@dataclass
class House:
    place: Installation
    processes: Processes
    database: str  # a path of SQLite's, or a postgres URL
    running: dict[str, int] = field(default_factory=dict)  # name → process group
    is_equipped: bool = False

    @classmethod
    @contextmanager
    def built(cls, var: Path, *, root: Path = ROOT, **env: str) -> Iterator[Self]:
        """
        Simulator and database are there; web and worker are started by the test.

        :param root: where the code lies that all of them run, until `run_from`
        """
        place = Installation(var, *free_ports(2))
        environment = {**place.prepare(), "TERMINAL_RATE": "100000/min", **env}
        url = environment["DATABASE_URL"]
        with Processes(env=environment, own=place.own, cwd=root, logs=place.logs) as processes:
            house = cls(place, processes, url.removeprefix("sqlite:///"))
            house.start("simulator")
            processes.wait_for_port(place.sim_port)
            processes.run("setup", *commands.setup(place))
            yield house

    def start(self, name: str, *, without: str = "") -> None:
        """Start `simulator`, `web` or `worker`; the latter perhaps `without` its `--beat`."""
        command = getattr(commands, name)(self.place)
        process = self.processes.start(name, *(word for word in command if word != without))
        self.running[name] = process.pid
        if name == "web":
            self.processes.wait_for_port(self.place.port)

    def run_from(self, root: Path) -> None:
        """Let what is started from now on run another release's code."""
        self.processes.cwd = root

    def equip(self) -> None:
        """
        Let the terminal get its authinfo, which takes a worker; it then lasts most of an hour.

        For tests in which people come while no worker is there.
        """
        if self.is_equipped:
            return
        self.start("worker")
        with self.lobby() as lobby:
            lobby.equip()
        self.kill("worker")
        self.is_equipped = True

    def kill(self, name: str) -> None:
        """`kill -9` a process and everything it started."""
        group = self.running.pop(name)
        os.killpg(group, signal.SIGKILL)
        for entry in self.processes.started:
            if entry[1].pid == group:
                entry[1].wait()
                self.processes.started.remove(entry)
                return

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """Ask, or change, behind the product's back: a change is not held to an event."""
        if self.database.startswith("postgres"):
            with psycopg.connect(self.database, autocommit=True) as server:
                server.execute("SET session_replication_role = replica")
                cursor = server.execute(statement)
                return cursor.fetchall() if cursor.description else []
        with closing(sqlite3.connect(self.database, timeout=20)) as file, file:
            file.create_function("audit_transaction", 0, lambda: "behind the back")
            return file.execute(statement).fetchall()

    @contextmanager
    def holding(self, table: str) -> Iterator[None]:
        """Let nobody write to `table` (PostgreSQL only)."""
        with psycopg.connect(self.database) as server:
            server.execute(f"LOCK TABLE {table} IN EXCLUSIVE MODE")
            yield

    def drop_connections(self) -> None:
        """What a restart of PostgreSQL does to everybody who is connected."""
        self.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )

    def ends(self) -> list[End]:
        rows = self.sql(
            "SELECT id, state, patient_id, answer IS NOT NULL, face_sid IS NOT NULL"
            " FROM faceauth_facesession"
        )
        return [End(_hyphened(pk), *values) for pk, *values in rows]

    def states(self) -> dict[str, str]:
        """Return session id → state."""
        return {end.session: end.state for end in self.ends()}

    def kept(self) -> set[str]:
        """Return the ids of the sessions for which WeChat's answer is on disk."""
        return {end.session for end in self.ends() if end.has_answer}

    def trail(self, action: str) -> list[dict[str, Any]]:
        rows = self.sql("SELECT payload FROM audit_event ORDER BY id")
        events = [json.loads(payload) for (payload,) in rows]
        return [event for event in events if event.get("action") == action]  # one may be covered

    def finished(self, visits: list[Visit]) -> bool:
        states = self.states()
        return all(states[visit.session] != "authorized" for visit in visits)

    def assert_on_record_once(self, visits: list[Visit]) -> None:
        """One patient per person, one event per session, nothing pending left on disk."""
        ours = {visit.session: visit.person for visit in visits}
        people = len(set(ours.values()))
        ends = [end for end in self.ends() if end.session in ours]
        trail = [
            event for event in self.trail("patient.onboard") if event["facts"]["session"] in ours
        ]
        assert {end.state for end in ends} == {"onboarded"}
        assert len(ends) == len(ours)
        assert not any(end.has_answer or end.has_face_sid for end in ends)
        assert len({end.patient for end in ends}) == people
        assert len({(end.patient, ours[end.session]) for end in ends}) == people
        assert sorted(event["facts"]["session"] for event in trail) == sorted(ours)
        assert len({event["object"]["id"] for event in trail}) == people

    def let_leases_run_out(self) -> None:
        """What ten seconds would do, now that no worker is alive."""
        self.sql(
            "UPDATE faceauth_facesession SET due_at = '2020-01-01 00:00:00'"
            " WHERE state = 'authorized'"
        )

    def forget_messages(self) -> None:
        """What a broker without a disk does when it dies."""
        for message in self.place.broker.iterdir():
            message.unlink()

    def asked(self) -> dict[str, int]:
        """Return how often WeChat was asked for each face_sid, by its digest."""
        url = f"{self.place.simulator}/_sim/requests"
        answer = httpx.get(url, trust_env=False, timeout=PATIENCE).json()
        asked: dict[str, int] = answer["face_sids"]
        return asked

    def asked_about(self, visit: Visit) -> int:
        return self.asked().get(digest(visit.face_sid), 0)

    def weather(self, name: str, **how: object) -> None:
        """Tell the simulator what to do to its next answers."""
        self._forecast("POST", {"name": name, **how})

    def clear_weather(self) -> None:
        self._forecast("DELETE", {})

    def _forecast(self, method: str, body: dict[str, object]) -> None:
        url = f"{self.place.simulator}/_sim/scenario"
        answer = httpx.request(method, url, json=body, trust_env=False, timeout=PATIENCE)
        answer.raise_for_status()

    @contextmanager
    def lobby(self) -> Iterator["Lobby"]:
        """A terminal, activated the first time."""
        state = self.place.var / "terminal"
        connect = activation.connector(self.place.server, transport=None)
        if self.place.activation.exists() and not state.exists():
            code = self.place.activation.read_text()
            activation.activate(
                state, code, connect=connect, algorithm="ecdsa-p256-sha256", sdk_version="s"
            )
        library = SimulatedLibrary(self.place.simulator, lambda: lobby.person)
        with closing(library._http), closing(connect(activation.recall(state).auth())) as wire:
            lobby = Lobby(Server(wire), FaceSDK(library))
            yield lobby


class Lobby:
    """A terminal's program, step by step, so that a test may stop in between."""

    def __init__(self, server: Server, sdk: FaceSDK) -> None:
        self.server = server
        self.person = ""  # whom the camera sees
        self.appid = ""
        self.secrets: dict[str, str] = {}  # everything this terminal held for a moment
        self._sdk = sdk
        self._sdk.init()

    def equip(self) -> None:
        self.server.authinfo(self._sdk.rawdata())

    def receive(self, person: str) -> tuple[Session, Visit]:
        """Bring somebody from the notice to their yes; return the server's last answer."""
        self.person = person
        notice = self.server.notice()
        purposes = [purpose.code for purpose in notice.purposes if purpose.required]
        session = self.server.open(notice_version=notice.version, granted=True, purposes=purposes)
        rawdata = self._sdk.rawdata()
        params = self.server.authinfo(rawdata).params
        self.appid = params.appid
        sighting = self._sdk.code(params)
        self.secrets |= {
            f"rawdata for {person}": rawdata,
            f"authinfo for {person}": params.authinfo,
            f"face_sid of {person}": sighting.face_sid,
            f"openid of {person}": sighting.openid,
        }
        session = self.server.see(session, sighting)
        said = self._sdk.authorize(params.authinfo, sighting.face_sid, quit=session.quit_face_auth)
        if not session.is_final:
            session = self.server.authorize(session, said)
        return session, Visit(session.id, person, sighting.face_sid)

    def recognise(self, person: str) -> Session:
        """Bring somebody who may be on record, with a token."""
        self.person = person
        notice = self.server.notice()
        purposes = [purpose.code for purpose in notice.purposes if purpose.required]
        session = self.server.open(
            notice_version=notice.version, granted=True, purposes=purposes, kind=FACEID_ONCE
        )
        params = self.server.authinfo(self._sdk.rawdata()).params
        member = self._sdk.user_info(
            replace(params, face_authtype=FACEID_ONCE), ask_unionid=session.ask_unionid
        )
        assert member.token
        self.secrets[f"token for {person}"] = member.token
        return self.server.see(session, member)

    def authorize(self, person: str) -> Visit:
        """Return a visit the server has answered with 202."""
        session, visit = self.receive(person)
        assert not session.is_final
        return visit


@contextmanager
def postgresql(server: str) -> Iterator[str]:
    """Yield the URL of an empty database on `server`."""
    assert server.startswith("postgres"), "run by tests/on_postgresql.py"
    name = f"house_{uuid4().hex}"
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        try:
            yield urlsplit(server)._replace(path=f"/{name}").geturl()
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")


def until(fact: Callable[[], object], what: str, *, seconds: float = PATIENCE) -> None:
    """Wait until `fact()` holds; fail, saying `what` did not happen, when time is up."""
    give_up = time.monotonic() + seconds
    while not fact():
        assert time.monotonic() < give_up, what
        time.sleep(0.05)  # asking is work as well


def processes_of(var: Path) -> list[int]:
    """Return the ids of the processes, of whoever's children, that still run for `var`."""
    mark = f"VAR_DIR={var}\0".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mark in (entry / "environ").read_bytes():
                found.append(int(entry.name))
    return found


def until_gone(var: Path) -> None:
    """Demand that no process runs for `var`; who was killed takes a moment to be gone."""
    until(lambda: not processes_of(var), "nobody is left running", seconds=GONE)


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on, and which nobody is given who does not ask for them."""
    with closing_all(socket.socket() for _ in range(count)) as probes:
        return [_bound(probe) for probe in probes]


def _bound(probe: socket.socket) -> int:
    while True:
        port = LOWEST + secrets.randbelow(ABOVE - LOWEST)  # whatever the tests' seed
        with suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def closing_all(sockets: Iterator[socket.socket]) -> Iterator[list[socket.socket]]:
    opened = list(sockets)
    try:
        yield opened
    finally:
        for one in opened:
            one.close()


def _hyphened(pk: object) -> str:
    """SQLite keeps a UUID as 32 digits; the API says it with hyphens."""
    text = str(pk).replace("-", "")
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
