"""
Somebody is erased and the process that does it is killed, again and again: they are gone all the
same, once, and a backup does not bring them back.

The processes are real, and so is the one that examines at the end, which never held a key. This
file is also their program (`main`).
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import psycopg
import pytest
from django.core.management import call_command
from django.utils import timezone

from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.crypto.keyring import SubjectForgotten
from hospital.patients.models import Patient, WechatAccount
from hospital.privacy.erasing import deciding, ledger, ledger_table, running, standing, verifying
from hospital.privacy.models import Erasure
from tests import ledgers, new_place
from tests.house import postgresql
from tests.workplace import Workplace

LATER = timedelta(hours=1)  # nobody remembers a key that long

LEDGER = "LEDGER_DATABASE_URL"
LYING = "the line lies there and is not committed"  # where the ledger is a table

# Where it is killed: a function, and whether before or after its work is done.
MOMENTS: dict[str, tuple[Any, str, bool]] = {
    "nothing has happened yet": (running, "begin", False),
    "it has begun": (running, "begin", True),
    "the ledger knows nothing": (ledger, "append", False),
    LYING: (ledger_table, "_insert", True),
    "the ledger knows and the database does not": (ledger, "append", True),
    "the database knows it as well": (running, "write_down", True),
    "no key is gone": (running, "destroy_keys", False),
    "the keys are gone and nothing says so": (running.keyring, "destroy", True),
    "the keys are on record": (running, "destroy_keys", True),
    "the rows are cleared and not committed": (running, "_cleared", True),
    "the rows are committed": (running, "clear_rows", True),
    "the traces are gone": (running, "clear_traces", True),
    "nobody has looked": (verifying, "by_a_cold_process", False),
    "it was looked at": (verifying, "by_a_cold_process", True),
    "the end is not committed": (running, "say", True),
}

# Between what is not in one transaction: with SQLite these are enough.
AT_LEAST = (
    "the ledger knows and the database does not",
    "the keys are gone and nothing says so",
    "the rows are committed",
)
# Wherever the ledger lies, what comes before and after is the same.
AT_THE_LEDGER = (
    "the ledger knows nothing",
    LYING,
    "the ledger knows and the database does not",
    "the database knows it as well",
)


@dataclass
class Ward(Workplace):
    """One in which people are born, and forgotten."""

    born: int = 0

    @property
    def moments(self) -> list[str]:
        if self.url.startswith("sqlite"):
            return [*AT_LEAST]
        if LEDGER in self.more:
            return [*AT_THE_LEDGER]
        return [moment for moment in MOMENTS if moment != LYING]

    def start_refused(self) -> str:
        """Start what serves people, and return why it did not."""
        ended = self.call("-c", "import hospital.wsgi")
        assert ended.returncode != 0
        return ended.stderr.splitlines()[-1]

    def enrol(self, then: str = "") -> str:
        """Return the id of somebody new; `then` they are decided upon, or erased as well."""
        self.born += 1
        return self.do("enrol", str(self.born), then).strip()

    def tell(self, patient: str, after: str = "") -> dict[str, Any]:
        """Return what is to be seen of somebody, perhaps after another turn at erasing."""
        said: dict[str, Any] = json.loads(self.do("tell", patient, after))
        return said

    def next(self, before: str, moment: str) -> tuple[dict[str, Any], str]:
        """
        Return what is to be seen of who came before, after another turn at erasing; and who is new.

        :param moment: of whose erasing the process is killed; "" for nobody's
        """
        self.born += 1
        ends = -signal.SIGKILL if moment else 0
        said = self.do("next", before, str(self.born), moment, ends=ends)
        told, patient = said.splitlines()
        return json.loads(told), patient

    def copy(self) -> Callable[[], None]:
        """Make a backup of the database; return what puts it back."""
        if not self.url.startswith("postgres"):
            file, kept = Path(self.url.removeprefix("sqlite:///")), self.var / "backup"
            _copy_sqlite(file, kept)
            return lambda: _copy_sqlite(kept, file)
        name = urlsplit(self.url).path.removeprefix("/")
        _on_server(f"CREATE DATABASE {name}_copy TEMPLATE {name}")

        def restore() -> None:
            _on_server(f"DROP DATABASE {name} WITH (FORCE)")
            _on_server(f"CREATE DATABASE {name} TEMPLATE {name}_copy")
            _on_server(f"DROP DATABASE {name}_copy")

        return restore

    def lines(self) -> list[str]:
        """Return the ledger's, wherever they lie."""
        if url := self.more.get(LEDGER):
            rows = ledgers.on_server(url, "SELECT line FROM erasure_ledger ORDER BY place")
            return [str(line) for (line,) in rows]
        return self.ledger.read_text().splitlines()

    def write(self, lines: list[str]) -> None:
        """Put these there instead, as who owns the disk or the table can."""
        if not (url := self.more.get(LEDGER)):
            self.ledger.write_text("".join(f"{line}\n" for line in lines))
            return
        with psycopg.connect(url) as forger:
            forger.execute("ALTER TABLE erasure_ledger DISABLE TRIGGER USER")
            forger.execute("DELETE FROM erasure_ledger")
            for place, line in enumerate(lines, start=1):
                forger.execute("INSERT INTO erasure_ledger VALUES (%s, %s)", [place, line])
            forger.execute("ALTER TABLE erasure_ledger ENABLE ALWAYS TRIGGER erasure_ledger_kept")


