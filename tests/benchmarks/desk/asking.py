"""
How long a registrar waits for each page of the desk, and how many statements it takes.

`python -m tests.benchmarks.desk.asking URL REDIS PATIENTS SESSIONS TIMES` fills the database at
URL, makes up so many things to ask of each page, and prints for each the number of statements, and
those of them that count a table which grows for ever. For each line it then reads it asks for each
page once, and prints the milliseconds it took.
"""

import itertools
import json
import logging
import os
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final

from tests.benchmarks.trail.scratch import left, set_up

PAGE: Final = 50  # rows
DEEP: Final = 100  # pages
COUNTED: Final = 3  # times each page's statements are counted
_COUNTING: Final = re.compile(
    # Of a selection with a LIMIT the FROM is a bracket.
    r'COUNT\(\*\)( AS "\w+")? FROM "(patients_\w+|faceauth_(facesession|consent)|audit_event)"'
)

Ask = Callable[[Any], Any]  # client → answer


def _main(url: str, redis: str, patients: int, sessions: int, times: int) -> None:
    os.environ["CACHE_URL"] = redis
    set_up(url)
    from django.conf import settings  # noqa: PLC0415
    from django.core.cache import cache  # noqa: PLC0415

    from hospital.crypto import keyring  # noqa: PLC0415
    from hospital.crypto.providers.file import FileProvider  # noqa: PLC0415
    from tests.benchmarks.desk import filling  # noqa: PLC0415

    logging.disable(logging.WARNING)  # a line for each request
    FileProvider.create(settings.KEY_FILE)
    cache.clear()
    filled = filling.fill(patients=patients, sessions=sessions, now=datetime.now(UTC))
    seats, privacy = [_seated(one) for one in filled.registrars], _seated(filled.privacy)
    clients = itertools.cycle(seats)
    pages = {**_pages(times), **_of_all_campuses(times, by=privacy)}
    found: dict[str, dict[str, Any]] = {}
    for name, some in pages.items():
        counts, counting = [], []
        for client in itertools.islice(clients, COUNTED):
            keyring.clear()  # how many there are does not hang on what was asked before
            with _statements() as sent:
                _answered(name, some[0], client)
            counts.append(len(sent))
            counting += [one for one in sent if _COUNTING.search(one)]
        # Now and then one of them looks whether the policy has changed.
        found[name] = {"statements": min(counts), "counting": counting}
    print(json.dumps(found), flush=True)
    endless = {name: itertools.cycle(some) for name, some in pages.items()}
    for _ in sys.stdin:
        for seat in (*seats, privacy):
            _show_again(seat)
        took = {}
        for name in random.sample([*endless], len(endless)):
            one, client = next(endless[name]), next(clients)
            began = time.perf_counter()
            _answered(name, one, client)
            took[name] = (time.perf_counter() - began) * 1e3
        print(json.dumps(took), flush=True)
    left(url)


def _seated(registrar: Any) -> Any:
    """Return the browser of somebody who has come in whole, a moment ago."""
    from django.test import Client  # noqa: PLC0415

    from tests import signing_in  # noqa: PLC0415

    client = Client()
    client.force_login(registrar)
    signing_in.wholly(client)
    _show_again(client)
    return client


def _show_again(client: Any) -> None:
    """Let them have shown a moment ago that it is them: a whole hospital takes its time."""
    from django.utils import timezone  # noqa: PLC0415

    from hospital import stepup  # noqa: PLC0415

    session = client.session
    stepup.stamp(session, at=timezone.now())
    session.save()


