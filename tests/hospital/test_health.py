"""What a load balancer is told: in time, whatever hangs, and nothing but names of parts."""

import json
import socket
import threading
import time
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.core.cache import cache
from django.db import OperationalError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import Client
from django.utils import timezone
from kombu import Connection

from faceauth.models import FaceSession, Merchant
from hospital import health
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import keyring
from hospital.crypto.providers.file import FileProvider
from hospital.operations import asking
from hospital.operations.part import Part
from hospital.operations.parts import lagging, serving
from hospital.operations.verdicts import Verdict, Words, degraded

# Each part is asked in a thread of its own, which sees what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

PATIENCE = 20  # seconds; a failure, not a measurement


def ready(client):
    answer = client.get("/readyz")
    return answer.status_code, answer.json()


def test_a_process_that_answers_is_alive(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_a_process_whose_database_is_gone_is_alive_all_the_same(client, monkeypatch):
    def gone(*_args, **_kwargs):
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "ensure_connection", gone)
        assert client.get("/healthz").status_code == 200


def test_a_crowd_that_asks_at_once_is_answered_by_a_few_looks(monkeypatch):
    asked, answers, came = [], [], threading.Barrier(21)
    real = asking.ask

    def ask(parts):
        asked.append(1)
        return real(parts)

    def one_of_them():
        came.wait(PATIENCE)
        answers.append(Client().get("/readyz").status_code)

    monkeypatch.setattr(health.asking, "ask", ask)
    crowd = [threading.Thread(target=one_of_them) for _ in range(20)]
    for one in crowd:
        one.start()
    came.wait(PATIENCE)
    for one in crowd:
        one.join()

    assert answers == [200] * 20
    assert len(asked) < 20


def test_who_is_not_of_the_hospital_learns_nothing_but_whether_it_serves(client, settings):
    settings.ADMIN_NETWORKS = [ip_network("10.20.0.0/16")]

    assert client.get("/readyz").json() == {"status": "ok"}
    from_inside = client.get("/readyz", REMOTE_ADDR="10.20.3.4").json()
    assert from_inside == {"status": "ok", "failed": [], "degraded": []}


def test_everything_in_place_is_ready(client, merchant):
    assert ready(client) == (200, {"status": "ok", "failed": [], "degraded": []})


def test_without_a_merchant_it_is_ready_for_whoever_sets_one_up(client):
    assert ready(client)[0] == 200


def test_a_simulator_is_not_ready_for_production(client, merchant, settings):
    settings.DEPLOY_LEVEL = "3"
    assert ready(client)[1]["failed"] == ["merchant"]

    Merchant.objects.update(
        v2_base_url="https://payapp.weixin.qq.com", v3_base_url="https://api.mch.weixin.qq.com"
    )

    assert ready(client)[0] == 200


def test_a_cache_that_is_gone_is_named(client, monkeypatch):
    def gone(*_args, **_kwargs):
        raise OSError("redis://:secret@10.9.8.7:6379")

    monkeypatch.setattr(type(cache._connections["default"]), "set", gone)

    answer = client.get("/readyz")

    assert (answer.status_code, answer.json()["failed"]) == (503, ["cache"])
    assert "10.9.8.7" not in answer.content.decode()


def test_a_cache_that_forgets_at_once_is_named(client, monkeypatch):
    monkeypatch.setattr(type(cache._connections["default"]), "get", lambda *_args, **_how: None)

    assert ready(client)[1]["failed"] == ["cache"]


def test_a_missing_key_file_is_named(client, settings, tmp_path):
    settings.KEY_FILE = tmp_path / "nowhere"

    assert ready(client)[1]["failed"] == ["keys"]


