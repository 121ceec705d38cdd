"""
The image and compose.yaml at work, at level 3: `make image`.

TLS to every server, names verified, an account for each. In a network name space: nothing here
is reached from outside, or reaches out.
"""

import json
import os
import re
import shutil
import signal
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.house import PATIENCE, until
from tests.packaging.engine import CHOSEN, DOCKER, NAME, Engine
from tests.packaging.licences import pinned

pytestmark = pytest.mark.image


@pytest.fixture(scope="module")
def engine() -> Iterator[Engine]:
    built = Path(os.environ["IMAGE"])
    place = built / "engine"  # each process's log is there
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    secrets = place / "secrets"
    subprocess.run([DOCKER / "prepare.sh", NAME, secrets], check=True, capture_output=True)
    engine = Engine(place, built, secrets, dict(CHOSEN), {})
    try:
        _install(engine)
        yield engine
    finally:
        engine.down()


def _install(engine: Engine) -> None:
    """In the order of docs/production.md."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    _initdb(engine)
    engine.up("db", "broker", "cache")
    for command in ("createrootkey", "createworkerkey"):
        _said(engine, "manage", command)
    log = _said(engine, "manage", "createlogkey").strip()
    engine.values = {"LOG_VERIFIER": log, "WITNESS_NAME": "witness.hospital.example"}
    engine.up("witness")
    witness = (engine.place / "witness.log").read_text().split("公钥 ")[1].split()[0]
    engine.chosen["TRAIL_VERIFIERS"] = f"{log},{witness}"
    _said(engine, "migrate")
    engine.up("web", "worker", "beat", "notary", "proxy")


def _initdb(engine: Engine) -> None:
    """What the entry point of the PostgreSQL image does on an empty volume."""
    service = engine.services["db"]
    steps = (
        f"initdb --username=postgres --pwfile=/run/secrets/password_postgres --auth=trust"
        f" {service['environment']['POSTGRES_INITDB_ARGS']}"
        " && echo 'CREATE DATABASE hospital' | postgres --single -D $PGDATA postgres"
    )
    made = engine.run("db", "sh", "-c", steps)
    assert made.returncode == 0, made.stderr


def _said(engine: Engine, name: str, *command: str, **env: str) -> str:
    done = engine.run(name, *command, **env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def outside(engine: Engine) -> Iterator[httpx.Client]:
    """Somebody who knows the name and the authority, at 127.0.0.1: no address of staff's."""
    trusted = ssl.create_default_context(cafile=str(engine.secrets / "ca.pem"))
    transport = httpx.HTTPTransport(verify=trusted)
    with httpx.Client(transport=transport, headers={"Host": NAME}, timeout=PATIENCE) as client:
        yield client


def get(outside: httpx.Client, path: str, **headers: str) -> httpx.Response:
    return outside.get(
        f"https://127.0.0.1:8443{path}", headers=headers, extensions={"sni_hostname": NAME}
    )


def test_it_has_no_pip_and_no_compiler(engine):
    for tool in ("pip", "pip3", "uv", "gcc", "cc", "make"):
        assert engine.inside("web", ["sh", "-c", f"command -v {tool}"]).returncode

    assert engine.inside("web", ["python", "-c", "import pip"]).returncode


def test_nothing_is_installed_but_what_is_pinned(engine):
    asked = "import importlib.metadata as m; print(*(d.name for d in m.distributions()))"
    installed = engine.inside("web", ["python", "-c", asked]).stdout.decode().split()
    named = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned()}

    assert {re.sub(r"[-_.]+", "-", name).lower() for name in installed} <= named


def test_it_is_nobody_and_can_write_nothing_but_its_volumes(engine):
    who = engine.inside("web", ["id", "-u"]).stdout

    assert who == b"10001\n"
    assert b"Read-only" in engine.inside("web", ["touch", "/opt/hospital/x"]).stderr
    assert not engine.inside("web", ["touch", "/var/lib/hospital/x", "/tmp/x"]).returncode  # noqa: S108
    status = engine.inside("web", ["grep", "-E", "NoNewPrivs|CapEff", "/proc/self/status"]).stdout
    assert status.split() == [b"CapEff:", b"0" * 16, b"NoNewPrivs:", b"1"]


def test_everything_is_compiled_and_collected(engine):
    compiled = ["find", "/opt/hospital/app/hospital/__pycache__", "-name", "urls.*.pyc"]
    collected = ["test", "-s", "/opt/hospital/static/staticfiles.json"]

    assert engine.inside("web", compiled).stdout
    assert not engine.inside("web", collected).returncode


def test_it_is_healthy_and_ready_through_the_proxy(outside):
    assert get(outside, "/healthz").status_code == 200
    ready = get(outside, "/readyz")
    assert ready.status_code == 200, ready.text


def test_the_pages_say_https_for_ever(outside):
    assert "max-age=31536000" in get(outside, "/privacy").headers["Strict-Transport-Security"]


