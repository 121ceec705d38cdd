"""
What answering a terminal costs beside a bare view, under the same server in the same run.

Only the server's CPU decides, as everywhere here; answers per second and waiting times are
printed beside it, and depend on what else the machine does.
"""

import gc
import itertools
import random
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import httpx

from devices.agent import keys
from devices.agent.signing import TerminalAuth
from tests.benchmarks.lines import Goal, Line
from tests.benchmarks.paired import LEAST, Quartiles, Rounds
from tests.benchmarks.scene import RAWDATA
from tests.benchmarks.servers import Served, Site
from tests.benchmarks.visitors import CONNECTIONS, Visit

AUTHINFO, HEARTBEAT, DRF, DJANGO = "authinfo", "heartbeat", "bare DRF", "bare Django"
WARM_UP = 400  # questions: keys, connections, caches, every terminal twice
SLICE = 0.15  # seconds on the clock
SLICES = 5  # for each contestant, in a round

OF_DRF = Goal(0.60, at_least=True)
TAIL = Goal(3.0)

Ask = Callable[[], bytes]


@dataclass(frozen=True)
class Contestant:
    """Who answers, and what it is asked: a new question each time, since a signature works once."""

    served: Served
    question: Ask

    def answer(self, count: int) -> tuple[float, Visit]:
        """Return the CPU seconds it took to answer so many at once, and how the askers fared."""
        questions = [self.question() for _ in range(count)]
        before = self.served.cpu()
        visit = self.served.visitors.ask(questions)
        return self.served.cpu() - before, visit

    def warm_up(self) -> int:
        """Return how many it answers in a slice."""
        self.answer(WARM_UP)
        _, visit = self.answer(WARM_UP // 2)
        return max(2 * CONNECTIONS, round(SLICE * visit.rate))


@dataclass(frozen=True)
class Figures:
    """What came of it, by contestant, round by round."""

    cpu: Rounds
    rates: Mapping[str, list[float]]  # answers per second
    tails: Mapping[str, list[float]]  # p99 ÷ p50
    middles: Mapping[str, list[float]]  # p50, seconds

    @classmethod
    def of(cls, names: list[str]) -> "Figures":
        cpu, *others = ({name: [] for name in names} for _ in range(4))
        return cls(Rounds(cpu), *others)

    def add(self, name: str, answers: list[tuple[float, Visit]]) -> None:
        took = [latency for _, visit in answers for latency in visit.latencies]
        percentiles = statistics.quantiles(took, n=100)
        self.cpu.seconds[name].append(sum(cpu for cpu, _ in answers) / len(took))
        self.rates[name].append(len(took) / sum(visit.seconds for _, visit in answers))
        self.tails[name].append(percentiles[98] / percentiles[49])
        self.middles[name].append(percentiles[49])

    def summary(self, name: str) -> str:
        rate, middle = statistics.median(self.rates[name]), statistics.median(self.middles[name])
        cpu = self.cpu.microseconds(name)
        return f"{name} {rate:.0f}/s (p50 {middle * 1e3:.0f} ms, {cpu:.0f} µs of CPU)"

    @property
    def is_noisy(self) -> bool:
        return any(line.verdict == "NOISY" for line in lines(self, judged=True, where=""))


def measure(contestants: Mapping[str, Contestant], *, rounds: int) -> Figures:
    """Warm all up, then let all answer in each round; once more as long if that told nothing."""
    counts = {name: one.warm_up() for name, one in contestants.items()}
    figures = Figures.of(list(contestants))
    gc.collect()
    gc.disable()
    try:
        for number in range(2 * max(rounds, LEAST)):
            if number == max(rounds, LEAST) and not figures.is_noisy:
                break
            _round(contestants, counts, figures)
            gc.collect()
    finally:
        gc.enable()
    return figures


def lines(figures: Figures, *, judged: bool, where: str) -> Iterator[Line]:
    """Return the ratios; where they are not `judged` they have no goal."""
    count = len(figures.cpu)
    drf, tail = (OF_DRF, TAIL) if judged else (None, None)
    cpu, clock = f"server's cpu, {count} rounds, {where}", f"clock, {count} rounds, {where}"
    yield Line("A1", "authinfo/bare_drf", figures.cpu.ratio(DRF, AUTHINFO), drf, cpu)
    yield Line("A2", "heartbeat/bare_drf", figures.cpu.ratio(DRF, HEARTBEAT), None, cpu)
    yield Line("A3", "authinfo/bare_django", figures.cpu.ratio(DJANGO, AUTHINFO), None, cpu)
    yield Line("A4", "authinfo_p99/p50", Quartiles.of(figures.tails[AUTHINFO]), tail, clock)
    yield Line("A5", "heartbeat_p99/p50", Quartiles.of(figures.tails[HEARTBEAT]), None, clock)


def contestants(site: Site) -> dict[str, Contestant]:
    terminals = site.secrets["terminals"]
    signers = [TerminalAuth(keys.from_pem(one["key"].encode()), one["key_id"]) for one in terminals]
    serials = itertools.cycle([one["serial"] for one in terminals])
    token = {"Authorization": f"Token {site.secrets['token']}"}
    asked = {"rawdata": RAWDATA}
    return {
        AUTHINFO: Contestant(site.project, _signed(signers, "/api/v1/authinfo/", lambda: asked)),
        HEARTBEAT: Contestant(site.project, _signed(signers, "/api/v1/heartbeat/", _beat)),
        DRF: Contestant(
            site.reference, lambda: _raw(_request(f"/token/{next(serials)}/", asked, token))
        ),
        DJANGO: Contestant(site.reference, lambda: _raw(_request("/bare/", asked))),
    }


def _round(
    contestants: Mapping[str, Contestant], counts: Mapping[str, int], figures: Figures
) -> None:
    answers: dict[str, list[tuple[float, Visit]]] = {name: [] for name in contestants}
    for name in random.sample(list(contestants) * SLICES, len(contestants) * SLICES):
        answers[name].append(contestants[name].answer(counts[name]))
    for name, given in answers.items():
        figures.add(name, given)


def _signed(signers: list[TerminalAuth], path: str, body: Callable[[], object]) -> Ask:
    turns = itertools.cycle(signers)
    return lambda: _raw(next(next(turns).auth_flow(_request(path, body()))))


def _beat() -> object:
    return {
        "agent_version": "1.0.0",
        "sdk_version": "1.26.0",
        "os": "Windows 10 21H2",
        "camera": "ready",
        "clock": time.time(),
    }


def _request(path: str, body: object, headers: Mapping[str, str] | None = None) -> httpx.Request:
    return httpx.Request("POST", f"http://127.0.0.1{path}", json=body, headers=headers)


def _raw(request: httpx.Request) -> bytes:
    """Return a request as it goes over the wire."""
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    path = request.url.raw_path.decode()
    return f"{request.method} {path} HTTP/1.1\r\n{head}\r\n".encode() + request.content
