"""
Terminals in a lobby, as many as there are people at once: real keys, real signatures, real polls.

Run as a process of its own: `python -m tests.benchmarks.load.terminals SERVER SIMULATOR SECRETS`.
It reads a line for each spell of work and answers with one, a JSON list of visits:

    closed 20        for 20 s every terminal takes the next person as soon as the last is done
    open 20 12.5     for 20 s people come by chance, 12.5 a second, to whichever terminal is free
"""

import itertools
import json
import queue
import random
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from devices.agent import keys
from devices.agent.api import Server
from devices.agent.signing import TerminalAuth
from devices.agent.wire import Wire
from devices.sdk import FaceParams, FaceSDK
from devices.sdk.simulated import SimulatedLibrary

WAIT = 10  # seconds of one long poll
PATIENCE = 240  # seconds the first of them waits for a worker that is just starting
LATEST = 60  # seconds after which a visit is an error


@dataclass(frozen=True)
class Visit:
    """One person. Moments in unix seconds; `error` is the kind of it, "" if there was none."""

    session: str
    came: float
    scanned: float
    told: float
    error: str


class Terminal:
    """One box: its key, its camera, its connection."""

    def __init__(self, server: str, simulator: str, secret: dict[str, str]) -> None:
        key = keys.from_pem(secret["key"].encode())
        self._person = ""
        self._library = SimulatedLibrary(simulator, lambda: self._person)
        auth = TerminalAuth(key, secret["key_id"])
        self._wire = Wire(server, auth, patience=PATIENCE)
        self._server = Server(self._wire)
        self._sdk = FaceSDK(self._library)
        self._sdk.init()
        self._params: FaceParams = self._server.authinfo(self._sdk.rawdata()).params
        self._notice = self._server.notice()

    def close(self) -> None:
        self._wire.close()
        self._library._http.close()

    def receive(self, person: str, came: float) -> Visit:
        self._person, scanned, session = person, 0.0, None
        try:
            agreed = [purpose.code for purpose in self._notice.purposes if purpose.required]
            session = self._server.open(
                notice_version=self._notice.version, granted=True, purposes=agreed
            )
            seen = self._sdk.code(self._params)
            scanned = time.time()
            session = self._server.see(session, seen)
            said = self._sdk.authorize(
                self._params.authinfo, seen.face_sid, quit=session.quit_face_auth
            )
            session = self._server.authorize(session, said)
            while not session.is_final and time.time() < scanned + LATEST:
                session = self._server.watch(session, wait=WAIT)
        except Exception as exc:  # noqa: BLE001 (counted and told; a load goes on)
            return Visit(session.id if session else "", came, scanned, time.time(), repr(exc))
        error = "" if session.state == "onboarded" else session.state
        return Visit(session.id, came, scanned, time.time(), error)


def main(server: str, simulator: str, secrets: Path) -> None:
    people = (f"stranger-{number}" for number in itertools.count())
    terminals = [Terminal(server, simulator, one) for one in json.loads(secrets.read_text())]
    print("ready", flush=True)
    for line in sys.stdin:
        kind, seconds, *rate = line.split()
        until = time.time() + float(seconds)
        arrivals = _at_once(until) if kind == "closed" else _by_chance(until, float(rate[0]))
        print(json.dumps([asdict(one) for one in _spell(terminals, people, arrivals)]), flush=True)
    for terminal in terminals:
        terminal.close()


def _spell(
    terminals: list[Terminal], people: Iterator[str], arrivals: Iterator[float]
) -> list[Visit]:
    free: queue.SimpleQueue[Terminal] = queue.SimpleQueue()
    for terminal in terminals:
        free.put(terminal)
    visits: list[Visit] = []

    def take(terminal: Terminal, person: str, came: float) -> None:
        visits.append(terminal.receive(person, came))
        free.put(terminal)

    threads = []
    for came in arrivals:
        terminal = free.get()  # who finds none free waits, and that counts from when they came
        threads.append(threading.Thread(target=take, args=(terminal, next(people), came)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    return visits


def _at_once(until: float) -> Iterator[float]:
    while (now := time.time()) < until:
        yield now


def _by_chance(until: float, rate: float) -> Iterator[float]:
    came = time.time()
    while (came := came + random.expovariate(rate)) < until:
        time.sleep(max(0.0, came - time.time()))
        yield came


def _read(words: list[str]) -> tuple[str, str, Path]:
    server, simulator, secrets = words
    return server, simulator, Path(secrets)


if __name__ == "__main__":
    main(*_read(sys.argv[1:]))