def test_the_figures_are_closed_from_outside_and_monitoring_has_them_from_inside(engine, outside):
    token = (engine.secrets / "metrics_token").read_text()
    asked = {"Authorization": f"Bearer {token}"}

    assert get(outside, "/metrics", **asked).status_code == 404
    inside = httpx.get(
        "http://127.0.0.1:8000/metrics", headers={"Host": "web:8000", **asked}, timeout=PATIENCE
    )
    assert inside.status_code == 200
    assert "figures_operation_up 1.0" in inside.text


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X_Forwarded_For", "Forwarded"])
def test_an_address_that_is_only_claimed_opens_nothing(outside, name):
    assert get(outside, "/admin/login/", **{name: "10.20.0.7"}).status_code == 403


def test_larger_bodies_than_64_kb_are_turned_away_at_the_door(outside):
    answer = outside.post(
        "https://127.0.0.1:8443/api/v1/heartbeat/",
        content=b"x" * (64 * 1024 + 1),
        extensions={"sni_hostname": NAME},
    )

    assert answer.status_code == 413
    assert "nginx" in answer.text


@pytest.mark.parametrize(("version", "is_taken"), [("tls1_1", False), ("tls1_2", True)])
def test_old_tls_is_refused(engine, version, is_taken):
    asked = ["openssl", "s_client", f"-{version}", "-cipher", "ALL:@SECLEVEL=0", "-connect"]
    said = subprocess.run([*asked, "127.0.0.1:8443"], input=b"", capture_output=True)

    assert (said.returncode == 0) == is_taken


def test_the_worker_does_what_beat_asks_for(engine):
    ask = ["python", "-m", "celery", "-A", "hospital.celery:app", "inspect", "stats", "--json"]

    def is_done() -> bool:
        lines = engine.inside("worker", ask).stdout.splitlines()
        stats = json.loads(lines[-1]) if lines else {}  # it has a second to answer
        return any(one["total"].get("faceauth.tasks.wake_due") for one in stats.values())

    until(is_done, "a worker has looked for what is due")


def test_every_rule_of_the_alarms_works_on_the_python_it_is_shipped_with(engine):
    look = (
        "import django; django.setup(); from django.utils import timezone;"
        "from hospital.audit import alarms; alarms.watch(at=timezone.now())"
    )
    looked = engine.inside("web", ["python", "-c", look])

    assert (looked.returncode, b"rule_failed" in looked.stderr) == (0, False), looked.stderr


@pytest.mark.parametrize("words", [("web", "manage"), ("manage",)], ids=["web", "manage"])
def test_level_3_has_nothing_to_say(engine, words):
    said = engine.run(*words, "check", "--deploy", "--database", "default")

    assert said.returncode == 0, said.stderr


def test_the_trail_is_signed_and_witnessed(engine):
    account = {"DATABASE_URL_FILE": "/run/secrets/database_url_auditor"}
    said = engine.run("manage", "verifyaudit", **account)

    assert said.returncode == 0, said.stdout + said.stderr


def test_only_the_worker_has_its_key_and_only_the_notary_its_own(engine):
    for name in ("web", "worker", "beat", "notary", "witness"):
        held = set(engine.inside(name, ["ls", "/run/secrets"]).stdout.decode().split())
        assert ("worker_key" in held) == (name == "worker")
        assert ("notary.pem" in held) == (name == "notary")
        assert not held or name != "witness"


@pytest.mark.parametrize("name", ["web", "worker", "beat", "notary", "witness"])
def test_it_ends_in_time_when_told_to(engine, name):
    assert engine.stop(name) == 0
    engine.up(name)


def test_the_demo_of_the_other_file_is_well_on_a_port_of_its_own(engine):
    """On a read-only root and with nothing but its volume, as compose.demo.yaml says."""
    ports = {"PORT": "8300", "SIM_PORT": "8301"}
    demo = Engine(engine.place, engine.built, engine.secrets, {}, ports, "compose.demo.yaml")

    demo.up("demo")

    assert demo.stop("demo") in {0, -signal.SIGTERM, 128 + signal.SIGTERM}


def test_a_backup_is_made_and_tried_by_the_services_for_it(engine):
    backups = "/var/lib/backups"
    engine.values["BACKUPS"] = "backups"
    keys = []
    for name in ("FIRST", "SECOND"):
        path = f"{backups}/{name}.key"
        made = _said(engine, "restore", "createbackupkey", path)
        engine.chosen[f"BACKUP_RECIPIENTS_{name}"] = made.strip()
        keys += ["--identity", path]
    _said(engine, "backup")
    [receipt] = (engine.place / "volumes" / "backups").glob("*.receipt.json")
    _said(engine, "backup", "manage", "backup", "--verify", f"{backups}/{receipt.name}")

    tried = _said(engine, "restore", "drillrestore", f"{backups}/{receipt.name}", *keys)

    assert "演练通过" in tried
