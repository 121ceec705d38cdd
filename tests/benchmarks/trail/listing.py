"""
How long the auditor waits for a page of the list, however long the trail is.

`python -m tests.benchmarks.trail.listing URL KEY EVENTS PAGES` fills the trail that `sealing` left
up to so many events and to today, asks for that many pages of each kind, as somebody logged in,
and prints the milliseconds of each.
"""

import json
import logging
import random
import secrets
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.benchmarks.trail.scratch import left, set_up
from tests.benchmarks.trail.sealing import ORIGIN, by_batch, drained, sign

LIST: Final = "/admin/audit/event/"
DAY: Final = timedelta(days=1)


def _main(url: str, key: Path, events: int, pages: int) -> None:
    set_up(url)
    from django.conf import settings  # noqa: PLC0415

    from hospital.audit import log_key  # noqa: PLC0415
    from hospital.audit.admin.events import SLOW  # noqa: PLC0415
    from hospital.audit.tree import Tree  # noqa: PLC0415
    from hospital.crypto.providers.file import FileProvider  # noqa: PLC0415
    from tests.benchmarks.trail import filling  # noqa: PLC0415

    signer, sealed = log_key.load(key, name=ORIGIN), Tree.load().frontier
    more = events - sealed.size
    filling.fill(more, begin=datetime.now(UTC) - more * filling.APART)
    drained()
    sign(signer, sealed, by=by_batch)
    filling.settle()
    logging.disable(logging.INFO)  # a line for each request
    FileProvider.create(settings.KEY_FILE)
    settings.TRAIL_ORIGIN = ORIGIN
    settings.TRAIL_VERIFIERS = [str(signer.verifier)]
    client, asked = _auditor(), _asked(pages)
    client.get(LIST)  # connected, and everything imported
    took: dict[str, list[float]] = {name: [] for name in asked}
    for name, query in random.sample(
        [(name, one) for name, some in asked.items() for one in some], pages * len(asked)
    ):
        began = time.perf_counter()
        answer = client.get(LIST, query)
        took[name].append((time.perf_counter() - began) * 1e3)
        if answer.status_code != 200 or SLOW in answer.text:
            raise RuntimeError(f"no list for {name}: {answer.status_code}")
    print(json.dumps(took))
    left(url)


def _auditor() -> Any:
    from django.db import transaction  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415

    from hospital.accounts.models import Staff  # noqa: PLC0415
    from hospital.audit.actions import Action  # noqa: PLC0415
    from hospital.audit.recording import SYSTEM, record  # noqa: PLC0415
    from hospital.roles import Role  # noqa: PLC0415
    from tests import signing_in  # noqa: PLC0415

    with transaction.atomic():
        staff = Staff.objects.create_user(
            "zhou",
            secrets.token_urlsafe(),
            display_name="周",
            person_id="E-zhou",
            role=Role.AUDITOR,
        )
        record(Action.STAFF_CREATE, by=SYSTEM, on=staff, at=datetime.now(UTC), role=staff.role)
    client = Client()
    client.force_login(staff)
    signing_in.wholly(client)
    return client


def _asked(pages: int) -> dict[str, list[dict[str, str]]]:
    """Return what is asked for, of each kind so often: values of events that are there."""
    from hospital.audit.models import Event  # noqa: PLC0415

    last: int = Event.objects.order_by("-id").values_list("id", flat=True)[0]
    chance = random.Random(last)
    some = [Event.objects.get(id=chance.randrange(last // 2, last)) for _ in range(pages)]
    days = [datetime.fromtimestamp(one.at_us // 1_000_000, tz=UTC) for one in some]

    def during(day: datetime) -> dict[str, str]:
        return {"since": _minute(day - DAY), "until": _minute(day)}

    return {
        "newest": [{}] * pages,
        "all": [{"span": "all"}] * pages,
        "day": [during(day) for day in days],
        "page": [{"span": "all", "before": f"{one.at_us}.{one.id}"} for one in some],
        "actor": [{"actor": one.actor_id or some[0].actor_id, "span": "all"} for one in some],
        "actor, day": [
            {"actor": one.actor_id, **during(day)} for one, day in zip(some, days, strict=True)
        ],
        "action": [{"action": one.action, "span": "all"} for one in some],
        "action, day": [
            {"action": one.action, **during(day)} for one, day in zip(some, days, strict=True)
        ],
        "action, actor": [
            {"action": one.action, "actor": one.actor_id, "span": "all"} for one in some
        ],
        "refused": [{"outcome": "denied", "span": "all"}] * pages,
        "object": [{"object_type": one.object_type, "object_id": one.object_id} for one in some],
        "request": [{"request": one.request_id} for one in some],
        "nobody": [{"actor": "01900000-0000-7000-8000-000000000000", "span": "all"}] * pages,
    }


def _minute(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M")


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
