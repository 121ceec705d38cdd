"""
The cast: 林 runs terminals, 梅 gives roles, 周 audits, 陈 registers, 顾 guards privacy.

孙 registers beside 陈, 吴 at the other campus.

Terminals sign for real, WeChat is the simulator on a loopback port, nothing is patched.
"""

import functools
import gc
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import hypothesis
import pytest
import stamina
from celery.signals import after_task_publish
from django.conf import settings as project
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.core.management.commands import flush
from django.core.wsgi import get_wsgi_application
from django.db import connection as database
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.operations import BaseDatabaseOperations
from django.test import Client, override_settings
from django.utils import timezone

from devices import counting, journal
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import Store, Terminal, TerminalKey
from faceauth import connection, consent, pem, tasks
from faceauth.models import FaceSession, Merchant, Notice
from faceauth.simulator import Simulator, listen
from faceauth.wechat import keys as wechat_keys
from hospital import figures, policy, retention
from hospital.accounts.models import Staff
from hospital.audit import completeness, guards
from hospital.audit.guards import completeness as held
from hospital.audit.guards.triggers import Guards
from hospital.audit.log import Change
from hospital.audit.recording import SYSTEM
from hospital.crypto import keyring
from hospital.crypto.providers.file import FileProvider
from hospital.labels import Label
from hospital.operations import asking
from hospital.privacy import assessing
from hospital.privacy.erasing import standing
from hospital.privacy.models import Assessment
from hospital.roles import Role
from tests import signing_in

TESTS = Path(__file__).parent
# Tests that go through the product's own doors: their bodies make no row behind its back.
FLOWS = (
    "journeys/",
    "faceauth/test_expiry.py",
    "faceauth/test_resilience.py",
    "faceauth/test_waiting.py",
    "hospital/test_recorded_flows.py",
    "hospital/test_bootstrap.py",
)
# As well, but in one transaction around each test: some put up boxes of their own.
AROUND = ("devices/test_activation.py", "devices/test_suspension.py")

# Only there is anybody looked for who is run apart (Makefile, .ci/run).
APART = {
    "cluster": "hospital/test_grants.py",
    "faults": "faults/",
    "services": "services/",
    "browser": "browser/",
    "node": "third_party/",
    "image": "packaging/test_image.py",
}

# Begun first, the longest before the others: whole houses of processes, for one of which everybody
# would wait in the end.
LONG = (
    "durability/test_erasure_killed.py",
    "durability/test_notary_killed.py",
    "durability/test_backup_killed.py",
    "durability/test_rotation_killed.py",
    "durability/",
    "access/",
    "journeys/",
    "hospital/test_keeping.py",
    "packaging/test_two_releases.py",
    "hospital/test_key_database.py",
    "hospital/test_egress.py",
    "hospital/test_doctor.py",
    "hospital/test_tracing.py",
)

PASSWORD = "correct horse battery staple"

# How long an example takes says something about the machine, not about what is tested.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session", autouse=True)
def root_key() -> None:
    if not project.KEY_FILE.exists():
        FileProvider.create(project.KEY_FILE)


@pytest.fixture(scope="session", autouse=True)
def keys_parsed_once() -> Iterator[None]:
    """OpenSSL checks a private key for as long as a test takes; what it is, its bytes decide."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (pem, wechat_keys):
            parsed = functools.lru_cache(maxsize=64)(module.load_pem_private_key)
            patch.setattr(module, "load_pem_private_key", parsed)
        yield


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A database goes with the tests, whoever of them is still connected."""
    if database.vendor == "sqlite":  # events have numbers here as on a server where others were
        with django_db_blocker.unblock(), database.cursor() as cursor:
            cursor.execute("INSERT INTO sqlite_sequence VALUES ('audit_event', 1000)")
    yield
    if database.vendor == "postgresql":
        with django_db_blocker.unblock(), database.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )


@pytest.fixture(scope="session", autouse=True)
def emptied_tables() -> Iterator[None]:
    """
    After a test with transactions of its own Django empties the tables, guarded ones as well.

    Only those with rows, and not with TRUNCATE: with PostgreSQL that makes hundreds of files anew.
    What Django fills again after each migration stays.
    """

    def emptied(self: BaseDatabaseOperations, _statements: list[str]) -> None:
        guards.remove(self.connection)
        _delete_rows(self.connection)
        guards.install(self.connection)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BaseDatabaseOperations, "execute_sql_flush", emptied)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *_, **__: None)
        yield


