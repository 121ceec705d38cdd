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
from uuid import uuid4

import httpx

from devices.agent import keys
from devices.agent.signing import TerminalAuth
from tests.benchmarks.lines import Line
from tests.benchmarks.paired import LEAST, Quartiles, Rounds
from tests.benchmarks.scene import RAWDATA
from tests.benchmarks.servers import Served, Site
from tests.benchmarks.visitors import CONNECTIONS, Visit

AUTHINFO, UNRECORDED, HEARTBEAT = "authinfo", "authinfo without its record", "heartbeat"
SUBMISSION, POLL = "submission", "poll"
DRF, DJANGO = "bare DRF", "bare Django"
CLOTHED_DRF, CLOTHED_DJANGO = "DRF in our middleware", "Django in our middleware"
WARM_UP = 400  # questions: keys, connections, caches, every terminal twice
SLICE = 0.15  # seconds on the clock
SLICES = 3  # for each contestant, in a round
A_VISIT_EACH = 2 * CONNECTIONS  # submissions in a slice, at most

# (id, name, whose CPU, beside whose)
RATIOS = (
    ("P1", "authinfo_unrecorded/bare_drf", UNRECORDED, DRF),
    ("P3", "submission/bare_drf", SUBMISSION, DRF),
    ("P5", "poll/bare_drf", POLL, DRF),
    ("P6", "middleware_and_log/bare_django", CLOTHED_DJANGO, DJANGO),
    ("P6d", "middleware_and_log/bare_drf", CLOTHED_DRF, DRF),
)

Ask = Callable[[], bytes]


@dataclass(frozen=True)
class Contestant:
    """Who answers, and what it is asked: a new question each time, since a signature works once."""

    served: Served
    question: Ask
    at_most: int = 100_000  # in a slice

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
        return min(self.at_most, max(2 * CONNECTIONS, round(SLICE * visit.rate)))


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
        return any(line.verdict == "NOISY" for line in _ratios(self, judged=True, where=""))


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


def submissions(rounds: int) -> int:
    """Return how many visits `measure` needs, at most."""
    return WARM_UP + WARM_UP // 2 + 2 * max(rounds, LEAST) * SLICES * A_VISIT_EACH


def lines(figures: Figures, *, judged: bool, where: str) -> Iterator[Line]:
    """Return the ratios; where they are not `judged` they have no goal."""
    yield from _ratios(figures, judged=judged, where=where)
    clock, of = f"clock, {len(figures.cpu)} rounds, {where}", figures.tails
    yield Line("A4", "authinfo_p99/p50", Quartiles.of(of[AUTHINFO]), clock, is_judged=judged)
    yield Line("A5", "heartbeat_p99/p50", Quartiles.of(of[HEARTBEAT]), clock)


def contestants(site: Site) -> dict[str, Contestant]:
    auths = signers(site)
    terminals = itertools.cycle(auths.values())
    serials = itertools.cycle(auths)
    token = {"Authorization": f"Token {site.token}"}
    asked = {"rawdata": RAWDATA}
    of = site.servers
    authinfo = _signed(terminals, "/api/v1/authinfo/", lambda: asked)

    def drf() -> bytes:
        return raw(_request(f"/token/{next(serials)}/", asked, token))

    def django() -> bytes:
        return raw(_request("/bare/", asked))

    return {
        AUTHINFO: Contestant(of["project"], authinfo),
        UNRECORDED: Contestant(of["unrecorded"], authinfo),
        HEARTBEAT: Contestant(of["project"], _signed(terminals, "/api/v1/heartbeat/", _beat)),
        SUBMISSION: Contestant(of["project"], submission(site), at_most=A_VISIT_EACH),
        POLL: Contestant(of["project"], _poll(site)),
        DRF: Contestant(of["reference"], drf),
        DJANGO: Contestant(of["reference"], django),
        CLOTHED_DRF: Contestant(of["clothed"], drf),
        CLOTHED_DJANGO: Contestant(of["clothed"], django),
    }


def signers(site: Site) -> dict[str, TerminalAuth]:
    """Return who signs for which terminal, by its serial."""
    return {
        one["serial"]: TerminalAuth(keys.from_pem(one["key"].encode()), one["key_id"])
        for one in site.terminals
    }


def submission(site: Site) -> Ask:
    """Return what says yes for the next visit, as a terminal's program says it."""
    auths = signers(site)

    def ask() -> bytes:
        session = next(site.sessions)
        path = f"/api/v1/face-sessions/{session['id']}/authorization/"
        once = {"Idempotency-Key": str(uuid4())}
        request = _request(path, {"return_code": "SUCCESS"}, once)
        return raw(next(auths[session["terminal"]].auth_flow(request)))

    return ask


def _poll(site: Site) -> Ask:
    """Return what asks how far a visit is, without waiting."""
    auths = signers(site)
    visits = itertools.cycle(list(itertools.islice(site.sessions, len(auths))))

    def ask() -> bytes:
        session = next(visits)
        request = httpx.Request("GET", f"http://127.0.0.1/api/v1/face-sessions/{session['id']}/")
        return raw(next(auths[session["terminal"]].auth_flow(request)))

    return ask


def _ratios(figures: Figures, *, judged: bool, where: str) -> Iterator[Line]:
    how, of = f"server's cpu, {len(figures.cpu)} rounds, {where}", figures.cpu.ratio
    yield Line("A1", "authinfo/bare_drf", of(DRF, AUTHINFO), how, is_judged=judged)
    yield Line("A2", "heartbeat/bare_drf", of(DRF, HEARTBEAT), how)
    yield Line("A3", "authinfo/bare_django", of(DJANGO, AUTHINFO), how)
    for name_id, name, one, other in RATIOS:
        yield Line(name_id, name, of(one, other), how, is_judged=judged)


def _round(
    contestants: Mapping[str, Contestant], counts: Mapping[str, int], figures: Figures
) -> None:
    answers: dict[str, list[tuple[float, Visit]]] = {name: [] for name in contestants}
    for name in random.sample(list(contestants) * SLICES, len(contestants) * SLICES):
        answers[name].append(contestants[name].answer(counts[name]))
    for name, given in answers.items():
        figures.add(name, given)


def _signed(turns: Iterator[TerminalAuth], path: str, body: Callable[[], object]) -> Ask:
    return lambda: raw(next(next(turns).auth_flow(_request(path, body()))))


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


def raw(request: httpx.Request) -> bytes:
    """Return a request as it goes over the wire."""
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    path = request.url.raw_path.decode()
    return f"{request.method} {path} HTTP/1.1\r\n{head}\r\n".encode() + request.content
