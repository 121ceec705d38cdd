"""What of the trail is put beside what, and what it has to reach."""

import statistics
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.benchmarks.apart import asked
from tests.benchmarks.lines import Line, fewer
from tests.benchmarks.paired import Quartiles, Rounds
from tests.benchmarks.trail.scratch import SQLITE
from tests.house import postgresql

MILLION: Final = 1_000_000
EVENTS: Final = {"quick": 200_000, "full": MILLION}  # sealed, exported and verified
LISTED: Final = {"quick": 300_000, "full": 5 * MILLION}
WRITING: Final = {"quick": 5, "full": 27}  # rounds
SAVING: Final = {"quick": 5, "full": 27}
READING: Final = {"quick": 5, "full": 9}
COPYING: Final = {"quick": 5, "full": 15}
PAGES: Final = {"quick": 15, "full": 40}  # of each kind


def lines(profile: str, server: str) -> Iterator[Line]:
    """Measure all of it; yield each line as soon as it is known."""
    with postgresql(server) as url:
        yield from _writing(url, rounds=WRITING[profile])
    with postgresql(server) as url:
        yield from _saving(url, "PostgreSQL", rounds=SAVING[profile])
    with postgresql(server) as url, tempfile.TemporaryDirectory() as var:
        yield from _kept(url, Path(var) / "log.pem", profile)


def on_sqlite(profile: str) -> Iterator[Line]:
    """Measure what can be where there is no PostgreSQL."""
    yield from _saving(SQLITE, "SQLite", rounds=SAVING[profile])
    rounds = COPYING[profile]
    found = Rounds(asked("trail.portable", rounds))
    how = f"cpu, {rounds} rounds, SQLite"
    # Seconds of theirs ÷ seconds of ours: our lines ÷ theirs.
    faster = found.ratio("iterator", "table")
    yield Line("P19", "CSV_lines_a_second/iterator", faster, how)


def _writing(url: str, *, rounds: int) -> Iterator[Line]:
    for writers, seconds in asked("trail.writing", url, rounds).items():
        found, w = Rounds(seconds), "" if writers == "1" else f"w{writers}"
        how = f"clock, {len(found)} rounds, {writers} writing, PostgreSQL"
        # Seconds of theirs ÷ seconds of ours: our transactions ÷ theirs.
        yield Line(f"T1{w}", "recorded/plain", found.ratio("plain", "ours"), how)
        yield Line(f"T1g{w}", "held/plain", found.ratio("plain", "held"), how)
        yield Line(f"T1s{w}", "statement/plain", found.ratio("plain", "statement"), how)
        yield Line(f"T1h{w}", "recorded/heap", found.ratio("heap", "ours"), how)
        yield Line(f"T2{w}", "recorded/chained", found.ratio("chain", "ours"), how)
        rates = {name: 1 / statistics.median(took) for name, took in seconds.items()}
        _print(f"{writers} writing", rates, "/s")


def _saving(url: str, where: str, *, rounds: int) -> Iterator[Line]:
    found = Rounds(asked("trail.saving", url, rounds))
    how = f"cpu, {len(found)} rounds, {where}"
    for letter, act in (("c", "create"), ("u", "update")):
        ours = f"{act} ours"
        yield Line(f"T3{letter}", f"{act}/bare", found.ratio(ours, f"{act} bare"), how)
        for suffix, library in (("a", "auditlog"), ("h", "simple_history")):
            ratio = found.ratio(ours, f"{act} {library}")
            yield Line(f"T3{letter}{suffix}", f"{act}/{library}, {where}", ratio, how)
    _print(where, {name: found.microseconds(name) for name in found.seconds}, " µs")


def _kept(url: str, key: Path, profile: str) -> Iterator[Line]:
    """One trail: sealed, verified, exported, and then as long as it ever gets."""
    rates = asked("trail.sealing", url, EVENTS[profile], key)
    how = f"of cpu, {len(rates)} transactions, PostgreSQL"
    yield Line("T4", "events sealed", Quartiles.of(rates), how, "/s")
    yield from _verifying(url, key, READING[profile])
    yield from _exporting(url, EVENTS[profile], READING[profile])
    yield from _listing(url, key, LISTED[profile], PAGES[profile])


def _verifying(url: str, key: Path, rounds: int) -> Iterator[Line]:
    found = asked("trail.verifying", url, key, rounds)
    events, news = found["events"], found["news"]
    how = f"cpu, {rounds} rounds, PostgreSQL"
    at_once = Quartiles.of([took / events * MILLION for took in found["whole"]])
    by_second = Quartiles.of([took / news * MILLION for took in found["day"]])
    yield Line("T5", "verify 1M, signed at once", at_once, how, "s")
    yield Line("T5s", "verify 1M, by the second", by_second, how, "s")
    day = Quartiles.of(found["day"])
    yield Line("T5i", f"verify {news:,} more", day, f"{how}, {events:,} before", "s")
    how = f"peak, {events:,} events"
    yield Line.one("T5m", "memory to verify", found["peak"], how, unit="MiB", note=_fewer(events))


def _exporting(url: str, events: int, rounds: int) -> Iterator[Line]:
    found = asked("trail.exporting", url, rounds)
    rates = Rounds(found["rates"])
    how = f"of cpu, {rounds} rounds, PostgreSQL"
    pace = Quartiles.of(found["rates"]["table"])
    yield Line("T6", "CSV lines exported", pace, how, "/s")
    for name_id, peer in (("T6c", "copy"), ("T6o", "iterator")):
        yield Line(name_id, f"CSV_lines_a_second/{peer}", rates.ratio("table", peer), how)
    how = f"clock, {rounds} rounds, PostgreSQL"
    yield Line("T6f", "to the first line", Quartiles.of(found["firsts"]), how, "s")
    how, note = f"on top of what there was, {events:,} events", _fewer(events)
    yield Line.one("T6m", "memory to export", found["grown"], how, unit="MiB", note=note)
    if not note:
        how = "a million's peak less 10,000's"
        yield Line.one("P18", "memory a million takes more", found["more"], how, unit="MiB")
        how = f"clock, {rounds} rounds, PostgreSQL"
        yield Line("P18f", "first_line/whole_time", Quartiles.of(found["waits"]), how, "%")


def _listing(url: str, key: Path, events: int, pages: int) -> Iterator[Line]:
    found = asked("trail.listing", url, key, events, pages)
    p95 = {
        name: statistics.quantiles(took, n=20, method="inclusive")[-1]
        for name, took in found.items()
    }
    worst = max(p95, key=lambda name: p95[name])
    how = f"p95 of {pages} by {worst}, {events:,} events, PostgreSQL"
    note = _fewer(events, goal=LISTED["full"])
    yield Line.one("T7", "a page of the list", p95[worst], how, unit="ms", note=note)
    _print("p95 of a page", p95, " ms")


def _fewer(events: int, *, goal: int = MILLION) -> str:
    return fewer(events, of="events", goal=goal)


def _print(what: str, figures: dict[str, float], unit: str) -> None:
    print(f"{what}:", "; ".join(f"{name} {one:.0f}{unit}" for name, one in figures.items()))