def _delete_rows(connection: BaseDatabaseWrapper) -> None:
    kept = {ContentType._meta.db_table, Permission._meta.db_table}
    models = connection.introspection.django_table_names(only_existing=True, include_views=False)
    there = {*models, *_cache_table(connection)}
    asked = (
        f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})"  # noqa: S608 (names of ours)
        for table in there - kept
    )
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        if connection.vendor == "postgresql":  # nobody asks who refers to a row
            cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute(" UNION ALL ".join(asked))
        for (table,) in cursor.fetchall():
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608


def _cache_table(connection: BaseDatabaseWrapper) -> set[str]:
    """What was cached lies in a table that is no model's, and would be there in the next test."""
    return {project.CACHES["default"]["LOCATION"]} & {*connection.introspection.table_names()}


HOLD = held.guards


@pytest.fixture(scope="session", autouse=True)
def unrecorded_rows() -> Iterator[None]:
    """What a test finds was made without an event; what it does is asked for: `recorded`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "guards", lambda *_: Guards([], [], []))
        yield


@contextmanager
def holding() -> Iterator[None]:
    """Have the database hold every change to its event, as after a migration."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(held, "guards", HOLD)
        database.check_constraints()
        guards.install(database)
        try:
            yield
        except BaseException:
            if not database.in_atomic_block:  # which takes them along
                _let_go()
            raise
    _let_go()


@contextmanager
def recorded() -> Iterator[None]:
    """Fail if anything inside changed without its event."""
    with holding():
        yield
        database.check_constraints()
        unrecorded = list(completeness.unrecorded())
        Change.objects.all().delete()
    assert unrecorded == []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """In a transaction around a whole test an event of any other request would do as well."""
    for item in items:
        for marker, place in APART.items():
            if item.get_closest_marker(marker) and not _lies_in((place,), item):
                raise pytest.UsageError(f"{item.nodeid}: {marker} would not be run there")
    if database.vendor == "postgresql":
        for item in items:
            if _is_of(FLOWS, item) and not item.get_closest_marker("django_db"):
                item.add_marker(pytest.mark.django_db(transaction=True))
    yield
    items.sort(key=_turn)  # after pytest-django's own order


def _turn(item: pytest.Item) -> int:
    places = (turn for turn, place in enumerate(LONG) if _lies_in((place,), item))
    return next(places, len(LONG))


def pytest_collection_finish() -> None:
    """What was imported and collected stays: nobody need look through it again, test by test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


def _lies_in(places: tuple[str, ...], item: pytest.Item) -> bool:
    return item.path.relative_to(TESTS).as_posix().startswith(places)


def _is_of(files: tuple[str, ...], item: pytest.Item) -> bool:
    has_database = {"db", "transactional_db"} & {*getattr(item, "fixturenames", ())}
    return _lies_in(files, item) and bool(has_database)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Any:
    """Whole flows are held to it, once what they find is there."""
    if _is_of(FLOWS + AROUND, item):
        with recorded():
            return (yield)
    return (yield)


def _let_go() -> None:
    there = {*database.introspection.table_names(), "audit_event.txid"}
    with database.cursor() as cursor:
        for trigger in HOLD(database.vendor, "public", there).triggers:
            suffix = f" ON {trigger.table}" if trigger.function else ""
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}{suffix}")


@pytest.fixture(autouse=True)
def no_keys_remembered() -> Iterator[None]:
    """A test's database goes away: its keys must not outlive it in this process."""
    keyring.clear()
    yield
    keyring.clear()


@pytest.fixture(autouse=True)
def no_policy_remembered() -> Iterator[None]:
    """What was chosen goes away with a test's database, and holds from its first moment."""
    policy.forget()
    retention.forget()
    yield
    policy.forget()
    retention.forget()


@pytest.fixture(autouse=True)
def no_erasures_remembered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test's process has just seen that nobody is back; its ledger goes with its database."""
    monkeypatch.setattr(standing, "_asked_at", time.monotonic())
    monkeypatch.setattr(standing, "_answer", None)
    yield
    project.ERASURE_LEDGER.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def no_sweep_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    """One count in a thousand sweeps as well: a statement that whoever counts does not expect."""
    monkeypatch.setattr(counting, "SWEPT", 0)


@pytest.fixture(autouse=True)
def nothing_counted() -> Iterator[None]:
    """What a worker counted lies in memory until it is added up."""
    yield
    figures._counted.clear()
    figures._marked.clear()


