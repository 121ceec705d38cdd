"""
Every goal that was ever set for a figure, in one list. Nowhere else is a limit written.

A line of a run takes its goal from here, by its id; one without an entry is told and not judged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.paired import Quartiles


@dataclass(frozen=True)
class Goal:
    """What a figure must reach, or stay within."""

    figure: float
    at_least: bool = False

    def __str__(self) -> str:
        return f"goal{'>' if self.at_least else '<'}={self.figure:,.2f}"

    def verdict(self, found: Quartiles) -> str:
        """PASS or FAIL where three quarters of the rounds agree, else NOISY."""
        if self.at_least:
            met, missed = found.q1 >= self.figure, found.q3 < self.figure
        else:
            met, missed = found.q3 <= self.figure, found.q1 > self.figure
        return "PASS" if met else "FAIL" if missed else "NOISY"


@dataclass(frozen=True)
class Wanted:
    """
    One goal.

    :ivar what: of a ratio, what it is of and what stands beside it, with a stroke between
    :ivar part: which part of a run measures it; "" if none does
    :ivar of: the id of the line that does, if not this one's
    :ivar inverse: that line says how often the peer's is in ours, and the goal the reverse
    :ivar only_full: a quick run has too few rows for it to say anything
    :ivar instead: what tells it, if no run does
    :ivar why: what there is to say when it is missed
    """

    id: str
    what: str
    goal: Goal
    part: str = ""
    of: str = ""
    inverse: bool = False
    unit: str = "×"
    only_full: bool = False
    instead: str = ""
    why: str = ""

    @property
    def line(self) -> str:
        return self.of or self.id


def least(figure: float) -> Goal:
    return Goal(figure, at_least=True)


SIGNED: Final = "a signature checked, a nonce spent and a request counted are no token's"
WHOSE: Final = "whose key it is and under which merchant are looked up, and the event is put down"
TOGETHER: Final = "what PostgreSQL takes together goes together; the rest are look-ups and locks"
LIBRARIES: Final = "Celery, httpx and psycopg alone take what P10l says, and crypto the 1.00"
CELLS: Final = "a line is fifteen cells, ten guarded against formulas; \\copy has what lies there"
IDEAL: Final = "320 a second are ideal; few cores bear that many, PostgreSQL's share included"
CORES: Final = (
    "with two cores PostgreSQL, RabbitMQ and WeChat's stand-in take what a second one needs"
)
LAYERS: Final = (
    "a view that does nothing takes 0.1 ms; twenty layers and a line of log do not vanish"
)
THREE: Final = "three rows held to an event, and a message that RabbitMQ has confirmed"
SHARED: Final = "terminals that sign and the simulator share the cores"
SOAK: Final = "make soak, five seeds with each broker"
CONTROL: Final = "make soak SOAK_WITHOUT_SWEEPER=1, with each broker"
LOAD: Final = "make load"
DEMO: Final = "make demo ONCE=1 tells it"

WANTED: Final = (
    # Answering a terminal
    Wanted("P1", "authinfo kept, no record / DRF view", Goal(0.60), "terminals", why=SIGNED),
    Wanted(
        "P2",
        "authinfo kept, recorded / DRF view",
        Goal(1.15),
        "terminals",
        "A1",
        inverse=True,
        why=SIGNED,
    ),
    Wanted("P3", "submission / DRF view", Goal(1.7), "terminals", why=SIGNED),
    Wanted("P4", "submission, broker refuses / broker up", Goal(1.1), "brokers"),
    Wanted("P4h", "first submission, broker hangs", Goal(0.6), "brokers", unit="s"),
    Wanted("P4r", "those after it / broker up", Goal(1.1), "brokers"),
    Wanted("P5", "poll / DRF view", Goal(1.0), "terminals", why=SIGNED),
    Wanted("P6", "middleware and log / Django view", Goal(1.3), "terminals", why=LAYERS),
    Wanted("P6d", "middleware and log / DRF view", Goal(1.15), "terminals", why=LAYERS),
    Wanted("A1", "DRF view / authinfo kept, recorded", least(0.60), "terminals", why=SIGNED),
    Wanted("A4", "authinfo's p99 / its p50", Goal(3.0), "terminals"),
    Wanted("C3", "statements of P1's", Goal(1), "accepting", unit="", why=WHOSE),
    Wanted("C4", "statements of P2's", Goal(2), "accepting", unit="", why=WHOSE),
    Wanted("P13", "accepting / plain INSERT", Goal(3.0), "accepting", why=THREE),
    # Bringing somebody on record
    Wanted("P7", "completion's crypto / 3 RSA signs + verify", Goal(1.05), "wechat"),
    Wanted("P8", "v2, both ways / RSA sign", Goal(0.40), "wechat", "W2s"),
    Wanted(
        "P9", "onboarding in process / crypto and sealing", Goal(4.0), "onboarding", why=LIBRARIES
    ),
    Wanted(
        "P10", "onboarding in Celery / crypto and sealing", Goal(4.0), "onboarding", why=LIBRARIES
    ),
    Wanted("P11", "onboarded / ideal", least(0.70), "onboarding", why=IDEAL),
    Wanted("P11w", "two workers / one", least(1.8), "onboarding", why=CORES),
    Wanted("P12", "worker's memory / prefork of 8", Goal(0.25), "onboarding", only_full=True),
    Wanted("C1", "RSA operations of a completion", Goal(4), "onboarding", unit=""),
    Wanted("C2", "statements of a completion", Goal(3), "onboarding", unit="", why=TOGETHER),
    # Asking WeChat
    Wanted("W6", "whole query / bare query", Goal(1.25), "wechat"),
    Wanted("W6p", "sign, ask, verify / wechatpayv3", Goal(1.0), "wechat"),
    Wanted("W9", "connections of 8 threads", Goal(8), "wechat", unit=""),
    Wanted("W10", "RSA operations of a query", Goal(4), "wechat", unit=""),
    # Sealed fields
    Wanted("S1", "create / plain", Goal(1.4), "wechat"),
    Wanted("S1p", "create / Fernet fields", Goal(1.0), "wechat"),
    Wanted("S2", "bulk_create / plain", Goal(1.8), "wechat"),
    Wanted("S2p", "bulk_create / Fernet fields", Goal(1.0), "wechat"),
    Wanted("S3", "fetched, unread / plain", Goal(1.5), "wechat"),
    Wanted("S3p", "fetched, unread / Fernet fields", Goal(1.0), "wechat"),
    Wanted("S4", "read / plain", Goal(1.7), "wechat"),
    Wanted("S4p", "read / Fernet fields", Goal(1.0), "wechat"),
    Wanted("S5", "10,000 patients, keys fetched / plain", Goal(4.5), "wechat"),
    Wanted("S7", "keys wrapped again", least(20_000), "rotation", unit="/s"),
    Wanted("S8", "values sealed again", least(8_000), "rotation", unit="/s"),
    Wanted("S9", "finding a patient / plain index", Goal(2.0), "finding"),
    Wanted("P14", "finding a patient / primary key", Goal(1.10), "finding"),
    Wanted("P14l", "the same on SQLite / primary key", Goal(1.20), "sqlite"),
    # The trail
    Wanted("T1", "recorded / plain INSERT", least(0.85), "trail"),
    Wanted("T1w8", "recorded, 8 writers / plain INSERT", least(0.85), "trail"),
    Wanted("P16", "recording, 8 / plain INSERT", Goal(1.18), "trail", "T1w8", inverse=True),
    Wanted("T2w8", "recorded, 8 writers / locked chain", least(1.5), "trail"),
    Wanted("T3ca", "create, held / auditlog", Goal(1.0), "sqlite"),
    Wanted("T3ch", "create, held / simple_history", Goal(1.0), "sqlite"),
    Wanted("T3ua", "update, held / auditlog", Goal(1.0), "sqlite"),
    Wanted("T3uh", "update, held / simple_history", Goal(1.0), "sqlite"),
    Wanted("T4", "events sealed", least(20_000), "trail", unit="/s"),
    Wanted("T5", "to verify a million", Goal(60), "trail", unit="s"),
    Wanted("T5i", "to verify a day more", Goal(2), "trail", unit="s"),
    Wanted("T5m", "memory to verify", Goal(200), "trail", unit="MiB"),
    Wanted("T6", "CSV lines exported", least(250_000), "trail", unit="/s"),
    Wanted("T6f", "to the first line", Goal(1), "trail", unit="s"),
    Wanted("T6m", "memory to export", Goal(60), "trail", unit="MiB"),
    Wanted("P17", "CSV lines a second / \\copy", least(0.70), "trail", "T6c", why=CELLS),
    Wanted("P17o", "CSV lines a second / iterator", least(7), "trail", "T6o", why=CELLS),
    Wanted("P18", "memory, a million less 10,000", Goal(16), "trail", unit="MiB", only_full=True),
    Wanted("P18f", "first byte / the whole time", Goal(1), "trail", unit="%", only_full=True),
    Wanted("P19", "CSV, SQLite / iterator", least(1.5), "sqlite"),
    Wanted("T7", "p95 of a page of the list", Goal(300), "trail", unit="ms"),
    # The desk
    Wanted("D1", "p95 of a page", Goal(300), "desk", unit="ms"),
    Wanted("D2", "pages with more statements", Goal(0), "desk", unit=""),
    Wanted("D3", "pages that count a table", Goal(0), "desk", unit=""),
    Wanted("P15", "p95 of the worst page / 3,000 patients", Goal(1.15), "desk", "D4"),
    # Under load, and under fire
    Wanted(
        "L1", "p95 on top of WeChat's, half load", Goal(150), unit="ms", instead=LOAD, why=SHARED
    ),
    Wanted("L2", "p95 on top of it, nine tenths", Goal(500), unit="ms", instead=LOAD, why=SHARED),
    Wanted("L3", "memory of web + worker + notary", Goal(600), unit="MiB", instead=LOAD),
    Wanted("L4", "visits that went wrong", Goal(0), unit="", instead=LOAD),
    Wanted("R1", "lost, stuck, doubled, or amiss", Goal(0), unit="", instead=SOAK),
    Wanted("R2", "questions / face_sid", Goal(1.10), instead=SOAK),
    Wanted("R3", "to settle", Goal(15), unit="s", instead=SOAK),
    Wanted("R4", "to mend a wedged worker", Goal(30), unit="s", instead=SOAK),
    Wanted("R5", "stuck without the sweeper", least(1), unit="%", instead=CONTROL),
    Wanted(
        "R6",
        "boundaries that do not recover",
        Goal(0),
        unit="",
        instead="make test (tests/durability/test_every_boundary.py), which fails at the first",
    ),
    Wanted("R7", "attempts of a poison row", Goal(15), unit="", instead="make faults"),
    # A first look
    Wanted("M1", "make demo, set up", Goal(30), unit="s", instead=DEMO),
    Wanted("M2", "make demo, scan to record", Goal(3), unit="s", instead=DEMO),
)

# One that says it the other way round judges itself alone; a goal of the line's own comes first.
_OF_LINES: Final[Mapping[str, Goal]] = {
    wanted.line: wanted.goal
    for wanted in sorted(WANTED, key=lambda wanted: not wanted.of)
    if not wanted.inverse
}


def goal_of(line: str) -> Goal | None:
    """Return the goal of the line with that id, if it has one."""
    return _OF_LINES.get(line)


def limit(name: str) -> float:
    """Return the figure of the goal with that id, for who judges without a board."""
    return _OF_LINES[name].figure
