"""Who breaks things: one fault after the other, each healed before the next, from one seed."""

import random
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import psycopg

from tests.faults.hospital import WEBS, WORKERS, Hospital
from tests.faults.servers import Service
from tests.faults.soak.traffic import Traffic

LONGER_THAN_A_LEASE = 12.0  # seconds a process is hung now and then
ALONG = 0.3  # of all other faults, those that come with the death of a process
BAD_WEATHER = ("slow", "down", "forged", "reset", "unsigned")
READY = " ready."  # as Celery says it once it takes messages
WORKING = 60.0  # seconds until a worker works that was just started
NOTICED = 60.0  # seconds after which a wedged worker is not waited for any longer

# One round, which is dealt like a pack of cards: whatever the seed, each of these so often.
ROUND = {
    "kill worker": 5,
    "kill web": 3,
    "kill beat": 1,
    "kill notary": 1,
    "kill everything": 1,
    "hang worker": 1,
    "wedge workers": 1,
    "restart broker": 1,
    "broker away": 1,
    "flush broker": 1,
    "hang broker": 1,
    "restart cache": 1,
    "flush cache": 1,
    "restart database": 2,
    "cut connections": 1,
    "weather": 2,
}
LENGTH = sum(ROUND.values())


def rounds(dice: random.Random) -> Iterator[str]:
    """Yield the names of faults, for ever: what comes when is the seed's alone."""
    while True:
        pack = [name for name, count in ROUND.items() for _ in range(count)]
        dice.shuffle(pack)
        yield from pack


@dataclass(frozen=True)
class Wedge:
    """
    Seconds after every line to the broker went dead; None: never, or not before it was mended.

    :ivar started: seconds that two workers took to start on this machine, as busy as it was
    """

    started: float | None
    noticed: float | None  # by the worker that took nothing; None too if its line was missed
    mended: float | None  # somebody who came later is dealt with


@dataclass
class Nemesis:
    """What it did is counted: `killed` are processes and servers, however they were ended."""

    hospital: Hospital
    traffic: Traffic
    seed: int
    keeps_up: tuple[str, ...]  # what runs when nothing is broken
    done: Counter[str] = field(default_factory=Counter)
    killed: Counter[str] = field(default_factory=Counter)
    wedges: list[Wedge] = field(default_factory=list)
    revived: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self._rounds = rounds(random.Random(self.seed))

    def strike(self) -> str:
        """Do one thing, heal it, and return its name."""
        name = next(self._rounds)
        began = time.monotonic()
        if not name.startswith(("kill", "wedge")) and self.dice.random() < ALONG:
            self._kill(self.dice.choice((*WORKERS, *WEBS)))
        self._faults[name]()
        self.done[name] += 1
        with (self.hospital.place.logs / "faults").open("a") as log:
            log.write(f"{time.strftime('%H:%M:%S')} {name} {time.monotonic() - began:.1f} s\n")
        return name

    def look_after(self, *, seconds: float) -> None:
        """What systemd does meanwhile: start what ended."""
        until = time.monotonic() + seconds
        while True:
            self.revived.update(self.hospital.revive())
            if time.monotonic() >= until:
                return
            time.sleep(min(0.2, max(0.0, until - time.monotonic())))

    def calm_down(self) -> None:
        """Leave nothing broken."""
        self.hospital.clear_weather()
        for service in (self._broker, self._cache, self.hospital.services.database):
            service.go_on()
        self.hospital.up(*self.keeps_up)

    @property
    def _faults(self) -> dict[str, Callable[[], None]]:
        return {
            "kill worker": lambda: self._kill(self.dice.choice(WORKERS)),
            "kill web": lambda: self._kill(self.dice.choice(WEBS)),
            "kill beat": lambda: self._kill("beat"),
            "kill notary": lambda: self._kill("notary"),
            "kill everything": self._kill_everything,
            "hang worker": self._hang_worker,
            "wedge workers": self._wedge,
            "restart broker": lambda: self._restart(self._broker, away=0),
            "broker away": lambda: self._restart(self._broker, away=5),
            "flush broker": self.hospital.services.broker.flush,
            "hang broker": lambda: self._hang(self._broker),
            "restart cache": lambda: self._restart(self._cache, away=0.5),
            "flush cache": self.hospital.services.cache.flush,
            "restart database": self._restart_database,
            "cut connections": self._cut,
            "weather": self._weather,
        }

    @property
    def _broker(self) -> Service:
        return self.hospital.services.broker

    @property
    def _cache(self) -> Service:
        return self.hospital.services.cache

    def _end(self, name: str) -> None:
        self.hospital.kill(name)
        self.killed[name] += 1

    def _kill(self, name: str) -> None:
        if name not in self.keeps_up:  # there is no beat where nobody sweeps
            return
        self._end(name)
        time.sleep(self.dice.uniform(0, 1))
        self.hospital.start(name)

    def _kill_everything(self) -> None:
        for name in self.keeps_up:
            self._end(name)
        for name in self.keeps_up:
            self.hospital.start(name)

    def _hang_worker(self) -> None:
        name = self.dice.choice(WORKERS)
        self.hospital.hang(name)
        time.sleep(LONGER_THAN_A_LEASE)
        self.hospital.go_on(name)

    def _wedge(self) -> None:
        """Let every worker's line to the broker go dead: alive, green, and nothing comes."""
        up = {name: self.hospital.said(READY, name) for name in WORKERS}
        for name in WORKERS:
            self._end(name)
            self.hospital.connect_by_line(name)
        started = self._seconds_until(
            lambda: all(self.hospital.said(READY, name) > up[name] for name in WORKERS),
            at_most=WORKING,
        )
        self._seconds_until(self._somebody_new_is_done(), at_most=WORKING)
        before = self.hospital.noticed()
        self.hospital.line.cut()
        began = time.monotonic()
        self.look_after(seconds=1)  # whose message was through already is no proof
        is_done = self._somebody_new_is_done()
        noticed = self._seconds_until(
            lambda: self.hospital.noticed() > before or is_done(), at_most=NOTICED, since=began
        )
        if self.hospital.noticed() == before:
            noticed = None
        mended = self._seconds_until(is_done, at_most=NOTICED, since=began)
        self.wedges.append(Wedge(started, noticed, mended))

    def _somebody_new_is_done(self) -> Callable[[], bool]:
        """Return whether somebody is dealt with who was promised something from now on."""
        before = set(self.traffic.promised())

        def is_done() -> bool:
            later = set(self.traffic.promised()) - before
            return bool(later - self.traffic.waiting())

        return is_done

    def _seconds_until(
        self, fact: Callable[[], bool], *, at_most: float, since: float | None = None
    ) -> float | None:
        began = time.monotonic() if since is None else since
        while not fact():
            if time.monotonic() > began + at_most:
                return None
            self.look_after(seconds=0.2)
        return round(time.monotonic() - began, 1)

    def _restart(self, service: Service, *, away: float) -> None:
        service.kill()
        self.killed[service.name] += 1
        time.sleep(self.dice.uniform(away / 2, away))
        service.start()

    def _hang(self, service: Service) -> None:
        service.hang()
        time.sleep(self.dice.uniform(1, 5))
        service.go_on()

    def _restart_database(self) -> None:
        self.hospital.services.database.restart_at_once()
        self.killed["postgresql"] += 1

    def _cut(self) -> None:
        try:
            self.hospital.drop_connections()
        except psycopg.OperationalError:  # it cut the line it was said on
            return

    def _weather(self) -> None:
        name = self.dice.choice(BAD_WEATHER)
        self.hospital.weather(name, times=self.dice.randint(1, 6), endpoint="users", seconds=2)
