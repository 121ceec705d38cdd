"""
What a trail costs beside each `save()`: ours, and the two most used libraries'.

In a process of its own, which has those libraries installed. CPU time counts, PostgreSQL's for us
included; every save is a transaction, since without one each of the three can lose an event or
keep one of a save that failed.

`python -m tests.benchmarks.trail.saving URL ROUNDS` prints the seconds per save.
"""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any, Final

from tests.benchmarks.paired import taken
from tests.benchmarks.trail.scratch import left, set_up

SAVES: Final = 40  # in a turn
SLICES: Final = 3  # turns of each side, in a round

_numbers: Final = count(1)


def _main(url: str, rounds: int) -> None:
    set_up(url)
    from tests.benchmarks.trail import clocks  # noqa: PLC0415

    clock = clocks.cpu()
    sides = {name: _turn(clock, act) for name, act in _sides()}
    for _ in range(3):
        for turn in sides.values():
            turn()
    print(json.dumps(taken(sides, rounds=rounds, slices=SLICES).seconds))
    left(url)


def _turn(clock: Callable[[], float], act: Callable[[], object]) -> Callable[[], float]:
    def turn() -> float:
        began = clock()
        for _ in range(SAVES):
            act()
        return (clock() - began) / SAVES

    return turn


def _sides() -> Iterator[tuple[str, Callable[[], object]]]:
    from django.db import transaction  # noqa: PLC0415
    from uuid6 import uuid7  # noqa: PLC0415

    from hospital.audit.actions import Action  # noqa: PLC0415
    from hospital.audit.recording import Actor, record  # noqa: PLC0415
    from tests.benchmarks.trail.shapes import models  # noqa: PLC0415

    actor = Actor("staff", str(uuid7()), "operator")

    def made(model: Any) -> Any:
        number = next(_numbers)
        return model(
            name=f"门诊楼{number}",
            number=f"S{number:08}",
            address="江北路 1 号 2 层挂号处",
            changed_at=datetime.now(UTC),
        )

    def altered(row: Any) -> Any:
        row.name, row.changed_at = f"住院楼{next(_numbers)}", datetime.now(UTC)
        return row

    def save(row: Any) -> None:
        with transaction.atomic():
            row.save()

    def create_recorded() -> Any:
        with transaction.atomic():
            row = made(models.Recorded)
            row.save()
            record(Action.STORE_CREATE, by=actor, on=row, at=row.changed_at)
        return row

    def update_recorded() -> None:
        with transaction.atomic():
            row = altered(kept["ours"])
            row.save()
            fields = ["name", "changed_at"]
            record(Action.STORE_CHANGE, by=actor, on=row, at=row.changed_at, fields=fields)

    kept = {"ours": create_recorded()}
    yield "create ours", create_recorded
    yield "update ours", update_recorded
    for name, model in (
        ("bare", models.Bare),
        ("auditlog", models.Logged),
        ("simple_history", models.Historical),
    ):
        kept[name] = made(model)
        save(kept[name])
        yield f"create {name}", lambda model=model: save(made(model))
        yield f"update {name}", lambda name=name: save(altered(kept[name]))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
