"""
How fast the notary gives events their places, when many are waiting.

`python -m tests.benchmarks.trail.sealing URL EVENTS KEY` fills an empty trail, seals it and signs
it, and prints how many a second of CPU each transaction sealed. KEY is a file that is made.
"""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby, islice
from pathlib import Path
from typing import Any, Final, NamedTuple

from tests.benchmarks.trail.scratch import left, set_up

ORIGIN: Final = "hospital.example/trail"
AGO: Final = timedelta(days=400)  # when the trail begins
CHUNK: Final = 5_000  # rows held at once
_LEAVES: Final = (
    'SELECT l."index", e.at_us / 1000000, l.hash FROM audit_leaf l'
    ' JOIN audit_event e ON e.id = l.event_id WHERE l."index" >= %s ORDER BY l."index" LIMIT %s'
)


class Leaf(NamedTuple):
    index: int
    second: int  # in which it happened
    hash: bytes


def by_batch(leaf: Leaf) -> int:
    """Sign as a notary does that comes late: as much as it takes at once."""
    from hospital.audit import sequencing  # noqa: PLC0415

    return leaf.index // sequencing.BATCH


def by_second(leaf: Leaf) -> int:
    """Sign as a notary does that is always there: each second in which something happened."""
    return leaf.second


def drained() -> list[float]:
    """Give everything its place; return how many a second of CPU, transaction by transaction."""
    from hospital.audit import sequencing  # noqa: PLC0415
    from hospital.audit.tree import Tree  # noqa: PLC0415
    from tests.benchmarks.trail import clocks, filling  # noqa: PLC0415

    tree, clock, rates, at = Tree.load(), clocks.cpu(), [], filling.last()
    began = clock()
    while taken := sequencing.sequence(tree, at=at):
        ended = clock()
        if taken == sequencing.BATCH:
            rates.append(taken / (ended - began))
        began = ended
    return rates


def sign(signer: Any, tree: Any, *, by: Callable[[Leaf], int]) -> None:
    """
    Sign what lies beyond `tree`, leaves of one group together.

    As the notary does, without waiting for the disk in between, which takes it most of its time.
    """
    from hospital.audit.log import Checkpoint  # noqa: PLC0415

    notes = _signed(signer, tree, by)
    while some := list(islice(notes, CHUNK)):
        Checkpoint.objects.bulk_create(some)


def _signed(signer: Any, tree: Any, by: Callable[[Leaf], int]) -> Iterator[Any]:
    from hospital.audit import checkpoint, log  # noqa: PLC0415

    for _, group in groupby(_leaves(tree.size), key=by):
        for leaf in group:
            tree.append(bytes(leaf.hash))
            second = leaf.second
        body = checkpoint.Checkpoint(ORIGIN, tree.size, tree.root()).body()
        yield log.Checkpoint(
            size=tree.size,
            root=tree.root(),
            note=str(checkpoint.Note(body, (signer.line(body),))),
            created_at=datetime.fromtimestamp(second + 1, tz=UTC),
        )


def _leaves(start: int) -> Iterator[Leaf]:
    from django.db import connection  # noqa: PLC0415

    while True:
        with connection.cursor() as cursor:
            cursor.execute(_LEAVES, [start, CHUNK])
            page = [Leaf(*row) for row in cursor.fetchall()]
        if not page:
            return
        yield from page
        start = page[-1].index + 1


def _main(url: str, events: int, key: Path) -> None:
    set_up(url)
    from hospital.audit import log_key  # noqa: PLC0415
    from hospital.audit.merkle import Frontier  # noqa: PLC0415
    from tests.benchmarks.trail import filling  # noqa: PLC0415

    filling.fill(events, begin=datetime.now(UTC) - AGO)
    filling.settle()
    rates = drained()
    sign(log_key.create(key, name=ORIGIN), Frontier(), by=by_batch)
    filling.settle()
    print(json.dumps(rates))
    left(url)


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
