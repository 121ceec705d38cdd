import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection, transaction
from django.utils import timezone
from rest_framework.authtoken.models import Token

from devices.agent import keys
from devices.models import Store, Terminal, TerminalKey
from faceauth import consent, credential
from faceauth.models import Consent, FaceSession, Merchant, Notice
from hospital.accounts.models import Staff
from hospital.audit import guards
from hospital.audit.recording import SYSTEM
from hospital.crypto.indexes import token_digests
from hospital.crypto.providers.file import FileProvider
from hospital.demo.installation import write_private
from hospital.roles import Role
from tests.benchmarks.reference.answer import AUTHINFO

ALGORITHM: keys.Algorithm = "ecdsa-p256-sha256"  # what a terminal makes by itself
BATCH = 1_000  # rows of one statement, which takes 65,535 values at most


class Command(BaseCommand):
    """
    Fill an empty database: terminals whose authinfo is kept already, visits, and who has a token.

    Writes their secrets into a file, which last as long as the benchmark.
    """

    requires_system_checks: list[str] = []  # the admin would miss its middleware

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("terminals", type=int)
        parser.add_argument("sessions", type=int)
        parser.add_argument("secrets", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        FileProvider.create(settings.KEY_FILE)
        call_command("migrate", run_syncdb=True, verbosity=0)
        call_command("createcachetable", verbosity=0)
        with _unheld():
            secrets = _made(options["terminals"], options["sessions"])
        write_private(options["secrets"], json.dumps(secrets))


@contextmanager
def _unheld() -> Iterator[None]:
    """Nothing that is made here has an event."""
    if connection.vendor != "postgresql":
        guards.remove(connection)
        yield
        return
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield


def _made(terminals: int, sessions: int) -> dict[str, Any]:
    store = Store.objects.create(code="menzhen", name="门诊楼")
    merchant = Merchant.objects.create(appid="wx0000000000000000", mch_id="1900000000")
    return {
        "token": _token(),
        "terminals": [_terminal(n, store, merchant) for n in range(terminals)],
        "sessions": _sessions(sessions, merchant),
    }


def _terminal(number: int, store: Store, merchant: Merchant) -> dict[str, str]:
    now, private_key = timezone.now(), keys.make(ALGORITHM)
    terminal = Terminal.objects.create(serial=f"T-{number:04}", name="大厅", store=store)
    key = TerminalKey.objects.create(
        id=keys.key_id(private_key),
        terminal=terminal,
        algorithm=ALGORITHM,
        public_key=keys.public_pem(private_key),
        created_at=now,
    )
    made = credential.Credential(AUTHINFO, now, now + timedelta(minutes=55))
    credential.keep(terminal, merchant, made, at=now)
    pem = keys.to_pem(private_key).decode()
    return {"serial": terminal.serial, "key_id": key.pk, "key": pem}


def _sessions(count: int, merchant: Merchant) -> list[dict[str, str]]:
    """Return visits of people who were seen, shared out among the terminals."""
    now, notice = timezone.now(), _notice()
    terminals = list(Terminal.objects.order_by("serial"))
    consents = [
        Consent(
            notice=notice,
            notice_digest=notice.digest,
            granted=True,
            purposes=["onboarding"],
            terminal=terminals[number % len(terminals)],
            at=now,
        )
        for number in range(count)
    ]
    sessions = [
        FaceSession(
            terminal=agreed.terminal,
            merchant=merchant,
            consent=agreed,
            state=FaceSession.State.SEEN,
            face_sid=f"sid-{number:028}",
            face_sid_index=token_digests("face_session.face_sid", f"sid-{number:028}")[0],
            opened_at=now,
        )
        for number, agreed in enumerate(consents)
    ]
    Consent.objects.bulk_create(consents, batch_size=BATCH)
    FaceSession.objects.bulk_create(sessions, batch_size=BATCH)
    return [{"id": str(one.pk), "terminal": one.terminal.serial} for one in sessions]


def _notice() -> Notice:
    purposes = [{"code": "onboarding", "label": "建立档案", "required": True}]
    notice = Notice.objects.create(
        version=1, title="告知书", text="……", purposes=purposes, fallback="人工窗口"
    )
    consent.enforce(notice, by=SYSTEM, at=timezone.now())
    notice.refresh_from_db()
    return notice


def _token() -> str:
    staff = Staff.objects.create_user(
        "lin", None, display_name="林工", person_id="E-lin", role=Role.SYSTEM
    )
    return str(Token.objects.create(user=staff).key)
