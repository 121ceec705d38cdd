"""Who comes next: synthetic passers-by for the simulator, or whoever stands at the console."""

import random
import secrets
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from devices.agent.api import Notice

STRANGERS = 1_000_000  # the simulator makes up this many
REMEMBERED = 200  # people who may come a second time
YES = ("y", "yes", "是", "同意")


class Guests(Protocol):
    """Those who come to a terminal, one after the other."""

    def arrive(self) -> bool:
        """Bring the next one in front of the camera; False when nobody comes any more."""

    def consent(self, notice: Notice) -> bool:
        """Show the one who is there the notice; return whether they agree."""


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

    def arrive(self) -> bool:
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
    """A real person, at a terminal that has a keyboard."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def arrive(self) -> bool:
        self._say("按回车开始下一位，输入 q 结束：")
        return _typed() not in ("q", None)

    def consent(self, notice: Notice) -> bool:
        self._say(f"\n{notice.title}\n\n{notice.text}\n")
        for purpose in notice.purposes:
            self._say(f"· {purpose.label}{'' if purpose.required else '（可选，本次不勾选）'}")
        self._say(f"\n不同意也可以办理：{notice.fallback}\n同意请输入 y：")
        return _typed() in YES


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


def _typed() -> str | None:
    try:
        return input().strip().lower()
    except EOFError:
        return None
