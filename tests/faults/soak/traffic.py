"""People at terminals, for as long as it lasts; and a log of what they were promised."""

import json
import random
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from devices.agent.api import Problem, Unreachable
from devices.sdk.errors import SDKError
from tests.faults.hospital import WEBS, Hospital, Terminal
from tests.faults.oracle import PROMISED, TRIED, Word, waiting
from tests.house import Visit

PAUSE = (1.0, 3.0)  # seconds between two people at one terminal; at a real one it takes ten
AGAIN = 0.15  # of those who come, who came before: at another terminal, perhaps this very moment


@dataclass
class Traffic:
    """Terminals in threads of their own. What they log is on disk before they go on."""

    hospital: Hospital
    log: Path
    terminals: int
    seed: int
    words: list[Word] = field(default_factory=list)
    _next: int = 0
    _over: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def threads(self) -> list[threading.Thread]:
        return [threading.Thread(target=self._serve, args=(n,)) for n in range(self.terminals)]

    def stop(self) -> None:
        self._over.set()

    def promised(self) -> set[str]:
        """Return the sessions that were answered with 202 so far."""
        with self._lock:
            return {word.session for word in self.words if word.kind == PROMISED}

    def waiting(self) -> set[str]:
        """Return those of them that nobody has dealt with yet."""
        with self._lock:
            words = list(self.words)
        return waiting(words, self.hospital.services.database.url)

    def _serve(self, number: int) -> None:
        dice = random.Random(self.seed * 1000 + number)
        while not self._over.is_set():
            try:
                with self.hospital.terminal(WEBS[number % len(WEBS)]) as terminal:
                    while not self._over.is_set():
                        self._receive(terminal, self._somebody(dice))
                        self._over.wait(dice.uniform(*PAUSE))
            except (Problem, Unreachable, SDKError, httpx.HTTPError):
                self._over.wait(0.5)  # they go away; who was promised nothing, is owed nothing

    def _somebody(self, dice: random.Random) -> str:
        with self._lock:
            if self._next > 2 and dice.random() < AGAIN:
                return f"stranger-{dice.randrange(max(0, self._next - 6), self._next)}"
            self._next += 1
            return f"stranger-{self._next - 1}"

    def _receive(self, terminal: Terminal, person: str) -> None:
        visit = terminal.visit(person, told=lambda visit: self._write(TRIED, visit))
        if visit is not None:
            self._write(PROMISED, visit)

    def _write(self, kind: str, visit: Visit) -> None:
        word = Word(kind, visit.session, visit.person, visit.face_sid)
        with self._lock, self.log.open("a") as log:
            self.words.append(word)
            log.write(json.dumps(asdict(word)) + "\n")
