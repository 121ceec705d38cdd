"""
A backup is made and put back by real processes, which are killed in between: what is served is
whole or not there, and whoever was forgotten since stays forgotten.
"""

import re
import signal
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from hospital.backup.engines import Trouble
from hospital.backup.engines.postgresql import PostgreSQL
from tests.hospital.backed_up import KEYS, Built, Place
from tests.hospital.notarised import address

POSTGRESQL = pytest.param("postgresql", marks=pytest.mark.postgresql)
APART = pytest.param("postgresql apart", marks=pytest.mark.postgresql)
KILLED = -signal.SIGKILL


@pytest.fixture(scope="module")
def built(request, tmp_path_factory):
    with Built.on(request.param, tmp_path_factory.mktemp("built")) as built:
        yield built


@pytest.fixture
def place(built, tmp_path):
    with built.copy(tmp_path) as place:
        yield place


@pytest.mark.parametrize("built", ["sqlite"], indirect=True)
def test_the_ledgers_own_database_is_in_no_backup_and_nothing_puts_it_back(built, place):
    gone, stays = built.patients
    file = place.var / "elsewhere" / "ledger.sqlite3"
    file.parent.mkdir()
    place.more["LEDGER_DATABASE_URL"] = f"sqlite:///{file}"
    place.manage("migrate", "--database", "ledger", "-v0")
    place.manage("backup")
    assert len([*place.backups.glob("*.age")]) == 1
    place.do("forget", gone)
    before = _dumped(file)
    assert gone in before

    assert "重做其后的删除 1 项" in place.manage("drillrestore", place.receipt, *place.keys)
    place.lose()
    assert "重做其后的删除 1 项" in place.restore()

    assert place.tell(gone, stays)["legible"] == [False, True]
    assert _dumped(file) == before
    assert [one.name for one in file.parent.glob("*ledger*_*")] == []
    assert place.starts()


@pytest.mark.parametrize("built", ["sqlite"], indirect=True)
def test_a_ledger_in_the_database_that_is_put_back_is_none(built, place):
    """Not even its table is made there, so nobody is served."""
    place.more["LEDGER_DATABASE_URL"] = place.url

    place.manage("migrate", "--database", "ledger", "-v0")

    assert not place.starts()
    assert "台账无法读取" in place.manage("replayerasures", ends=1)


def _dumped(file):
    with closing(sqlite3.connect(file)) as ledger:
        return "\n".join(ledger.iterdump())


@pytest.mark.parametrize("built", ["sqlite apart", POSTGRESQL, APART], indirect=True)
def test_a_backup_brings_back_all_but_who_was_forgotten(built, place):
    gone, stays = built.patients
    place.do("wait")
    assert "已完成并读回核对" in place.manage("backup")
    place.do("forget", gone)

    drilled = place.manage("drillrestore", place.receipt, *place.keys)
    assert "重做其后的删除 1 项" in drilled
    assert "演练通过" in drilled
    assert place.databases() == set()
    assert "数据库里已有账号或患者，不恢复" in place.restore(ends=1)

    place.lose()
    moments = [("load", "2"), ("finish", "1"), ("rename", "1")]
    if apart := KEYS in place.more:
        moments.append(("rename", "2"))  # the keys are in place, and nobody else
    for moment, number in moments:
        command = ("restore", place.receipt, *place.keys)
        place.do("killed", moment, number, *command, ends=KILLED)
        assert not place.is_served()
    said = place.restore()

    assert "与备份时逐表一致" in said
    assert "重做其后的删除 1 项" in said
    told = place.tell(gone, stays)
    assert told["legible"] == [False, True]
    [restored] = told["restored"]
    assert (restored["first"], restored["second"]) == (place.first, place.second)
    assert told["copies"] == ["lost"]  # what waits to be fetched is in no backup
    # What the killed one had put in its place is somebody's keys: it is not thrown away.
    assert {ending[:7] for ending in place.databases()} == ({"_before"} if apart else set())
    assert place.starts()


