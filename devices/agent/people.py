"""Who comes next: synthetic passers-by for the simulator, or whoever stands at the console."""

import queue
import random
import secrets
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

from devices.agent.api import Notice

STRANGERS = 1_000_000  # the simulator makes up this many
REMEMBERED = 200  # people who may come a second time
TICK = 1.0  # seconds between two looks at what else there is to do
YES = ("y", "yes", "是", "同意")


def nothing() -> None:
    """Do what there is to do meanwhile."""


class Left(Exception):
    """The person went away without an answer to the notice."""


@dataclass(frozen=True)
class Agreement:
    """
    A yes to the notice, and to which of its purposes (by code).

    :ivar on_request: they said no lately, and now want it themselves
    """

    purposes: frozenset[str]
    on_request: bool = False


class Guests(Protocol):
    """Those who come to a terminal, one after the other."""

    def arrive(self, meanwhile: Callable[[], None] = nothing) -> bool:
        """
        Bring the next one in front of the camera; False when nobody comes any more.

        :param meanwhile: called about once a second for as long as somebody is waited for,
            now and, where a person takes their time, during the visit as well
        """

    def consent(self, notice: Notice) -> bool | Agreement:
        """
        Show the one who is there the notice; return whether, or to what, they agree.

        :raises Left: they went away
        """


@dataclass(frozen=True)
class Person:
    """
    Somebody the simulator knows.

    :ivar id: of the simulator's cast, or `stranger-<n>`
    :ivar agrees: to the notice
    """

    id: str
    agrees: bool = True


class Synthetic:
    """People out of an iterator: `face` is who the simulator's camera sees now."""

    def __init__(self, people: Iterator[Person]) -> None:
        self._people = people
        self._person = Person("")

    def arrive(self, meanwhile: Callable[[], None] = nothing) -> bool:
        person = next(self._people, None)
        if person is None:
            return False
        self._person = person
        return True

    def consent(self, notice: Notice) -> bool:
        return self._person.agrees

    def face(self) -> str:
        return self._person.id


class AtConsole:
    """
    A real person, at a terminal that has a keyboard.

    :param typed: what is typed, a line after the other
    """

    def __init__(self, say: Callable[[str], None], *, typed: Iterator[str] | None = None) -> None:
        self._say = say
        self._typed = _Keyboard(_typed() if typed is None else typed)
        self._meanwhile = nothing

    def arrive(self, meanwhile: Callable[[], None] = nothing) -> bool:
        self._meanwhile = meanwhile
        self._say("按回车开始下一位，输入 q 结束：")
        return self._typed.line(meanwhile) not in ("q", None)

    def consent(self, notice: Notice) -> bool:
        self._say(f"\n{notice.title}\n\n{notice.text}\n")
        for purpose in notice.purposes:
            self._say(f"· {purpose.label}{'' if purpose.required else '（可选，本次不勾选）'}")
        self._say(f"\n不同意也可以办理：{notice.fallback}\n同意请输入 y：")
        return self._typed.line(self._meanwhile) in YES


class _Keyboard:
    """Reads on a thread of its own, so that there is time for something else meanwhile."""

    def __init__(self, typed: Iterator[str]) -> None:
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._typed = typed
        self._reader: threading.Thread | None = None

    def line(self, meanwhile: Callable[[], None]) -> str | None:
        if self._reader is None:
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        while True:
            with suppress(queue.Empty):
                line = self._lines.get(timeout=TICK)
                if line is None:
                    self._lines.put(None)  # nobody will type any more, however often one asks
                return line
            meanwhile()

    def _read(self) -> None:
        for line in self._typed:
            self._lines.put(line.strip().lower())
        self._lines.put(None)


def stranger() -> Person:
    """Return somebody who has most likely never been here."""
    return Person(f"stranger-{secrets.randbelow(STRANGERS)}")


def passers_by(rng: random.Random) -> Iterator[Person]:
    """
    Yield people without end: a stranger first, then a lobby's usual mixture.

    Of a hundred some 70 are new, 12 come again, 8 refuse the notice, 6 say no on WeChat's
    screen and 4 are under 14.
    """
    been_here: deque[Person] = deque(maxlen=REMEMBERED)
    while True:
        kinds = ("new", "again", "refuses", "declines", "minor") if been_here else ("new",)
        match rng.choices(kinds, weights=(70, 12, 8, 6, 4)[: len(kinds)])[0]:
            case "again":
                yield rng.choice(been_here)
            case "refuses":
                yield Person(stranger().id, agrees=False)
            case "declines":
                yield Person("decliner")
            case "minor":
                yield Person("minor")
            case _:
                been_here.append(stranger())
                yield been_here[-1]


def _typed() -> Iterator[str]:
    # Unbuffered: at exit the interpreter would wait for the lock of a buffer somebody reads.
    with open(0, "rb", buffering=0, closefd=False) as keyboard:
        for line in keyboard:
            yield line.decode(sys.stdin.encoding, "replace")
