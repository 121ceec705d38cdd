"""
What a trail costs the transaction it is written in, with one writer and with eight at once.

Each transaction changes a row of its writer's own, writes one event and is on disk when it ends.
What differs is the event: ours, by `record`, into a table that asks for it (held) or does not, or
only its statement; the same line into the same table, which nobody guards and no notary reads;
that as a link of a hash chain, whose head every writer has to lock; a text made beforehand into a
heap, which is the least an event can be. `record` is a function that opens a cursor of its own,
whoever calls it, and so is each of its peers.

`python -m tests.benchmarks.trail.writing URL ROUNDS` prints the seconds per transaction.
"""

import hashlib
import json
import multiprocessing
import random
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from multiprocessing.connection import Connection
from typing import Any, Final

from tests.benchmarks.paired import taken
from tests.benchmarks.trail.scratch import left, set_up

WRITERS: Final = 8
ROWS: Final = 1_000  # of business, for each writer
SIDES: Final = ("held", "ours", "statement", "plain", "chain", "heap")
SLICE: Final = 0.25  # seconds on the clock, of each side in a round

# The same columns and indexes, and nothing that makes evidence of them. The rows of the table that
# is held to the trail are from before it was, as after a restore.
_TABLES: Final = f"""
    SET session_replication_role = replica;
    INSERT INTO shapes_recorded SELECT n, '门诊楼', 'S' || n, '江北路 1 号', true, now()
      FROM generate_series(1, {WRITERS * ROWS}) n;
    SET session_replication_role = origin;
    CREATE TABLE loose (LIKE shapes_recorded INCLUDING ALL);
    INSERT INTO loose SELECT * FROM shapes_recorded;
    CREATE TABLE plain (LIKE audit_event INCLUDING ALL);
    CREATE TABLE chain (LIKE plain INCLUDING ALL, hash bytea NOT NULL);
    CREATE TABLE head (id int PRIMARY KEY, hash bytea NOT NULL);
    INSERT INTO head VALUES (1, '');
    CREATE TABLE heap (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, payload text NOT NULL);
"""  # noqa: S608 (numbers and names of ours, here and below)
_COLUMNS: Final = "uid, payload, mac, mac_key"
_CHANGE: Final = "UPDATE loose SET name = '住院楼', changed_at = now() WHERE id = %s"
_HELD: Final = "UPDATE shapes_recorded SET name = '住院楼', changed_at = now() WHERE id = %s"
_OURS: Final = f"INSERT INTO audit_event ({_COLUMNS}) VALUES (%s, %s, %s, %s) RETURNING id"  # noqa: S608
_PLAIN: Final = f"INSERT INTO plain ({_COLUMNS}) VALUES (%s, %s, %s, %s) RETURNING id"  # noqa: S608
_LOCK: Final = "SELECT hash FROM head WHERE id = 1 FOR UPDATE"
_LINK: Final = f"INSERT INTO chain ({_COLUMNS}, hash) VALUES (%s, %s, %s, %s, %s) RETURNING id"  # noqa: S608
_MOVE: Final = "UPDATE head SET hash = %s WHERE id = 1"
_HEAP: Final = "INSERT INTO heap (payload) VALUES (%s)"

Event = Callable[[int], object]  # of a row; opens a cursor of its own, as any function does


def _main(url: str, rounds: int) -> None:
    set_up(url)
    from django.db import connection  # noqa: PLC0415

    with connection.cursor() as cursor:
        cursor.execute(_TABLES)
    left(url)  # who is forked has a connection of their own
    seconds = {}
    with ExitStack() as opened:
        writers = [_started(number, opened) for number in range(WRITERS)]
        for some in (writers[:1], writers):
            sides = {name: _turn(name, some) for name in SIDES}
            for turn in sides.values():
                turn()
            seconds[str(len(some))] = taken(sides, rounds=rounds, slices=1).seconds
    print(json.dumps(seconds))


def _turn(side: str, writers: list[Connection]) -> Callable[[], float]:
    def turn() -> float:
        until = time.monotonic() + SLICE
        for writer in writers:
            writer.send((side, until))
        return 1 / sum(writer.recv() for writer in writers)

    return turn


def _started(number: int, opened: ExitStack) -> Connection:
    """Start a writer, who goes with this process."""
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    context.Process(target=_write, args=(number, there), daemon=True).start()
    return opened.enter_context(closing(here))


def _write(number: int, orders: Connection) -> None:
    """Write as told, one side until a time; then say how many a second it was."""
    from django.db import connection, transaction  # noqa: PLC0415

    events = _events()
    rows = range(number * ROWS + 1, (number + 1) * ROWS + 1)
    while True:
        side, until = orders.recv()
        change, event = _HELD if side == "held" else _CHANGE, events[side]
        done, began = 0, time.monotonic()
        while not done or time.monotonic() < until:
            row = random.choice(rows)
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute(change, [row])
                event(row)
            done += 1
        orders.send(done / (time.monotonic() - began))


def _events() -> dict[str, Event]:
    from django.db import connection, transaction  # noqa: PLC0415
    from uuid6 import uuid7  # noqa: PLC0415

    from hospital.audit.actions import Action  # noqa: PLC0415
    from hospital.audit.recording import Actor, record  # noqa: PLC0415
    from tests.benchmarks.trail.shapes.models import Recorded  # noqa: PLC0415

    things = [Recorded(pk=row) for row in range(WRITERS * ROWS + 1)]  # as whoever records has it
    actor, fields = Actor("staff", str(uuid7()), "operator"), ["name", "changed_at"]

    def ours(row: int) -> Any:
        at = datetime.now(UTC)
        return record(Action.STORE_CHANGE, by=actor, on=things[row], at=at, fields=fields)

    with transaction.atomic():
        one = ours(1)
        transaction.set_rollback(True)
    said, codes = json.loads(one.payload), [one.mac, one.mac_key]

    def values(row: int) -> list[Any]:
        """Return such an event's row, but with the code of another."""
        uid, t = uuid7(), time.time_ns() // 1_000
        line = {**said, "uid": str(uid), "t": t, "object": {**said["object"], "id": str(row)}}
        text = json.dumps(line, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return [uid, text, *codes]

    def statement(row: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_OURS, values(row))
            cursor.fetchone()

    def plain(row: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_PLAIN, values(row))
            cursor.fetchone()

    def chain(row: int) -> None:
        event = values(row)
        with connection.cursor() as cursor:
            cursor.execute(_LOCK)
            [head] = cursor.fetchone()
            link = hashlib.sha256(head + event[1].encode()).digest()
            cursor.execute(_LINK, [*event, link])
            cursor.fetchone()
            cursor.execute(_MOVE, [link])

    def heap(_row: int) -> None:
        with connection.cursor() as cursor:
            cursor.execute(_HEAP, [one.payload])

    made = (ours, ours, statement, plain, chain, heap)
    return dict(zip(SIDES, made, strict=True))


if __name__ == "__main__":
    _main(sys.argv[1], int(sys.argv[2]))
