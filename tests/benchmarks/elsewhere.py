"""What `make soak`, `make load` and `make faults` found the last time, and left in var/."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from hospital.demo.installation import ROOT

PLACE: Final = ROOT / "var"
BROKERS: Final = 2
RUNS: Final = 5 * BROKERS  # seeds with each broker
# What a soak finds wrong and a goal of its own judges.
ASKED_TOO_OFTEN: Final = "asked too often"
SETTLED_LATE: Final = "settled late"
MENDED_LATE: Final = "mended late"
JUDGED_APART: Final = frozenset({ASKED_TOO_OFTEN, SETTLED_LATE, MENDED_LATE})


@dataclass(frozen=True)
class Kept:
    """
    The figures of one goal.

    :ivar at: when the last of them was found, in ISO 8601
    :ivar lacking: of how many runs these are too few, or ""
    """

    figures: list[float]
    by: str
    at: str
    note: str = ""
    lacking: str = ""


def kept(place: Path = PLACE) -> dict[str, Kept]:
    """Return what there is, by the id of the goal."""
    return {
        **dict(_soaked(_read(place, "soak-*.json"))),
        **dict(_controlled(_read(place, "control-*.json"))),
        **dict(_told("make load", _read(place, "load.json"))),
        **dict(_told("make faults", _read(place, "faults.json"))),
    }


def leave(name: str, figures: dict[str, Any], place: Path = PLACE) -> None:
    """Leave the figures of a run for the next board, in place of those before."""
    place.mkdir(exist_ok=True)
    unfinished = place / f"{name}.part"
    unfinished.write_text(json.dumps(figures, indent=1) + "\n")
    unfinished.replace(place / f"{name}.json")


def _read(place: Path, name: str) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(place.glob(name))]


def _soaked(files: list[dict[str, Any]]) -> Iterator[tuple[str, Kept]]:
    """Of both brokers and every seed the worst: one that loses somebody is one too many."""
    runs = [run for file in files for run in file["runs"] if "wrong" in run]
    if not runs:
        return
    by, at = f"make soak, worst of {len(runs)}", max(run["at"] for run in runs)
    lacking = f"{len(runs)} of {RUNS}" if len(runs) < RUNS else ""

    def worst(name: str, figures: list[float], note: str = "") -> tuple[str, Kept]:
        return name, Kept([max(figures)], by, at, note, lacking)

    amiss = [name for run in runs for name in run["wrong"] if name not in JUDGED_APART]
    yield worst("R1", [_amiss(run) for run in runs], ", ".join(dict.fromkeys(amiss)))
    in_all = max(run["asked_in_all_per_face_sid"] for run in runs)
    most = max(run["asked_most"] for run in runs)
    note = f"{in_all:.3f} with those WeChat failed at, {most} about one face_sid at most"
    yield worst("R2", [run["asked_per_face_sid"] for run in runs], note)
    yield worst("R3", [_or_never(run["settled_s"]) for run in runs])
    yield worst("R4", [_or_never(run["wedge_s"]) for run in runs])


def _controlled(files: list[dict[str, Any]]) -> Iterator[tuple[str, Kept]]:
    """Without the sweeper whoever is forgotten must be found: with each broker."""
    if files:
        stuck = [100 * file["stuck"] / max(1, file["accepted"]) for file in files]
        lacking = f"{len(files)} of {BROKERS}" if len(files) < BROKERS else ""
        by, at = f"make soak, least of {len(files)}", max(file["at"] for file in files)
        yield "R5", Kept([min(stuck)], by, at, lacking=lacking)


def _told(by: str, files: list[dict[str, Any]]) -> Iterator[tuple[str, Kept]]:
    for file in files:
        for name, figure in file.items():
            if name != "at":
                yield name, Kept([figure], by, file["at"])


def _amiss(run: dict[str, Any]) -> int:
    """Return how many are lost, stuck or doubled, and how much else is wrong."""
    wrong = run["wrong"]
    return sum(count for name, count in wrong.items() if name not in JUDGED_APART)


def _or_never(seconds: float | None) -> float:
    return math.inf if seconds is None else seconds