def _copy_sqlite(file: Path, to: Path) -> None:
    for end in ("", "-wal", "-shm"):
        source, target = Path(f"{file}{end}"), Path(f"{to}{end}")
        target.unlink(missing_ok=True)
        if source.exists():
            shutil.copyfile(source, target)


def _on_server(statement: str) -> None:
    server = os.environ["DATABASE_URL"]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(statement)


@pytest.fixture(
    params=[
        "sqlite",
        pytest.param("postgresql", marks=pytest.mark.postgresql),
        pytest.param("ledger in a database", marks=pytest.mark.postgresql),
    ],
    scope="module",
)
def ward(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Ward]:
    var = tmp_path_factory.mktemp("ward")
    if request.param == "sqlite":
        ward = Ward(f"sqlite:///{var}/hospital.sqlite3", var)
        ward.do("build")
        yield ward
        return
    server = os.environ.get("DATABASE_URL", "")
    with postgresql(server) as url, postgresql(server) as apart:
        ward = Ward(url, var, more={LEDGER: apart} if "ledger" in request.param else {})
        ward.do("build")
        yield ward


def test_killed_at_any_moment_they_are_gone_all_the_same(ward):
    """One process for each moment: it tells what became of who came before, and is killed."""
    before = killed_when = ""
    for moment in [*ward.moments, ""]:
        told, patient = ward.next(before, moment)
        if before:
            assert told["state"] == "done", killed_when
            assert told["steps"] == ["begun", "keys", "rows", "traces", "done"], killed_when
            assert told["lines"] == 1, killed_when
            assert not told["is_legible"], killed_when
        before, killed_when = patient, moment


def test_a_backup_brings_nobody_back(ward):
    first, second = ward.enrol(), ward.enrol()
    restore = ward.copy()
    ward.do("decide", first)
    ward.do("decide", second)
    assert not ward.tell(first, after="erase")["is_legible"]

    restore()

    assert ward.tell(first)["is_legible"]  # that is what a backup does
    assert "replayerasures" in ward.start_refused()
    assert "需要重做 2 项删除" in ward.manage("replayerasures", "--dry-run")
    assert ward.tell(first)["is_legible"]
    assert "重做完成" in ward.manage("replayerasures")
    for patient in (first, second):
        said = ward.tell(patient)
        assert (said["state"], said["is_legible"]) == ("done", False)
    assert "没有需要重做的删除" in ward.manage("replayerasures")
    assert "其中 0 项仍可读取" in ward.manage("verifyerasure")
    assert ward.starts()
    # The ledger goes on where it was.
    assert ward.tell(ward.enrol(then="decide"), after="erase")["lines"] == 1


def test_a_replay_that_is_killed_is_taken_up_again(ward):
    patient = ward.enrol()
    restore = ward.copy()
    ward.do("decide", patient)
    ward.do("erase", "")
    restore()

    for moment in ("the keys are gone and nothing says so", "the rows are committed"):
        ward.do("replay", moment, ends=-signal.SIGKILL)
        assert "replayerasures" in ward.start_refused()
    ward.manage("replayerasures")

    said = ward.tell(patient)
    assert (said["state"], said["is_legible"]) == ("done", False)
    assert ward.starts()


