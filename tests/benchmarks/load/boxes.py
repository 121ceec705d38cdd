"""`python -m tests.benchmarks.load.boxes COUNT FILE`: terminals with keys, and their secrets."""

import json
import sys
from pathlib import Path
from typing import Any

import django

from devices.agent import keys
from hospital.demo.installation import write_private

ALGORITHM: keys.Algorithm = "ecdsa-p256-sha256"  # what a terminal makes by itself


def main(count: int, answer: Path) -> None:
    django.setup()
    from django.db import connection, transaction  # noqa: PLC0415 (after the setup)

    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")  # nothing here has an event
        made = [_made(number) for number in range(count)]
    write_private(answer, json.dumps(made))


def _made(number: int) -> dict[str, Any]:
    from django.utils import timezone  # noqa: PLC0415

    from devices.models import Store, Terminal, TerminalKey  # noqa: PLC0415

    key, store = keys.make(ALGORITHM), Store.objects.earliest("code")
    terminal = Terminal.objects.create(serial=f"L-{number:04}", name="大厅", store=store)
    TerminalKey.objects.create(
        id=keys.key_id(key),
        terminal=terminal,
        algorithm=ALGORITHM,
        public_key=keys.public_pem(key),
        created_at=timezone.now(),
    )
    return {"key_id": keys.key_id(key), "key": keys.to_pem(key).decode()}


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
