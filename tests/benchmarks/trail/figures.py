"""What of the trail is put beside what, and what it has to reach."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks.lines import Goal, Line
from tests.benchmarks.paired import Quartiles, Rounds
from tests.benchmarks.trail.scratch import SQLITE, asked
from tests.house import postgresql

MILLION: Final = 1_000_000
EVENTS: Final = {"quick": 50_000, "full": MILLION}  # sealed, exported and verified
LISTED: Final = {"quick": 200_000, "full": 5 * MILLION}
WRITING: Final = {"quick": 9, "full": 27}  # rounds
SAVING: Final = {"quick": 9, "full": 27}
READING: Final = {"quick": 3, "full": 5}
PAGES: Final = {"quick": 15, "full": 40}  # of each kind

OF_PLAIN: Final = Goal(0.85, at_least=True)
OF_CHAINED: Final = Goal(1.5, at_least=True)
NO_SLOWER: Final = Goal(1.0)
SEALED: Final = Goal(20_000, at_least=True)  # a second
VERIFIED: Final = Goal(60)  # seconds
A_DAY: Final = Goal(2)
TO_VERIFY: Final = Goal(200)  # MiB
EXPORTED: Final = Goal(250_000, at_least=True)  # lines a second
AT_ONCE: Final = Goal(1)  # second
TO_EXPORT: Final = Goal(60)  # MiB
SHOWN: Final = Goal(300)  # milliseconds


def lines(profile: str, server: str) -> Iterator[Line]:
    """Measure all of it; yield each line as soon as it is known."""
    with postgresql(server) as url:
        yield from _writing(url, rounds=WRITING[profile])
    with postgresql(server) as url:
        yield from _saving(url, "PostgreSQL", rounds=SAVING[profile])
    yield from on_sqlite(profile)
    with postgresql(server) as url, tempfile.TemporaryDirectory() as var:
        yield from _kept(url, Path(var) / "log.pem", profile)


def on_sqlite(profile: str) -> Iterator[Line]:
    """Measure what can be where there is no PostgreSQL."""
    yield from _saving(SQLITE, "SQLite", rounds=SAVING[profile])


def _writing(url: str, *, rounds: int) -> Iterator[Line]:
    for writers, seconds in asked("writing", url, rounds).items():
        found, w = Rounds(seconds), "" if writers == "1" else f"w{writers}"
        how = f"clock, {len(found)} rounds, {writers} writing, PostgreSQL"
        # Seconds of theirs ÷ seconds of ours: our transactions ÷ theirs.
        yield Line(f"T1{w}", "recorded/plain", found.ratio("plain", "ours"), OF_PLAIN, how)
        yield Line(f"T1g{w}", "held/plain", found.ratio("plain", "held"), None, how)
        yield Line(f"T1s{w}", "statement/plain", found.ratio("plain", "statement"), None, how)
        yield Line(f"T1h{w}", "recorded/heap", found.ratio("heap", "ours"), None, how)
        goal = OF_CHAINED if w else None
        yield Line(f"T2{w}", "recorded/chained", found.ratio("chain", "ours"), goal, how)
        rates = {name: 1 / statistics.median(took) for name, took in seconds.items()}
        _print(f"{writers} writing", rates, "/s")


def _saving(url: str, where: str, *, rounds: int) -> Iterator[Line]:
    found = Rounds(asked("saving", url, rounds))
    how = f"cpu, {len(found)} rounds, {where}"
    for letter, act in (("c", "create"), ("u", "update")):
        ours = f"{act} ours"
        yield Line(f"T3{letter}", f"{act}/bare", found.ratio(ours, f"{act} bare"), None, how)
        for suffix, library in (("a", "auditlog"), ("h", "simple_history")):
            ratio = found.ratio(ours, f"{act} {library}")
            yield Line(f"T3{letter}{suffix}", f"{act}/{library}", ratio, NO_SLOWER, how)
    _print(where, {name: found.microseconds(name) for name in found.seconds}, " µs")


def _kept(url: str, key: Path, profile: str) -> Iterator[Line]:
    """One trail: sealed, verified, exported, and then as long as it ever gets."""
    rates = asked("sealing", url, EVENTS[profile], key)
    how = f"a second of cpu, {len(rates)} transactions, PostgreSQL"
    yield Line("T4", "events sealed", Quartiles.of(rates), SEALED, how)
    yield from _verifying(url, key, READING[profile])
    yield from _exporting(url, READING[profile])
    yield from _listing(url, key, LISTED[profile], PAGES[profile])


def _verifying(url: str, key: Path, rounds: int) -> Iterator[Line]:
    found = asked("verifying", url, key, rounds)
    events, news = found["events"], found["news"]
    how = f"seconds of cpu, {rounds} rounds, PostgreSQL"
    at_once = Quartiles.of([took / events * MILLION for took in found["whole"]])
    by_second = Quartiles.of([took / news * MILLION for took in found["day"]])
    yield Line("T5", "verify 1M, signed at once", at_once, VERIFIED, how)
    yield Line("T5s", "verify 1M, by the second", by_second, None, how)
    day = Quartiles.of(found["day"])
    yield Line("T5i", f"verify {news:,} more", day, A_DAY, f"{how}, {events:,} before")
    yield _one("T5m", "MiB to verify", found["peak"], TO_VERIFY, f"peak, {events:,} events")


def _exporting(url: str, rounds: int) -> Iterator[Line]:
    found = asked("exporting", url, rounds)
    how = f"a second of cpu, {rounds} rounds, PostgreSQL"
    yield Line("T6", "CSV lines exported", Quartiles.of(found["rates"]), EXPORTED, how)
    firsts, how = Quartiles.of(found["firsts"]), f"clock, {rounds} rounds, PostgreSQL"
    yield Line("T6f", "seconds to the first", firsts, AT_ONCE, how)
    yield _one("T6m", "MiB to export", found["grown"], TO_EXPORT, "on top of what there was")


def _listing(url: str, key: Path, events: int, pages: int) -> Iterator[Line]:
    found = asked("listing", url, key, events, pages)
    p95 = {
        name: statistics.quantiles(took, n=20, method="inclusive")[-1]
        for name, took in found.items()
    }
    worst = max(p95, key=lambda name: p95[name])
    how = f"p95 of {pages} by {worst}, {events:,} events, PostgreSQL"
    yield _one("T7", "ms for a page of the list", p95[worst], SHOWN, how)
    _print("p95 of a page", p95, " ms")


def _one(name_id: str, name: str, found: float, goal: Goal, how: str) -> Line:
    return Line(name_id, name, Quartiles(found, found, found), goal, how)


def _print(what: str, figures: dict[str, float], unit: str) -> None:
    print(f"{what}:", "; ".join(f"{name} {one:.0f}{unit}" for name, one in figures.items()))
