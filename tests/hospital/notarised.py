"""A trail with its notary, for tests: what is written, sealed, signed, cosigned and verified."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import connection, transaction

from hospital.audit import guards, verification
from hospital.audit.actions import Action
from hospital.audit.anchoring import AnchorFile
from hospital.audit.checkpoint import Note, Signer
from hospital.audit.marking import Mark
from hospital.audit.notary import Notary
from hospital.audit.recording import SYSTEM, record
from hospital.audit.witness.desk import Desk
from hospital.audit.witness.server import application
from hospital.audit.witnessing import Witness

ORIGIN = "hospital.example/trail"
WITNESS = "witness.example"
BOTH = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
BEGAN = datetime(2026, 11, 20, 8, 0, 0, tzinfo=UTC)


def address() -> str:
    """Return the URL of the database this test works on, for a process of its own."""
    parts = urlsplit(os.environ["DATABASE_URL"])  # what a socket's URL has behind it stays
    return parts._replace(path=f"/{connection.settings_dict['NAME']}").geturl()


@dataclass
class House:
    """One hospital's trail. Its clock stands still until `later`."""

    directory: Path
    origin: str = ORIGIN
    now: datetime = BEGAN
    key: Ed25519PrivateKey = field(default_factory=Ed25519PrivateKey.generate)

    def __post_init__(self):
        self.signer = Signer(self.origin, self.key)
        self.mark = Mark(self.directory / "signed")
        self.anchor_file = AnchorFile(self.directory / "anchors")
        self.desk = Desk.at(self.directory / "witness", name=WITNESS)
        self.desk.trust(self.signer.verifier)
        self.is_witness_away = False

    @property
    def verifiers(self):
        return [self.signer.verifier, self.desk.signer.verifier]

    def later(self, **how):
        self.now += timedelta(**how)

    def write(self, count=1):
        """Record that many events; return their ids."""
        with transaction.atomic():
            return [
                record(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=self.now).pk
                for _ in range(count)
            ]

    def notary(self, *, witnessed=False):
        return Notary(
            self.signer,
            self.mark,
            now=self.now,
            witness=self.witness() if witnessed else None,
            anchor=self.anchor_file,
        )

    def witness(self):
        """The log's side of a witness that is asked without a socket in between."""
        app = application(self.desk, clock=self.now.timestamp)

        def answer(request):
            if self.is_witness_away:
                raise httpx.ConnectError("away", request=request)
            return httpx.WSGITransport(app=app).handle_request(request)

        http = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://witness/")
        return Witness(http, [self.desk.signer.verifier])

    def seal(self, count=1, *, witnessed=False):
        """Record events and have them sealed, as a notary started just now would."""
        events = self.write(count)
        self.notary(witnessed=witnessed).step(now=self.now)
        return events

    def verify(self, **how):
        how.setdefault("verifiers", [self.signer.verifier])
        return verification.verify(at=self.now, **how)

    def kinds(self, **how):
        """Return the words of what is found, each once."""
        return sorted({one.kind for one in self.verify(**how).findings})


def note(row):
    return Note.parse(row.note)


def tamper(statement, parameters=()):
    """Do what the owner of the database can do, and leave no sign of how."""
    guards.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)
    guards.install(connection)