@pytest.fixture(autouse=True)
def parts_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite in memory refuses whoever comes while another thread reads; a file lets them wait."""
    if database.vendor != "sqlite":
        return
    letting_go, turn = asking._letting_go, threading.Lock()

    def in_turn(run: Callable[[], Any]) -> Any:
        ours = run.func.__module__.startswith(("hospital.", "health_check."))  # type: ignore[attr-defined]
        with turn if ours else nullcontext():
            return letting_go(run)

    monkeypatch.setattr(asking, "_letting_go", in_turn)


@pytest.fixture(autouse=True)
def no_requests_noted() -> Iterator[None]:
    """What a test noted is of terminals that go away with it."""
    journal.forget()
    yield
    journal.forget()


@pytest.fixture(autouse=True)
def one_attempt() -> Iterator[None]:
    """A call to WeChat is made once: tests of repetition ask for more."""
    stamina.set_testing(True)
    yield
    stamina.set_testing(False)


# People


def _staff(username: str, role: Role, **fields: Any) -> Staff:
    return Staff.objects.create_user(
        username, PASSWORD, display_name=username, person_id=f"E-{username}", role=role, **fields
    )


def _registrar(username: str, *, campus: str) -> Staff:
    return _staff(username, Role.REGISTRAR, campus=campus, clearance=Label.IDENTIFYING)


@pytest.fixture
def lin(db: None) -> Staff:
    return _staff("lin", Role.SYSTEM)


@pytest.fixture
def mei(db: None) -> Staff:
    return _staff("mei", Role.SECURITY)


@pytest.fixture
def zhou(db: None) -> Staff:
    return _staff("zhou", Role.AUDITOR)


@pytest.fixture
def chen(db: None) -> Staff:
    return _registrar("chen", campus="main")


@pytest.fixture
def sun(db: None) -> Staff:
    return _registrar("sun", campus="main")


@pytest.fixture
def wu(db: None) -> Staff:
    return _registrar("wu", campus="east")


@pytest.fixture
def gu(db: None) -> Staff:
    return _staff("gu", Role.PRIVACY, clearance=Label.SENSITIVE)


# WeChat


@pytest.fixture
def simulator() -> Simulator:
    return Simulator.fresh()


@pytest.fixture(autouse=True)
def connections() -> Iterator[None]:
    yield
    connection.close()


@pytest.fixture
def wechat_url(simulator: Simulator) -> Iterator[str]:
    with listen(simulator) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.base_url
        server.shutdown()
        thread.join()


@pytest.fixture
def merchant(
    db: None, simulator: Simulator, wechat_url: str, settings: Any, tmp_path: Path
) -> Merchant:
    settings.MERCHANT_KEYS_DIR = tmp_path
    world = simulator.world
    simulator.export(tmp_path, base_url=wechat_url)
    (tmp_path / "apiv2_key").write_text(world.apiv2_key)
    (tmp_path / "apiv3_key").write_text(world.apiv3_key)
    return Merchant.objects.create(
        appid=world.appid,
        mch_id=world.mch_id,
        merchant_serial=world.merchant_serial,
        v2_base_url=wechat_url,
        v3_base_url=wechat_url,
        apiv2_key_file="apiv2_key",
        apiv3_key_file="apiv3_key",
        signing_key_file="merchant_key.pem",
        decrypting_key_file="merchant_key.pem",
        wechat_public_key_id=world.wechat_public_key_id,
        wechat_public_key_file="wechat_public_key.pem",
    )


# The worker


@dataclass
class Worker:
    """
    Fetches an authinfo as soon as it is asked to, in the thread that asks.

    A real one would see nothing of a test's own transaction; `tests/house.py` has real ones.
    What it does with an exception is Celery's: the publisher never hears of it.
    """

    asleep: bool = False
    environment: dict[str, Any] = field(default_factory=dict)  # settings only a worker has
    heard: list[dict[str, Any]] = field(default_factory=list)  # arguments, as on the wire

    def hear(self, *, body: Any, **_kwargs: Any) -> None:
        _args, kwargs, _embed = body
        self.heard.append(json.loads(json.dumps(kwargs)))
        if not self.asleep:
            self.work()

    def work(self) -> None:
        """Do what was heard last."""
        # Only if there is any: a test's threads share these settings.
        with override_settings(**self.environment) if self.environment else nullcontext():
            tasks.fetch_authinfo.apply(kwargs=self.heard[-1])


@pytest.fixture(autouse=True)
def worker() -> Iterator[Worker]:
    worker = Worker()
    after_task_publish.connect(worker.hear, sender=tasks.fetch_authinfo.name, weak=False)
    yield worker
    after_task_publish.disconnect(worker.hear, sender=tasks.fetch_authinfo.name)


# The lobby


@pytest.fixture
def notice(db: None) -> Notice:
    notice = Notice.objects.create(
        version=3,
        title="刷脸建档告知书",
        text="……",
        purposes=[
            {"code": "onboarding", "label": "建立档案", "required": True},
            {"code": "research", "label": "科研", "required": False},
        ],
        fallback="请到人工窗口凭身份证件建档",
    )
    consent.enforce(notice, by=SYSTEM, at=timezone.now())
    notice.refresh_from_db()
    assess(notice, at=timezone.now() - timedelta(days=30))
    return notice


def assess(notice: Notice, *, at: datetime) -> Assessment:
    """Have an impact assessment on what this notice asks for approved, for a year from then."""
    return assessing.approve(
        f"PIA-{notice.version}",
        digest="0" * 64,
        notice_version=notice.version,
        purposes=notice.purposes,
        review_on=timezone.localdate(at) + timedelta(days=365),
        by=SYSTEM,
        at=at,
    )


@pytest.fixture
def store(db: None) -> Store:
    return Store.objects.create(code="menzhen", name="门诊楼")


@dataclass
class Kiosk:
    """A terminal in the lobby: its row, its key, and a client that signs with it."""

    terminal: Terminal
    private_key: keys.PrivateKey
    key: TerminalKey
    http: httpx.Client

    def post(self, path: str, body: Any = None, **headers: str) -> httpx.Response:
        return self.http.post(f"/api/v1/{path}", json=body, headers=headers)

    def get(self, path: str) -> httpx.Response:
        return self.http.get(f"/api/v1/{path}")

    def agree(self) -> str:
        """Return the id of a session opened on the notice in force."""
        version = self.get("notice/").json()["version"]
        body = {"notice_version": version, "granted": True, "purposes": ["onboarding"]}
        return str(self.post("face-sessions/", body).json()["id"])


@pytest.fixture
def install(store: Store) -> Iterator[Callable[..., Kiosk]]:
    """Put up a terminal whose key is registered."""
    clients: list[httpx.Client] = []

    def put_up(serial: str = "T-1", algorithm: keys.Algorithm = "ecdsa-p256-sha256") -> Kiosk:
        private_key = keys.make(algorithm)
        terminal = Terminal.objects.create(serial=serial, name="大厅", store=store)
        key = TerminalKey.objects.create(
            id=keys.key_id(private_key),
            terminal=terminal,
            algorithm=algorithm,
            public_key=keys.public_pem(private_key),
            created_at=timezone.now(),
        )
        http = httpx.Client(
            transport=httpx.WSGITransport(app=get_wsgi_application()),
            base_url="http://testserver",
            auth=TerminalAuth(private_key, key.pk),
        )
        clients.append(http)
        return Kiosk(terminal, private_key, key, http)

    yield put_up
    for client in clients:
        client.close()


@pytest.fixture
def kiosk(install: Callable[..., Kiosk]) -> Kiosk:
    return install()


@pytest.fixture
def seen(kiosk: Kiosk, notice: Notice, merchant: Merchant, simulator: Simulator) -> FaceSession:
    """A stranger stands before the kiosk and has said yes on WeChat's screen."""
    return see(kiosk, simulator, "stranger-1")


def see(kiosk: Kiosk, simulator: Simulator, person: str) -> FaceSession:
    pk = kiosk.agree()
    body = {"face_sid": simulator.meet(person), "openid": "o" + "x" * 27}
    kiosk.post(f"face-sessions/{pk}/sighting/", body).raise_for_status()
    return FaceSession.objects.get(pk=pk)


@pytest.fixture
def authorized(kiosk: Kiosk, seen: FaceSession) -> FaceSession:
    answer = kiosk.post(f"face-sessions/{seen.pk}/authorization/", {"return_code": "SUCCESS"})
    answer.raise_for_status()
    seen.refresh_from_db()
    return seen


# Sessions


@pytest.fixture(autouse=True)
def whole_sessions() -> Iterator[None]:
    """Who is put into a session by a test has come as people do: with a second factor."""
    put = Client._login

    def logged_in(self: Client, user: Staff, backend: str | None = None) -> None:
        put(self, user, backend)
        signing_in.wholly(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Client, "_login", logged_in)
        yield