@pytest.mark.parametrize("built", ["sqlite apart"], indirect=True)
def test_killed_before_its_receipt_it_is_no_backup(place):
    for moment in ("read back", "receipt"):
        place.do("killed", moment, "1", "backup", ends=KILLED)
        assert list(place.backups.glob("*.receipt.json")) == []
    place.manage("backup")

    left = sorted(path.name.partition(".")[2] for path in place.backups.iterdir())
    assert left == ["data.age", "keys.age", "receipt.json"]
    assert "今天已有备份" in place.manage("backup")
    lying_about = {path.name for path in place.temporary.iterdir()}
    assert all(name.startswith("face-tests-") for name in lying_about)  # of who was killed
    for path in place.backups.iterdir():
        content = path.read_bytes()
        assert not any(secret in content for secret in ("张1".encode(), b"E00000001", b"SQLite"))


@pytest.mark.parametrize("built", ["sqlite apart", POSTGRESQL], indirect=True)
def test_two_people_put_it_in_the_place_of_another_and_the_notary_begins_a_new_log(built, place):
    _with_a_notary(place)
    place.manage("backup")
    assert "没有两个人批准" in place.restore("--replace", ends=1)
    proposal = place.do("approve").strip()
    assert "还没有封存" in place.restore("--replace", ends=1)
    place.do("enrol", "3")  # who is not in the backup
    place.manage("runnotary", "--once")

    said = place.restore("--replace")

    assert "原来的数据库保留为" in said
    assert all("_before_" in ending for ending in place.databases())
    told = place.tell(*built.patients)
    assert (told["patients"], told["legible"]) == (2, [True, True])
    [restored] = told["restored"]
    assert restored["proposal"] == proposal
    assert restored["asked_by"] != restored["approved_by"]
    # The old log is not continued by accident: a new one begins, and says where the old one was.
    assert "smaller" in place.manage("runnotary", "--once", ends=3)
    _with_a_notary(place, epoch=2)
    place.manage("verifyaudit")


def test_a_name_that_postgresql_would_cut_off_is_refused_before_anything_is_made():
    """The name of the copy would be cut down to that of what is served, which would be dropped."""
    ground = PostgreSQL("default")
    ground.name = "h" * 42

    with pytest.raises(Trouble, match="太长"):
        ground.demand_takes("15.1")


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_no_migration_rewrites_a_table_under_a_backup():
    """To who sees the moment before, it would be empty, and the backup whole."""
    with PostgreSQL("default").snapshot(), psycopg.connect(address()) as migration:
        migration.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            migration.execute("ALTER TABLE devices_store ALTER COLUMN code TYPE text")


@pytest.mark.parametrize("built", [POSTGRESQL], indirect=True)
def test_no_password_is_on_a_command_line_and_an_old_program_is_refused(place, tmp_path):
    programs, seen = tmp_path / "bin", tmp_path / "seen"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore"):
        _wrapped(programs, name, seen)
    place.more["BACKUP_PG_BIN"] = str(programs)
    place.url = re.sub(r"//postgres:?@", "//postgres:s3cret-word@", place.url)

    place.manage("backup")

    assert "--snapshot=" in seen.read_text()
    assert "s3cret-word" not in seen.read_text()
    assert list(place.temporary.iterdir()) == []
    (programs / "pg_dump").write_text("#!/bin/sh\necho 'pg_dump (PostgreSQL) 9.6.24'\n")
    assert "pg_dump 是 9 版" in place.manage("backup", "--again", ends=1)


def _with_a_notary(place: Place, *, epoch: int = 1) -> None:
    place.more |= {
        "TRAIL_ORIGIN": f"hospital.example/trail/{epoch}",
        "NOTARY_KEY_FILE": str(place.var / f"notary-{epoch}.pem"),
        "NOTARY_STATE": str(place.var / "signed"),
    }
    public = place.manage("createlogkey").split()[-1]
    known = place.more.get("TRAIL_VERIFIERS")
    place.more["TRAIL_VERIFIERS"] = f"{known},{public}" if known else public
    place.manage("runnotary", "--once")


def _wrapped(programs: Path, name: str, seen: Path) -> None:
    path = programs / name
    path.write_text(f'#!/bin/sh\necho "$0 $@" >> {seen}\nexec {name} "$@"\n')
    path.chmod(stat.S_IRWXU)
