"""What the last runs came to, for whoever puts the figures beside their limits."""

import json
from pathlib import Path
from typing import Any

from tests.benchmarks.elsewhere import PLACE, leave

KEPT = 5  # seeds
FIGURES = (
    "broker", "seed", "minutes", "kills", "accepted", "lost", "stuck", "doubled",
    "asked_per_face_sid", "asked_in_all_per_face_sid", "asked_most", "settled_s", "load",
)  # fmt: skip


def note(told: dict[str, Any], *, at: str, place: Path = PLACE) -> None:
    """
    Write `soak-<broker>.json`: the last run, and under `runs` the latest of each seed.

    :param at: when it began, in ISO 8601
    """
    path = place / f"soak-{told['broker']}.json"
    run = _run(told, at=at)
    before = json.loads(path.read_text())["runs"] if path.exists() else []
    others = [one for one in before if one["seed"] != told["seed"]]
    leave(path.stem, {**run, "runs": [*others, run][-KEPT:]}, place)


def note_control(told: dict[str, Any], *, at: str, place: Path = PLACE) -> None:
    """Write `control-<broker>.json`: the last run in which nobody woke what the broker forgot."""
    leave(f"control-{told['broker']}", _run(told, at=at), place)


def _run(told: dict[str, Any], *, at: str) -> dict[str, Any]:
    """Of the worker that took nothing the longest; None: there was none, or it never worked."""
    mended = [wedge["mended"] for wedge in told["wedges"]]
    return {
        "at": at,
        **{name: told[name] for name in FIGURES},
        "wrong": {name: len(ids) for name, ids in told["wrong"].items()},
        "is_whole": not told["wrong"],
        "wedge_s": None if None in mended else max(mended, default=None),
    }
