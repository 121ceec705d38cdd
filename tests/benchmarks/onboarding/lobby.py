"""
People who said yes, by the hundred: sessions as a terminal leaves them, and the knock on the door.

Run as a process of its own, on the house's database and broker:

    {"base_url": …, "face_sids": […]}   makes a session of each, for a WeChat at that address
    wake 100                            publishes the next hundred, as a terminal's request does
    carry 100                           publishes a hundred messages for the libraries alone
    do 100                              onboards the next hundred right here, in threads
    count 20                            onboards the next twenty, one after the other
    rest                                lets its connections go, of which a server has a hundred

To each line it answers with one: the seconds of CPU it took, all threads; to `count` how many
statements to the database and operations with an RSA key one of them took, at the most.
"""

import cProfile
import json
import re
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any
from uuid import UUID

import django

THREADS = 32
_OF_RSA = re.compile(r"'(sign|verify|encrypt|decrypt)' of '.*\.RSA(Private|Public)Key'")
_VERBS = ("WITH", "SELECT", "INSERT", "UPDATE", "DELETE")


def main() -> None:
    django.setup()
    waiting: Iterator[UUID] = iter(())
    address = ""
    for line in sys.stdin:
        began = time.process_time()
        match line.split():
            case "wake", count:
                _wake(islice(waiting, int(count)))
            case "carry", count:
                _carry(int(count), address)
            case "do", count:
                _do(islice(waiting, int(count)))
            case "count", count:
                _, *found = map(_counted, islice(waiting, int(count)))  # the first warms up
                print(*map(max, zip(*found, strict=True)), flush=True)
                continue
            case ["rest"]:
                _rest()
            case _:
                given = json.loads(line)
                waiting = iter(_fill(**given))
                address = f"{given['base_url']}/v3/facemch/users/{given['face_sids'][0]}?appid=wx"
        print(time.process_time() - began, flush=True)


def _fill(base_url: str, face_sids: list[str]) -> list[UUID]:
    from django.db import connection, transaction  # noqa: PLC0415 (after the setup)
    from django.utils import timezone  # noqa: PLC0415

    from devices.models import Terminal  # noqa: PLC0415
    from faceauth.models import Consent, FaceSession, Merchant, Notice  # noqa: PLC0415
    from hospital.crypto.indexes import token_digests  # noqa: PLC0415

    terminal, merchant = Terminal.objects.earliest("serial"), Merchant.objects.current()
    now, notice = timezone.now(), Notice.objects.get()
    agreed = [
        Consent(
            notice=notice,
            notice_digest=notice.digest,
            granted=True,
            purposes=sorted(notice.required_codes),
            terminal=terminal,
            at=now,
        )
        for _ in face_sids
    ]
    sessions = [
        FaceSession(
            terminal=terminal,
            merchant=merchant,
            consent=consent,
            state=FaceSession.State.AUTHORIZED,
            face_sid=face_sid,
            face_sid_index=token_digests("face_session.face_sid", face_sid)[0],
            opened_at=now,
            due_at=now,
        )
        for consent, face_sid in zip(agreed, face_sids, strict=True)
    ]
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # nothing here has an event
        Merchant.objects.update(v3_base_url=base_url, changed_at=now)
        Consent.objects.bulk_create(agreed)
        FaceSession.objects.bulk_create(sessions)
    return [session.pk for session in sessions]


def _wake(sessions: Iterator[UUID]) -> None:
    import hospital.celery  # noqa: F401, PLC0415 (or tasks know no broker)
    from faceauth import tasks  # noqa: PLC0415

    for session in sessions:
        tasks.onboard.delay(session_id=str(session))


def _carry(count: int, address: str) -> None:
    import hospital.celery  # noqa: F401, PLC0415 (or tasks know no broker)
    from tests.benchmarks.onboarding import libraries  # noqa: PLC0415

    for _ in range(count):
        libraries.carry.delay(url=address)


def _do(sessions: Iterator[UUID]) -> None:
    with ThreadPoolExecutor(THREADS) as threads:
        list(threads.map(_onboard, sessions))


def _rest() -> None:
    from django.db import connection  # noqa: PLC0415 (after the setup)

    connection.close()
    connection.close_pool()


def _onboard(session: UUID) -> None:
    from django.db import close_old_connections  # noqa: PLC0415
    from django.utils import timezone  # noqa: PLC0415

    from faceauth import connection, onboarding  # noqa: PLC0415

    onboarding.onboard(session, client_for=connection.identity_client, clock=timezone.now)
    close_old_connections()  # as Celery does after each task


def _counted(session: UUID) -> tuple[int, int]:
    """Onboard one; return how many statements and how many operations with an RSA key it took."""
    from django.db import connection  # noqa: PLC0415

    statements: list[str] = []

    def noting(execute: Any, sql: Any, *rest: Any) -> Any:
        statements.append(str(sql))
        return execute(sql, *rest)

    with connection.execute_wrapper(noting), cProfile.Profile() as profile:
        _onboard(session)
    profile.create_stats()
    operations = sum(
        calls for (*_, name), (calls, *_) in profile.stats.items() if _OF_RSA.search(name)
    )
    return len([one for one in statements if one.startswith(_VERBS)]), operations


if __name__ == "__main__":
    main()
