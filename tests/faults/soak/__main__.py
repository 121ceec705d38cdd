"""
`make soak`: an hour of everything that can fail in a few minutes, and what it cost.

Terminals that sign for real send people through two webs and two workers while a nemesis kills,
hangs, floods and forges, all from one seed. Then everything is healed, and an oracle that knows
nothing of our code compares what was promised with what is. Ends with 1 if anything is wrong.

With --without-sweeper nobody wakes what the broker forgot: it has to end with 1.
"""

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hospital.demo.processes import Died
from tests.benchmarks.elsewhere import ASKED_TOO_OFTEN, MENDED_LATE, SETTLED_LATE
from tests.benchmarks.goals import limit
from tests.faults import oracle
from tests.faults.hospital import BROKERS, WEBS, WORKERS, Hospital, Services, ticking
from tests.faults.servers import PostgreSQL, Redis, is_installed
from tests.faults.soak import history
from tests.faults.soak.nemesis import LENGTH, Nemesis
from tests.faults.soak.traffic import Traffic
from tests.house import until

BETWEEN = 12.0  # seconds between the beginnings of two faults, at most
GIVEN_UP = 90.0  # seconds after the last fault in which what was promised is not waited for longer
KILLS = 20  # at least; a round has more
QUESTIONS = limit("R2")  # about each face_sid, at most
SETTLED = limit("R3")  # seconds after the last fault, at most
MENDED = limit("R4")  # seconds until a worker that takes nothing any more is found and works


def main() -> int:
    asked = _arguments()
    if missing := is_installed(PostgreSQL, Redis, BROKERS[asked.broker]):
        print(f"没有运行：{missing} / not run")
        return 2
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # nothing is left running
    print(
        f"soak seed={asked.seed} broker={asked.broker} minutes={asked.minutes:g}"
        + (" WITHOUT THE SWEEPER" if asked.without_sweeper else ""),
        flush=True,
    )
    at = datetime.now(UTC).isoformat(timespec="seconds")
    with _place(asked.keep) as place:
        told = soak(
            place,
            broker=asked.broker,
            seed=asked.seed,
            seconds=asked.minutes * 60,
            with_sweeper=not asked.without_sweeper,
        )
    print(_line(told), flush=True)
    for name, ids in told["wrong"].items():
        print(f"  {name}: {len(ids)}: {', '.join(ids[:5])}")
    if asked.json:
        with asked.json.open("a") as file:
            file.write(json.dumps(told) + "\n")
    if asked.without_sweeper:
        history.note_control(told, at=at)
    else:
        history.note(told, at=at)
    return 1 if told["wrong"] else 0


@contextmanager
def _place(keep: Path | None) -> Iterator[Path]:
    if keep:
        keep.mkdir(parents=True)
        yield keep
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as directory:
        yield Path(directory)


def soak(
    var: Path, *, broker: str, seed: int, seconds: float, with_sweeper: bool = True
) -> dict[str, Any]:
    """Return what it came to; whatever must not be is under `wrong`."""
    keeps_up = (*WEBS, *WORKERS, "notary", *(["beat"] if with_sweeper else []))
    with (
        Services.running(broker) as services,
        Hospital.open(var / "var", services) as hospital,
    ):
        hospital.up(*keeps_up)
        hospital.activate()
        log = var / "terminals.jsonl"
        log.touch()
        traffic = Traffic(hospital, log, terminals=6, seed=seed)
        nemesis = Nemesis(hospital, traffic, seed, keeps_up)
        began = time.monotonic()
        with ticking(*traffic.threads()):
            try:
                _torment(nemesis, seconds)
                last = time.monotonic()  # what has to start again is part of settling
                nemesis.calm_down()
            finally:
                traffic.stop()
        settled = _settle(nemesis, traffic, since=last)
        sealed = _seal(hospital)
        told = {
            "seed": seed,
            "broker": broker,
            "minutes": round((last - began) / 60, 1),
            "kills": nemesis.killed.total(),
            "killed": dict(nemesis.killed),
            "faults": dict(nemesis.done),
            "wedges": [asdict(wedge) for wedge in nemesis.wedges],
            "settled_s": settled,
            "load": round(os.getloadavg()[2], 1),
            "revived": dict(nemesis.revived),
            **_judge(hospital, traffic),
        }
        return told | {"wrong": told["wrong"] | sealed | _beyond(told)}


