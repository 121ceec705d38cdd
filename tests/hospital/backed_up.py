"""
An installation with backups: real databases, real processes, keys of two people. Its own program.

What is told about a patient is told by a process that never held a key of theirs.
"""

import hashlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit
from uuid import UUID, uuid4

import psycopg
from django.core.management import call_command
from django.db import transaction
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.audit import proposing, restores
from hospital.audit.actions import Action
from hospital.audit.exporting import requests
from hospital.audit.models import Event, Export, ExportPart
from hospital.audit.recording import SYSTEM, record
from hospital.backup import finishing, identities, making, receipts, restoring
from hospital.crypto.keyring import SubjectForgotten
from hospital.errors import Refusal
from hospital.patients.models import Patient
from hospital.privacy.erasing import deciding, running, verifying
from hospital.privacy.models import Erasure
from hospital.roles import Role
from tests import new_place
from tests.house import postgresql
from tests.workplace import Workplace

KEYS = "KEYS_DATABASE_URL"
LATER = timedelta(hours=1)  # nobody remembers a key that long


@dataclass
class Place(Workplace):
    """One with a directory of backups, and the keys of two people."""

    first: str = ""
    second: str = ""

    def __post_init__(self) -> None:
        self.first = identities.create(self.var / "first.key")
        self.second = identities.create(self.var / "second.key")
        self.temporary.mkdir()

    @property
    def temporary(self) -> Path:
        return self.var / "tmp"

    @property
    def backups(self) -> Path:
        return self.var / "backups"

    @property
    def receipt(self) -> str:
        """The newest one's."""
        return str(max(self.backups.glob(f"*{receipts.ENDING}")))

    @property
    def keys(self) -> list[str]:
        return [
            *("--identity", str(self.var / "first.key")),
            *("--identity", str(self.var / "second.key")),
        ]

    @property
    def environment(self) -> dict[str, str]:
        ours = {
            "BACKUP_DIR": str(self.backups),
            "BACKUP_RECIPIENTS_FIRST": self.first,
            "BACKUP_RECIPIENTS_SECOND": self.second,
            "TMPDIR": str(self.temporary),
        }
        return super().environment | ours | self.more

    def restore(self, *args: str, ends: int = 0) -> str:
        return self.manage("restore", self.receipt, *self.keys, *args, ends=ends)

    def tell(self, *patients: str) -> dict[str, Any]:
        said: dict[str, Any] = json.loads(self.do("tell", *patients))
        return said

    def is_served(self) -> bool:
        """Whether there is anything under the name of what is served."""
        if self.is_postgresql:
            return self.name in _names_on_server()
        path = self.var / "hospital.sqlite3"
        return path.exists() and path.stat().st_size > 0

    def lose(self) -> None:
        """The database is gone; the ledger, on another disk, is not."""
        if self.is_postgresql:
            for name in self.names:
                _on_server(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")
            return
        for path in self.var.glob("*.sqlite3*"):
            path.unlink()

    @property
    def is_postgresql(self) -> bool:
        return self.url.startswith("postgres")

    @staticmethod
    def name_in(url: str) -> str:
        return urlsplit(url).path.removeprefix("/")

    @property
    def name(self) -> str:
        return self.name_in(self.url)

    @property
    def names(self) -> list[str]:
        """Of PostgreSQL's databases: the patients', and the keys' where they are apart."""
        return [self.name_in(url) for url in (self.url, self.more.get(KEYS)) if url]

    def databases(self) -> set[str]:
        """Return what lies there besides what is served."""
        if not self.is_postgresql:
            found = {one.name.partition(".sqlite3")[2] for one in self.var.glob("*.sqlite3*")}
            return found - {"", "-wal", "-shm"}
        return {
            found.removeprefix(name)
            for name in self.names
            for found in _names_on_server()
            if found.startswith(f"{name}_")
        }


def _names_on_server() -> set[str]:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        return {name for (name,) in server.execute("SELECT datname FROM pg_database").fetchall()}


def _on_server(statement: str) -> None:
    with psycopg.connect(os.environ["DATABASE_URL"], autocommit=True) as server:
        server.execute(statement)


@dataclass(frozen=True)
class Built:
    """Databases with their tables and two patients, to be copied: building takes its time."""

    url: str
    var: Path
    more: dict[str, str]
    patients: tuple[str, ...]

    @classmethod
    @contextmanager
    def on(cls, engine: str, var: Path) -> Iterator[Self]:
        """:param engine: `sqlite` or `postgresql`; and `apart`, with another one for the keys"""
        (var / "of").mkdir()
        kind, _, apart = engine.partition(" ")
        with ExitStack() as made:
            if kind == "postgresql":
                server = os.environ.get("DATABASE_URL", "")
                url, keys = (made.enter_context(postgresql(server)) for _ in range(2))
            else:
                url, keys = (f"sqlite:///{var}/of/{one}.sqlite3" for one in ("hospital", "keys"))
            more = {KEYS: keys} if apart else {}
            yield cls(url, var, more, _built(Place(url, var / "of", more=dict(more))))

    @contextmanager
    def copy(self, var: Path) -> Iterator[Place]:
        shutil.copy2(self.var / "of" / "root.key", var)
        if not self.url.startswith("postgres"):
            for path in (self.var / "of").glob("*.sqlite3*"):
                shutil.copy2(path, var)
            more = dict.fromkeys(self.more, f"sqlite:///{var}/keys.sqlite3")
            yield Place(f"sqlite:///{var}/hospital.sqlite3", var, more=more)
            return
        url, more = _copied(self.url), {name: _copied(url) for name, url in self.more.items()}
        place = Place(url, var, more=more)
        try:
            yield place
        finally:
            for name in _names_on_server():
                if name.startswith(tuple(place.names)):
                    _on_server(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _copied(url: str) -> str:
    """Return the URL of a copy on the same server."""
    name = f"place_{uuid4().hex[:12]}"
    _on_server(f"CREATE DATABASE {name} TEMPLATE {Place.name_in(url)}")
    return urlsplit(url)._replace(path=f"/{name}").geturl()


def _built(place: Place) -> tuple[str, ...]:
    return tuple(place.do("build").split())


# The program of the processes above.


def main(act: str, *args: str) -> None:
    {
        "build": _build,
        "enrol": _enrol,
        "forget": _forget,
        "wait": _wait,
        "tell": _tell,
        "killed": _killed,
        "approve": _approve,
    }[act](*args)


def _build() -> None:
    new_place.build()
    call_command("createcachetable", verbosity=0)
    for order in ("1", "2"):
        _enrol(order)


def _enrol(order: str) -> None:
    sys.stdout.write(f"{new_place.enrolled(order)}\n")


def _forget(patient: str) -> None:
    now = timezone.now()
    cause = Erasure.Cause.REQUEST
    deciding.begin(UUID(patient), cause=cause, cooling=timedelta(0), at=now)
    for at in (now, now + LATER):
        for pk in running.due(at=at):
            running.advance(pk, at=at)
    running.conclude_due(verify=verifying.by_a_cold_process, at=now + LATER)


def _wait() -> None:
    """Have a copy of the trail wait to be fetched."""
    at, content = timezone.now(), b"fetched"
    one = Export.objects.create(
        kind=Export.Kind.FILTERED,
        state=Export.State.READY,
        attempts=1,
        requested_by=uuid4(),
        requested_at=at,
        expires_at=at + LATER,
        sha256=hashlib.sha256(content).hexdigest(),
    )
    ExportPart.objects.create(export=one.pk, attempt=1, place=0, content=content)


def _fetched(export: Export) -> str:
    try:
        copy = requests.take(export, by=SYSTEM, clock=timezone.now)
    except Refusal as exc:
        return exc.code
    return b"".join(copy).decode()


def _tell(*patients: str) -> None:
    restored = Event.objects.filter(action="backup.restore").values_list("payload", flat=True)
    said = {
        "legible": [_is_legible(UUID(patient)) for patient in patients],
        "patients": Patient.objects.count(),
        "restored": [json.loads(payload)["facts"] for payload in restored],
        "copies": list(map(_fetched, Export.objects.all())),
    }
    sys.stdout.write(json.dumps(said))


def _is_legible(patient: UUID) -> bool:
    try:
        return bool(Patient.objects.get(pk=patient).real_name)
    except SubjectForgotten:
        return False


def _killed(moment: str, number: str, *command: str) -> None:
    """Carry out a command that is killed when it is about to do this for the nth time."""
    module, name = {
        "rename": (type(restoring.grounds()["data"]), "rename"),
        "load": (restoring.opening, "manifest_of"),
        "finish": (finishing, "finish"),
        "receipt": (making.receipts, "write"),
        "read back": (making, "_read_back"),
    }[moment]
    works, left = getattr(module, name), [int(number)]

    def killed(*args: Any, **kwargs: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os.kill(os.getpid(), signal.SIGKILL)
        return works(*args, **kwargs)

    setattr(module, name, killed)
    call_command(*command)


def _approve() -> None:
    """Have two people want that the newest backup is put back."""
    lin, mei = _staff("lin", Role.SYSTEM), _staff("mei", Role.SECURITY)
    backup, digest = next(iter(restores.known().items()))
    facts = {"backup": backup, "digest": digest}
    proposal = proposing.ask(restores.TAG, facts, reason="数据损坏", by=lin, at=timezone.now())
    proposing.decide(proposal, approves=True, by=mei, at=timezone.now())
    sys.stdout.write(str(proposal.pk))


@transaction.atomic
def _staff(name: str, role: Role) -> Staff:
    staff = Staff.objects.create_user(
        name, None, display_name=name, person_id=f"E-{name}", role=role
    )
    record(Action.STAFF_CREATE, by=SYSTEM, on=staff, at=timezone.now(), role=role)
    return staff
