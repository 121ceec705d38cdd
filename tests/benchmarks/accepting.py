"""
What putting a yes on disk takes beside a plain INSERT of a row as wide.

`python -m tests.benchmarks.accepting FILE ROUNDS`, in the environment of a site, takes the visits
of a file: each is authorized with its event in one transaction and then published, with the
broker's word for it. Beside it stands the same row put into a table that nobody holds to anything.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

import django

from tests.benchmarks.paired import taken

ROUNDS: Final = {"quick": 7, "full": 27}
SLICES: Final = 4  # of each side, in a round
SOME: Final = 5  # in a slice


def submissions(profile: str) -> int:
    """Return how many visits it needs."""
    return (ROUNDS[profile] * SLICES + 1) * SOME


def _main(sessions: list[str], rounds: int) -> None:
    django.setup()
    import hospital.celery  # noqa: F401, PLC0415 (or tasks know no broker)

    waiting = _waiting(sessions)
    sides = {"accept": _timed(_accepting(waiting)), "insert": _timed(_inserting(sessions[0]))}
    for turn in sides.values():
        turn()
    print(json.dumps(taken(sides, rounds=rounds, slices=SLICES).seconds))


def _waiting(sessions: list[str]) -> Iterator[Any]:
    from faceauth.models import FaceSession  # noqa: PLC0415 (after the setup)

    found = FaceSession.objects.select_related("terminal__store", "merchant", "consent")
    return iter(list(found.filter(pk__in=map(UUID, sessions))))


def _accepting(waiting: Iterator[Any]) -> Callable[[], None]:
    from django.db import transaction  # noqa: PLC0415 (after the setup)
    from django.utils import timezone  # noqa: PLC0415

    from faceauth import sighting, views  # noqa: PLC0415

    def accept() -> None:
        session = next(waiting)
        with transaction.atomic():
            sighting.answer(session, return_code=sighting.GRANTED, at=timezone.now())
            views._enqueue(session)
        assert session.state == session.State.AUTHORIZED

    return accept


def _inserting(like: str) -> Callable[[], None]:
    from django.db import connection  # noqa: PLC0415 (after the setup)

    unique = ("id", "consent_id", "face_sid_index")
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE plain_session (LIKE faceauth_facesession INCLUDING ALL)")
        cursor.execute("SELECT * FROM faceauth_facesession WHERE id = %s", [like])
        [row] = cursor.fetchall()
        names = [column.name for column in cursor.description]
    marks = ", ".join(["%s"] * len(names))
    statement = f"INSERT INTO plain_session VALUES ({marks})"  # noqa: S608 (of ours)
    values = dict(zip(names, row, strict=True))
    places = [names.index(one) for one in unique]

    def insert() -> None:
        new = list(values.values())
        new[places[0]], new[places[1]], new[places[2]] = uuid4(), uuid4(), uuid4().hex
        with connection.cursor() as cursor:
            cursor.execute(statement, new)

    return insert


def _timed(act: Callable[[], None]) -> Callable[[], float]:
    def turn() -> float:
        began = time.perf_counter()
        for _ in range(SOME):
            act()
        return (time.perf_counter() - began) / SOME

    return turn


if __name__ == "__main__":
    _main(json.loads(Path(sys.argv[1]).read_text()), int(sys.argv[2]))
