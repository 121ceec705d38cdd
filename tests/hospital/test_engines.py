"""What level 3 wants of the lines to database, broker and cache; what they are used with."""

import json
import subprocess
import sys
from typing import Any

import pytest

from hospital import checks, engines
from hospital.demo.installation import ROOT
from tests.level3 import environment

POSTGRESQL = {"ENGINE": "hospital.postgresql", "HOST": "db", "NAME": "hospital"}
VERIFIED = {"OPTIONS": {"sslmode": "verify-full"}}


def level3(tmp_path: Any, *command: str, **changes: str) -> "subprocess.CompletedProcess[str]":
    env = environment(str(tmp_path)) | {"PATH": "/usr/bin:/bin"} | changes
    return subprocess.run(
        [sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True
    )


def check(tmp_path: Any, **changes: str) -> str:
    return level3(tmp_path, "manage.py", "check", "--deploy", **changes).stderr


@pytest.mark.parametrize("mode", [None, "disable", "prefer", "require", "verify-ca"])
@pytest.mark.parametrize("alias", ["default", "keys", "ledger"])
def test_a_database_that_does_not_prove_who_it_is_is_refused(monkeypatch, settings, alias, mode):
    weak = POSTGRESQL | ({"OPTIONS": {"sslmode": mode}} if mode else {})
    all_ = dict.fromkeys(("default", "keys", "ledger"), POSTGRESQL | VERIFIED) | {alias: weak}
    monkeypatch.setattr(checks, "settings", Like(settings, DATABASES=all_, DEPLOY_LEVEL="3"))

    assert "hospital.E033" in {one.id for one in checks.production()}


def test_a_server_behind_a_pooler_on_this_machine_has_to_prove_who_it_is(monkeypatch, settings):
    both = {"default": POSTGRESQL | {"HOST": "/run/pooler"}, "keys": POSTGRESQL | VERIFIED}
    configured = Like(settings, DATABASES=both, DATABASE_DIRECT="", DEPLOY_LEVEL="3")
    monkeypatch.setattr(checks, "settings", configured)
    assert "hospital.E033" not in {one.id for one in checks.production()}

    configured.DATABASE_DIRECT = "db:5432"

    assert "hospital.E033" in {one.id for one in checks.production()}


class Like:
    """Settings with some changed that Django lets nobody override."""

    def __init__(self, settings: Any, **changes: Any) -> None:
        self.__dict__ |= changes | {"_settings": settings}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._settings, name)


@pytest.mark.parametrize(
    "changes",
    [
        VERIFIED,
        {"HOST": ""},
        {"HOST": "/var/run/postgresql"},
        {"HOST": "", "OPTIONS": {"host": "/var/run/postgresql"}},
    ],
    ids=["verified", "default socket", "socket", "socket in the query"],
)
def test_one_that_does_or_that_is_behind_a_socket_passes(changes):
    assert engines.is_private_database(POSTGRESQL | changes)


@pytest.mark.parametrize(
    "url",
    [
        "amqp://rabbitmq//",
        "redis://cache/1",
        "rediss://cache/1?ssl_cert_reqs=none",
        "rediss://cache/1?ssl_cert_reqs=CERT_OPTIONAL",
        "rediss://cache/1?ssl_check_hostname=false",
        "amqps://rabbitmq//;amqp://rabbitmq-2//",
        "redis://127.0.0.1.example/1",
        "redis://localhost.example/1",
    ],
)
def test_a_line_somebody_may_listen_to_is_not_private(url):
    assert not engines.is_private(url)


@pytest.mark.parametrize(
    "url",
    [
        "amqps://hospital@rabbitmq//",
        "rediss://cache/1",
        "amqp://127.0.0.1//",
        "redis://localhost:6380/1",
        "redis://[::1]/1",
        "unix:///run/redis.sock",
        "redis+socket:///run/redis.sock",
        "amqps://rabbitmq//;amqps://rabbitmq-2//",
    ],
)
def test_a_line_in_tls_or_on_this_machine_is(url):
    assert engines.is_private(url)


def test_a_cache_whose_certificate_nobody_looks_at_is_not_private():
    assert engines.is_private(["rediss://a/1", "rediss://b/1"])
    assert not engines.is_private("rediss://a/1", {"ssl_cert_reqs": "none"})


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("DATABASE_URL", "postgres://hospital@db/hospital?sslmode=require", "hospital.E033"),
        ("KEYS_DATABASE_URL", "postgres://hospital@db/keys", "hospital.E033"),
        ("LEDGER_DATABASE_URL", "postgres://hospital@db/ledger", "hospital.E033"),
        ("BROKER_URL", "amqp://hospital@rabbitmq//", "hospital.E034"),
        ("BROKER_URL", "redis://redis/0", "hospital.E034"),
        ("CACHE_URL", "redis://redis/1", "hospital.E035"),
        ("CACHE_URL", "rediss://redis/1?ssl_cert_reqs=none", "hospital.E035"),
    ],
)
def test_level_3_refuses_a_line_in_the_clear(tmp_path, name, value, finding):
    said = check(tmp_path, **{name: value})

    assert finding in said
    assert said.count("hospital.E") == 1


def test_no_password_is_in_what_it_says(tmp_path):
    assert "hunter2" not in check(tmp_path, BROKER_URL="amqp://hospital:hunter2@rabbitmq//")


@pytest.mark.parametrize(
    ("url", "held"),
    [
        (
            "amqps://rabbitmq//",
            {"confirm_publish": True, "read_timeout": 0.4, "write_timeout": 0.4},
        ),
        (
            "rediss://redis/0",
            {
                "visibility_timeout": 600,
                "unacked_restore_interval": 2,
                "unacked_restore_throttle": 1,
                "socket_keepalive": True,
                "health_check_interval": 5,
                "socket_timeout": 0.4,
                "socket_connect_timeout": 0.4,
            },
        ),
    ],
    ids=["RabbitMQ", "Redis"],
)
def test_a_broker_is_spoken_to_as_the_manual_says(tmp_path, url, held):
    told = "import json; from django.conf import settings as s; print(json.dumps(s.{}))"

    found = level3(tmp_path, "-c", told.format("CELERY_BROKER_TRANSPORT_OPTIONS"), BROKER_URL=url)

    assert json.loads(found.stdout) == held


def test_rabbitmq_keeps_messages_in_a_quorum_queue(tmp_path):
    told = "from django.conf import settings as s; print(s.CELERY_TASK_QUEUES[0].queue_arguments)"

    found = level3(tmp_path, "-c", told, BROKER_URL="amqps://rabbitmq//")

    assert "'x-queue-type': 'quorum'" in found.stdout
