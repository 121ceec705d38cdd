"""What WeChat does to us next: scenarios, each for a number of answers or until it is cleared."""

import math
import threading
from dataclasses import dataclass, replace
from typing import Any

from faceauth.simulator.scenarios import AUTHINFO, CERTIFICATES, SCENARIOS, USERS

DOCUMENT_TYPES = range(1, 13)  # 12 is none that WeChat has published
_LONGEST = 600  # seconds


class UnknownScenario(ValueError):
    """There is no such scenario, not at that endpoint, or not with those numbers."""


@dataclass(frozen=True, slots=True)
class Spell:
    """
    One scenario that was announced, and how often it has `played`.

    `times` 0 is until cleared, `device_id` "" every terminal; `seconds` is how late or how long,
    `value` the document type of credential-type, `retry_after` the header of rate-limited.
    """

    name: str
    times: int
    endpoints: frozenset[str]
    seconds: float = 3.0
    device_id: str = ""
    value: int = 1
    retry_after: str = "7"
    played: int = 0

    @property
    def left(self) -> int | None:
        """How many answers it still has, or None until it is cleared."""
        return self.times - self.played if self.times else None

    def is_at(self, endpoint: str, device_id: str) -> bool:
        """Return whether the next answer of `endpoint` is for it to spoil."""
        return self.left != 0 and endpoint in self.endpoints and self.device_id in ("", device_id)

    def told(self) -> dict[str, Any]:
        """Return it for a page to show."""
        return {
            "name": self.name,
            "label": SCENARIOS[self.name].label,
            "endpoints": sorted(self.endpoints),
            "device_id": self.device_id,
            "times": self.times,
            "played": self.played,
            "left": self.left,
            "seconds": self.seconds,
            "value": self.value,
            "retry_after": self.retry_after,
        }


class Weather:
    """The scenarios to come, in the order they were announced. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spells: list[Spell] = []

    def announce(
        self,
        name: str,
        *,
        times: int = 1,
        endpoint: str | None = None,
        seconds: float = 3.0,
        device_id: str | None = None,
        value: int | None = None,
        retry_after: str | float | None = None,
    ) -> None:
        """
        Play `name` for the next `times` answers, or with 0 until it is cleared.

        Without an `endpoint` it plays at authinfo and users, wherever it can be; the certificates
        are disturbed only by name, so that a scenario is not spent on a fetch nobody thought of.

        :raises UnknownScenario: there is no such scenario there
        """
        spell = Spell(
            name=name,
            times=times,
            endpoints=_endpoints(name, endpoint),
            seconds=seconds,
            device_id=device_id or "",
            value=1 if value is None else value,
            retry_after="7" if retry_after is None else str(retry_after),
        )
        if not _is_possible(spell):
            raise UnknownScenario(name)
        with self._lock:
            self._spells = [*filter(_shows, self._spells), spell]

    def at(self, endpoint: str, *, device_id: str = "") -> Spell | None:
        """Take what is to happen to the next answer of `endpoint`, for this terminal."""
        with self._lock:
            for index, spell in enumerate(self._spells):
                if spell.is_at(endpoint, device_id):
                    self._spells[index] = replace(spell, played=spell.played + 1)
                    return self._spells[index]
            if endpoint == CERTIFICATES:
                return next(filter(_lasts, self._spells), None)
        return None

    def active(self) -> list[Spell]:
        """Return what is still to come or still shows, in order."""
        with self._lock:
            return list(filter(_shows, self._spells))

    def clear(self, name: str | None = None) -> None:
        """End the scenario of that name, or every one."""
        with self._lock:
            self._spells = [spell for spell in self._spells if name not in (None, spell.name)]


def _endpoints(name: str, endpoint: str | None) -> frozenset[str]:
    scenario = SCENARIOS.get(name)
    if scenario is None:
        return frozenset()
    if endpoint is not None:
        return scenario.endpoints & {endpoint}
    return scenario.endpoints & {AUTHINFO, USERS} or scenario.endpoints


def _is_possible(spell: Spell) -> bool:
    return (
        bool(spell.endpoints)
        and spell.times >= 0
        and math.isfinite(spell.seconds)
        and 0 <= spell.seconds <= _LONGEST
        and spell.value in DOCUMENT_TYPES
        and spell.device_id.isprintable()
        and spell.retry_after.isascii()
        and spell.retry_after.isprintable()
    )


def _shows(spell: Spell) -> bool:
    return spell.left != 0 or _lasts(spell)


def _lasts(spell: Spell) -> bool:
    return SCENARIOS[spell.name].lasting and USERS in spell.endpoints