def _torment(nemesis: Nemesis, seconds: float) -> None:
    """
    Strike for so long, and in any case for a whole round: then everything was broken once.

    Ends with the last strike.
    """
    pause = min(BETWEEN, seconds / LENGTH)
    began = time.monotonic()
    until = began + seconds
    while time.monotonic() < until or nemesis.done.total() < LENGTH:
        nemesis.look_after(seconds=max(0.0, pause - (time.monotonic() - began)))
        began = time.monotonic()
        nemesis.strike()


def _settle(nemesis: Nemesis, traffic: Traffic, *, since: float) -> float | None:
    """Return after how many seconds nobody waited any more; None if somebody still does."""
    while time.monotonic() - since < GIVEN_UP:
        nemesis.look_after(seconds=0.2)
        if not traffic.waiting():
            return round(time.monotonic() - since, 1)
    return None


def _seal(hospital: Hospital) -> dict[str, list[str]]:
    """Return what the product's own verification finds, which is an event as well."""
    try:
        hospital.verify_trail()
        until(lambda: not hospital.pending(), "that it was verified is sealed")
    except (AssertionError, Died) as exc:
        return {"the trail does not verify": [str(exc)]}
    return {}


def _judge(hospital: Hospital, traffic: Traffic) -> dict[str, Any]:
    verdict = oracle.judge(
        oracle.read(traffic.log),
        database=hospital.services.database.url,
        simulator=hospital.place.simulator,
        logs=hospital.place.logs,
        held=hospital.services.held(),
    )
    return {
        "accepted": verdict.accepted,
        "people": verdict.people,
        "lost": verdict.count(*oracle.LOST),
        "stuck": verdict.count(*oracle.STUCK),
        "doubled": verdict.count(*oracle.DOUBLED),
        "questions": verdict.questions,
        "spoiled": verdict.spoiled,
        "asked_per_face_sid": _ratio(verdict.questions - verdict.spoiled, verdict.accepted),
        "asked_in_all_per_face_sid": _ratio(verdict.questions, verdict.accepted),
        "asked_most": verdict.most,
        "wrong": verdict.wrong,
    }


def _ratio(questions: int, accepted: int) -> float:
    return round(questions / max(1, accepted), 3)


def _beyond(told: dict[str, Any]) -> dict[str, list[str]]:
    settled, asked = told["settled_s"], told["asked_per_face_sid"]
    wedges = [wedge["mended"] for wedge in told["wedges"]]
    goals = {
        SETTLED_LATE: (
            "never" if settled is None else f"{settled} s, not {SETTLED:g}",
            settled is None or settled > SETTLED,
        ),
        ASKED_TOO_OFTEN: (f"{asked}, not {QUESTIONS}", asked > QUESTIONS),
        "killed too few": (f"{told['kills']}, not {KILLS}", told["kills"] < KILLS),
        MENDED_LATE: (
            f"{wedges} s, not {MENDED:g}",
            not wedges or any(mended is None or mended > MENDED for mended in wedges),
        ),
        "nobody was accepted": ("0", not told["accepted"]),
    }
    return {name: [found] for name, (found, is_missed) in goals.items() if is_missed}


def _line(told: dict[str, Any]) -> str:
    return (
        f"accepted {told['accepted']}  people {told['people']}  kills {told['kills']}"
        f"  lost {told['lost']}  stuck {told['stuck']}  doubled {told['doubled']}"
        f"  questions per face_sid {told['asked_per_face_sid']:.3f}"
        f" ({told['asked_in_all_per_face_sid']:.3f} with {told['spoiled']} not answered,"
        f" {told['asked_most']} about one at most)"
        f"  settled {told['settled_s']} s"
        f"  wedged {', '.join(_wedge(wedge) for wedge in told['wedges']) or '-'}"
        f"  {told['minutes']} min at load {told['load']}  {'WRONG' if told['wrong'] else 'whole'}\n"
        f"  faults: {_counts(told['faults'])}\n  killed: {_counts(told['killed'])}\n"
        f"  revived: {_counts(told['revived'])}"
    )


def _wedge(wedge: dict[str, Any]) -> str:
    noticed = f"{wedge['noticed']} s" if wedge["noticed"] else "by itself"
    return f"{noticed}, mended {wedge['mended']} s (a start {wedge['started']} s)"


def _counts(counts: dict[str, int]) -> str:
    return "  ".join(f"{name} {count}" for name, count in sorted(counts.items())) or "-"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make soak")
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(2)))
    parser.add_argument("--broker", choices=sorted(BROKERS), default="rabbitmq")
    parser.add_argument("--without-sweeper", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--keep", type=Path, help="a directory to make, and leave")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