def test_a_ledger_that_is_gone_or_changed_serves_nobody(ward):
    patient = ward.enrol(then="decide")
    ward.do("erase", "")
    whole = ward.lines()

    ward.write([])
    assert "台账缺失" in ward.start_refused()
    assert "台账缺失" in ward.manage("replayerasures", ends=1)
    ward.write([line.replace(patient, "0" * 36) for line in whole])
    assert "台账被改动" in ward.start_refused()
    ward.write(whole)
    assert ward.starts()


def test_a_backup_of_the_key_tables_alone_brings_nobody_back(tmp_path):
    keys = tmp_path / "keys.sqlite3"
    ward = Ward(
        f"sqlite:///{tmp_path}/hospital.sqlite3",
        tmp_path,
        more={"KEYS_DATABASE_URL": f"sqlite:///{keys}"},
    )
    ward.do("build")
    patient = ward.enrol()
    _copy_sqlite(keys, tmp_path / "keys-backup")
    ward.do("decide", patient)
    # Nobody is found by an index any more, but what was sealed can be opened.
    assert not ward.tell(patient, after="erase")["has_key"]

    _copy_sqlite(tmp_path / "keys-backup", keys)

    assert ward.tell(patient)["has_key"]
    assert "replayerasures" in ward.start_refused()
    ward.manage("replayerasures")
    said = ward.tell(patient)
    assert not said["has_key"]
    assert not said["is_legible"]
    assert ward.starts()


# The program of the processes above.


def main(act: str, *args: str) -> None:
    {
        "build": _build,
        "enrol": _enrol,
        "next": _next,
        "decide": _decide,
        "erase": _erase,
        "replay": _replay,
        "tell": _tell,
    }[act](*args)


def _build() -> None:
    new_place.build()


def _next(before: str, order: str, moment: str) -> None:
    sys.stdout.write(json.dumps(_told(before, "erase") if before else {}) + "\n")
    patient = new_place.enrolled(order)
    sys.stdout.write(f"{patient}\n")
    sys.stdout.flush()
    if moment:
        _decide(patient)
        _erase(moment)


def _enrol(order: str, then: str) -> None:
    patient = new_place.enrolled(order)
    if then:
        _decide(patient)
    sys.stdout.write(patient)


def _decide(patient: str) -> None:
    cause = Erasure.Cause.REQUEST
    deciding.begin(UUID(patient), cause=cause, cooling=timedelta(0), at=timezone.now())


def _erase(moment: str) -> None:
    _to_be_killed(moment)
    now = timezone.now()
    for at in (now, now + LATER):
        for pk in running.due(at=at):
            running.advance(pk, at=at)
    running.conclude_due(verify=verifying.by_a_cold_process, at=now + LATER)


def _replay(moment: str) -> None:
    _to_be_killed(moment)
    call_command("replayerasures")


def _to_be_killed(moment: str) -> None:
    if not moment:
        return
    module, name, is_after = MOMENTS[moment]
    works = getattr(module, name)

    def killed(*args: Any, **kwargs: Any) -> Any:
        if moment == "the end is not committed" and args[1] != Erasure.State.DONE:
            return works(*args, **kwargs)
        if is_after:
            works(*args, **kwargs)
        os.kill(os.getpid(), signal.SIGKILL)
        return None

    setattr(module, name, killed)


def _tell(patient: str, after: str) -> None:
    sys.stdout.write(json.dumps(_told(patient, after)))


def _told(patient: str, after: str) -> dict[str, Any]:
    """Return what is to be seen of somebody, by a process that remembers none of their keys."""
    if after:
        _erase("")
    subject = UUID(patient)
    erasure = Erasure.objects.filter(subject=subject).first()
    steps = [json.loads(payload)["facts"]["step"] for payload in _events(subject)]
    return {
        "state": erasure.state if erasure else "",
        "steps": steps,
        "lines": sum(line.entry.subject == subject for line in standing.lines()),
        "is_legible": _is_legible(subject),
        "has_key": bool(keyring.alive([subject])),
    }


def _events(subject: UUID) -> list[str]:
    rows = Event.objects.on(Patient(pk=subject)).filter(action="erasure.step", outcome="success")
    return list(rows.order_by("id").values_list("payload", flat=True))


def _is_legible(subject: UUID) -> bool:
    patient = Patient.objects.get(pk=subject)
    try:
        is_open = bool(patient.real_name)
    except SubjectForgotten:
        is_open = False
    is_found = any(
        getattr(patient, column)
        for index in (Patient.by_document, Patient.by_name_and_birth)
        for column in index.columns
    )
    return is_open or is_found or WechatAccount.objects.filter(patient=subject).exists()