def test_a_wrong_root_key_is_named(client, settings, tmp_path):
    assert ready(client)[0] == 200
    keyring.clear()
    FileProvider.create(tmp_path / "other.key")
    settings.KEY_FILE = tmp_path / "other.key"

    assert ready(client)[1]["failed"] == ["keys"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_sets_no_cookie_and_is_not_kept(client, path):
    answer = client.get(path)

    assert not answer.cookies
    assert "no-store" in answer.headers["Cache-Control"]


def test_a_database_that_is_gone_is_named(client, monkeypatch):
    def gone(*_args, **_kwargs):
        raise OperationalError('connection to server at "10.9.8.7" failed')

    with monkeypatch.context() as patch:
        patch.setattr(BaseDatabaseWrapper, "ensure_connection", gone)
        answer = client.get("/readyz")

    assert answer.status_code == 503
    assert "database" in answer.json()["failed"]
    assert "10.9.8.7" not in answer.content.decode()


@contextmanager
def silence():
    """A broker that takes connections and never says a word."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        yield f"amqp://hospital:secret@127.0.0.1:{door.getsockname()[1]}//"


def nobody():
    return nullcontext("amqp://hospital:secret@127.0.0.1:1//")


@pytest.mark.parametrize("broker", [nobody, silence])
def test_a_broker_that_is_gone_or_hangs_costs_nobody_anything(client, monkeypatch, broker):
    with broker() as url:
        monkeypatch.setattr(
            lagging.app, "connection_for_write", lambda **how: Connection(url, **how)
        )
        assert ready(client) == (200, {"status": "degraded", "failed": [], "degraded": ["broker"]})


def test_an_event_that_nobody_signs_is_somebodys_business(client, zhou):
    with transaction.atomic():
        record(
            Action.STAFF_CREATE,
            by=SYSTEM,
            on=zhou,
            at=timezone.now() - timedelta(minutes=5),
            role="x",
        )

    assert ready(client) == (200, {"status": "degraded", "failed": [], "degraded": ["notary"]})


def test_a_session_nobody_takes_is_somebodys_business(client, authorized):
    FaceSession.objects.update(due_at=timezone.now() - timedelta(minutes=5))

    assert "work" in ready(client)[1]["degraded"]


class Hanging(Part):
    name = "hanging"
    label = remedy = Words("", "")

    def __init__(self) -> None:
        self.asked = 0
        self.go_on = threading.Event()

    def run(self) -> None:
        self.asked += 1
        self.go_on.wait(PATIENCE)


def test_what_hangs_keeps_neither_the_probe_nor_more_than_one_thread():
    hanging = Hanging()
    try:
        began = time.monotonic()
        first, second = (asking.ask([hanging, serving.Keys()]) for _ in range(2))
        threads = [one for one in threading.enumerate() if one.name == "asks-hanging"]
    finally:
        hanging.go_on.set()

    assert time.monotonic() - began < PATIENCE
    for found in (first, second):
        assert [one.verdict for one in found] == [Verdict.BROKEN, Verdict.OK]
    assert (len(threads), hanging.asked) == (1, 1)


def test_what_may_wait_is_no_worse_when_it_hangs():
    hanging = Hanging()
    hanging.silent = Verdict.DEGRADED
    hanging.name = "hanging-too"
    try:
        [found] = asking.ask([hanging])
    finally:
        hanging.go_on.set()

    assert found.verdict == Verdict.DEGRADED


def test_nothing_that_a_part_says_reaches_the_answer(client, monkeypatch):
    def talkative(_self):
        raise degraded(Words("欧阳若曦", "postgres://hospital:secret@10.9.8.7/"), Words("x", "x"))

    monkeypatch.setattr(serving.Keys, "run", talkative)

    body = client.get("/readyz").content.decode()

    assert json.loads(body) == {"status": "degraded", "failed": [], "degraded": ["keys"]}


def test_every_connection_is_given_back(client, monkeypatch):
    client.get("/readyz")
    closed = []
    real = connections.close_all
    monkeypatch.setattr(connections, "close_all", lambda: (closed.append(1), real()))

    client.get("/readyz")

    assert len(closed) >= len([*serving.serving(), *lagging.lagging()])
