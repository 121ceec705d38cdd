import json
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.utils import timezone
from rest_framework.authtoken.models import Token

from devices.agent import keys
from devices.models import Store, Terminal, TerminalKey
from faceauth import credential
from faceauth.models import Merchant
from hospital.accounts.models import Staff
from hospital.crypto.providers.file import FileProvider
from hospital.demo.installation import write_private
from hospital.roles import Role
from tests.benchmarks.reference.answer import AUTHINFO

ALGORITHM: keys.Algorithm = "ecdsa-p256-sha256"  # what a terminal makes by itself


class Command(BaseCommand):
    """
    Fill an empty database: terminals whose authinfo is kept already, and somebody with a token.

    Writes their secrets into a file, which last as long as the benchmark.
    """

    requires_system_checks: list[str] = []  # the admin would miss its middleware

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("terminals", type=int)
        parser.add_argument("secrets", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        FileProvider.create(settings.KEY_FILE)
        call_command("migrate", run_syncdb=True, verbosity=0)
        call_command("createcachetable", verbosity=0)
        store = Store.objects.create(code="menzhen", name="门诊楼")
        merchant = Merchant.objects.create(appid="wx0000000000000000", mch_id="1900000000")
        terminals = [_terminal(n, store, merchant) for n in range(options["terminals"])]
        secrets = {"token": _token(), "terminals": terminals}
        write_private(options["secrets"], json.dumps(secrets))


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


def _token() -> str:
    staff = Staff.objects.create_user(
        "lin", None, display_name="林工", person_id="E-lin", role=Role.SYSTEM
    )
    return str(Token.objects.create(user=staff).key)