def _pages(times: int) -> dict[str, list[Ask]]:
    """Return what is asked for, of each kind so often."""
    from django.urls import reverse  # noqa: PLC0415

    from faceauth.models import FaceSession  # noqa: PLC0415
    from hospital.patients.models import (  # noqa: PLC0415
        Correction,
        Likeness,
        Patient,
        Registration,
    )
    from tests.benchmarks.desk.filling import CAMPUSES  # noqa: PLC0415

    chance = random.Random(times)
    real = Patient.objects.filter(number__startswith="P", attendances__campus=CAMPUSES[0])
    here = chance.sample([*real], times)
    visits = FaceSession.objects.filter(terminal__store__campus=CAMPUSES[0])
    ended = [*visits.filter(state=FaceSession.State.RECOGNISED)[:1_000]]
    patients, sessions = (
        reverse(f"admin:{name}_changelist") for name in ("patients_patient", "faceauth_facesession")
    )
    waiting = {
        "registration": Registration.objects.filter(state=Registration.State.WAITING),
        "likeness": Likeness.objects.filter(state=Likeness.State.OPEN),
        "correction": Correction.objects.filter(state=Correction.State.ASKED),
    }

    lists = ("registrations", "likenesses", "corrections")

    def got(address: str, query: dict[str, str] | None = None, **headers: str) -> Ask:
        return lambda client: client.get(address, query, headers=headers)

    def typed(text: str, patient: Patient | None = None) -> Ask:
        def ask(client: Any) -> Any:
            answer = client.post(reverse("desk:find"), {"typed": text})
            if patient and patient.number not in answer.text:
                raise RuntimeError("somebody was not found")
            return answer

        return ask

    live = reverse("desk:board-live")
    return {
        "find by document": [typed(one.document_number, one) for one in here],
        "find by number": [typed(one.number, one) for one in here],
        "find by name and birth": [typed(f"{one.real_name} {one.born}", one) for one in here],
        "find nobody": [typed("110101190001010019")] * times,
        "board": [got(reverse("desk:board"))] * times,
        "board, changed": [got(live, **{"X-Desk-Refresh": "1"})] * times,
        "board, unchanged": [_unchanged(live)] * times,
        "patient": [got(reverse("desk:patient", args=[one.pk])) for one in here],
        "patients": [got(patients)] * times,
        "patients, deep": [got(patients, {"before": _deep(real)})] * times,
        "sessions": [got(sessions)] * times,
        "sessions, deep": [got(sessions, {"before": _deep(visits)})] * times,
        "sessions, failed": [got(sessions, {"state__exact": "failed"})] * times,
        "session": [
            got(reverse("admin:faceauth_facesession_change", args=[one.pk]))
            for one in chance.sample(ended, times)
        ],
        "register": [got(reverse("desk:register"))] * times,
        **{name: [got(reverse(f"desk:{name}"))] * times for name in lists},
        **{
            name: [got(reverse(f"desk:{name}", args=[chance.choice(some).pk]))
                   for _ in range(times)]
            for name, rows in waiting.items()
            for some in [[*rows]]
        },
    }  # fmt: skip


def _of_all_campuses(times: int, *, by: Any) -> dict[str, list[Ask]]:
    """Return what who answers for everybody asks for, whoever's turn it is."""
    from django.urls import reverse  # noqa: PLC0415

    consents, patients = (
        reverse(f"admin:{name}_changelist") for name in ("faceauth_consent", "patients_patient")
    )
    return {
        "consents": [lambda _client: by.get(consents)] * times,
        "patients of all": [lambda _client: by.get(patients)] * times,
    }


def _unchanged(address: str) -> Ask:
    """Return what asks for the board as a page does that has it already."""
    known: dict[str, str] = {}

    def ask(client: Any) -> Any:
        headers = {"X-Desk-Refresh": "1", **known}
        answer = client.get(address, headers=headers)
        known["If-None-Match"] = answer["ETag"]
        return answer

    return ask


def _deep(rows: Any) -> str:
    """Return the last key of a page far down, or half-way where there are not as many."""
    keys = [*rows.order_by("-pk").values_list("pk", flat=True)[: (DEEP + 1) * PAGE]]
    return str(keys[DEEP * PAGE if len(keys) > DEEP * PAGE else len(keys) // 2])


def _answered(name: str, ask: Ask, client: Any) -> None:
    answer = ask(client)
    if answer.status_code not in {200, 304}:
        raise RuntimeError(f"{name}: {answer.status_code}")


@contextmanager
def _statements() -> Iterator[list[str]]:
    from django.db import connection  # noqa: PLC0415

    sent: list[str] = []

    def noting(execute: Any, sql: Any, *rest: Any) -> Any:
        sent.append(str(sql))
        return execute(sql, *rest)

    with connection.execute_wrapper(noting):
        yield sent


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6]))
