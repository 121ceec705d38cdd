"""`kill -9` of the forwarder in the middle of it: the log server misses nothing."""

import os
import re

import pytest

from tests.durability.test_notary_killed import PATIENCE, WRITE, Installation
from tests.hospital.certificates import Authority
from tests.hospital.log_server import LogServer
from tests.house import postgresql, until

pytestmark = pytest.mark.postgresql

MANY = WRITE.replace("range(7)", "range(3000)")
INDEX = re.compile(rb' index="(\d+)"')


@pytest.fixture
def installation(tmp_path):
    with postgresql(os.environ.get("DATABASE_URL", "")) as url:
        yield Installation(url, tmp_path)


@pytest.fixture
def siem(installation, tmp_path):
    authority = Authority(tmp_path / "authority")
    with LogServer(*authority.server(), manner="slow") as server:
        installation.environment |= {
            "FORWARD_ADDRESS": f"127.0.0.1:{server.port}",
            "FORWARD_CA": str(authority.path),
        }
        yield server


def received(server):
    return [int(INDEX.search(one)[1]) for one in server.messages]


def acknowledged(installation):
    return sum(count for (count,) in installation.sql("SELECT acknowledged FROM audit_forwarded"))


def test_killed_again_and_again_it_leaves_no_gap(installation, siem, tmp_path):
    installation.run("-c", MANY)
    installation.run("manage.py", "runnotary", "--once")
    total = len(installation.sealed())

    for part in (1, 2, 3):
        works = installation.start("manage.py", "runforwarder")
        until(lambda part=part: len(set(received(siem))) > part * total // 5, "it sends")
        works.kill()
        works.communicate(timeout=PATIENCE)
    read_before = acknowledged(installation)
    siem.manner = "proper"
    installation.run("manage.py", "runforwarder", "--once")

    assert read_before < total
    assert sorted(set(received(siem))) == list(range(total))
    assert acknowledged(installation) == total
    (tmp_path / "received").write_bytes(b"\n".join(siem.messages))
    told = installation.run(
        "manage.py", "reconcileforwarding", "--received", f"{tmp_path}/received"
    )
    assert f"序号 0 至 {total:,}（不含）相符" in told


def test_stopped_in_order_it_knows_what_was_read(installation, siem):
    siem.manner = "proper"
    works = installation.start("manage.py", "runforwarder")
    assert "forwarder.started" in works.stderr.readline()
    second = installation.start("manage.py", "runforwarder")
    try:
        installation.run("-c", WRITE)
        installation.run("manage.py", "runnotary", "--once")
        until(lambda: received(siem) == list(range(7)), "it sends")
    finally:
        second.kill()
        second.communicate(timeout=PATIENCE)
        works.terminate()
        _, errors = works.communicate(timeout=PATIENCE)

    assert works.returncode == 0, errors
    assert acknowledged(installation) == 7
    assert received(siem) == list(range(7))


def test_a_database_that_went_away_comes_back(installation, siem):
    siem.manner = "proper"
    works = installation.start("manage.py", "runforwarder")
    try:
        installation.run("-c", WRITE)
        installation.run("manage.py", "runnotary", "--once")
        until(lambda: received(siem) == list(range(7)), "it sends")
        installation.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        installation.run("-c", WRITE)
        installation.run("manage.py", "runnotary", "--once")
        until(lambda: set(received(siem)) == set(range(14)), "it sends again")
    finally:
        works.terminate()
        _, errors = works.communicate(timeout=PATIENCE)

    assert works.returncode == 0, errors
    assert acknowledged(installation) == 14
