"""No row that answers to the trail changes without an event in the same transaction."""

import json
import sqlite3
import tempfile
from collections import Counter
from datetime import UTC, datetime
from typing import get_args

import psycopg
import pytest
from django.core import serializers
from django.core.checks import run_checks
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.db.models import F
from django.utils import timezone

from devices import activation, presence, suspension
from devices.models import Activation, Store, Suspension, Terminal, TerminalKey
from faceauth import tasks
from faceauth.models import Consent, FaceSession, Merchant, Notice
from hospital.accounts.models import Staff
from hospital.audit import completeness, coverage, guards
from hospital.audit.actions import Action
from hospital.audit.guards import installing
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, Outcome, record
from hospital.crypto.models import Job
from hospital.patients.models import Patient, WechatAccount
from hospital.privacy.models import RetentionRun
from tests import conftest
from tests.hospital.notarised import BOTH, House

NOW = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True, params=BOTH)
def database(request, transactional_db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def holding(database, lin, kiosk, notice):
    """A lobby whose rows are there already."""
    with conftest.holding():
        yield


def missed(act):
    """Do it in a transaction; return the tables of which the database says it was not recorded."""
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM audit_change")
    refused = ""
    try:
        with transaction.atomic():
            act()
    except IntegrityError as exc:
        refused = str(exc)
    if refused:
        said, _, where = refused.partition(" of ")
        assert connection.vendor == "postgresql"
        assert "no event in this transaction for " in said
        return {where.split()[0]}
    labels = {label for label, _row in completeness.unrecorded()}
    return {one.table for one in coverage.covered() if one.label in labels}


def said(on, action=Action.TERMINAL_CHANGE, **facts):
    record(action, by=SYSTEM, on=on, at=NOW, **facts)


def onboarded(session):
    tasks.onboard(session_id=str(session.pk))
    assert Patient.objects.exists()


def raw(statement, *parameters):
    with connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def column(pk):
    return str(pk) if connection.vendor == "postgresql" else pk.hex


def renamed(terminal):
    terminal.name = "新位置"
    terminal.save()


def loaded(terminal):
    """As a fixture, which Django writes past the model's own `save()`."""
    terminal.name = "新位置"
    with tempfile.NamedTemporaryFile("w", suffix=".json") as fixture:
        fixture.write(serializers.serialize("json", [terminal]))
        fixture.flush()
        call_command("loaddata", fixture.name, verbosity=0)


BEHIND = {
    "save": renamed,
    "update": lambda _: Terminal.objects.update(name="x"),
    "bulk_update": lambda terminal: Terminal.objects.bulk_update(
        [Terminal(pk=terminal.pk, name="x")], ["name"]
    ),
    "create": lambda terminal: Terminal.objects.create(serial="T-9", store=terminal.store),
    "bulk_create": lambda terminal: Terminal.objects.bulk_create(
        [Terminal(serial="T-9", store=terminal.store)]
    ),
    "raw SQL": lambda _: raw("UPDATE devices_terminal SET name = 'x'"),
    "an expression": lambda _: Terminal.objects.update(serial=F("name")),
    "and back in two steps": lambda terminal: [
        Terminal.objects.update(name=name) for name in ("x", terminal.name)
    ],
    "loaddata": loaded,
}


@pytest.mark.parametrize("how", BEHIND)
def test_a_change_without_an_event_does_not_go_unnoticed(holding, kiosk, how):
    assert missed(lambda: BEHIND[how](kiosk.terminal)) == {"devices_terminal"}


@pytest.mark.parametrize("how", BEHIND)
def test_the_same_change_with_its_event_is_nothing_to_speak_of(holding, kiosk, how):
    def act():
        if how == "loaddata":  # has the database ask at its own end already
            said(kiosk.terminal)
        BEHIND[how](kiosk.terminal)
        for terminal in Terminal.objects.all():
            said(terminal)

    assert missed(act) == set()


def test_the_event_may_come_first(holding, kiosk):
    def act():
        said(kiosk.terminal)
        renamed(kiosk.terminal)

    assert missed(act) == set()


def test_an_event_of_another_row_does_not_count(holding, kiosk, install):
    with transaction.atomic():
        other = Terminal.objects.create(serial="T-2", store=kiosk.terminal.store)
        said(other, Action.TERMINAL_CREATE)

    def act():
        said(other)
        renamed(kiosk.terminal)

    assert missed(act) == {"devices_terminal"}


def test_an_event_of_another_transaction_does_not_count(holding, kiosk):
    with transaction.atomic():
        said(kiosk.terminal)

    assert missed(lambda: renamed(kiosk.terminal)) == {"devices_terminal"}
    with transaction.atomic():
        said(kiosk.terminal)

    if connection.vendor == "sqlite":
        found = [("devices.terminal", str(kiosk.terminal.pk))]
        assert list(completeness.unrecorded()) == found


NO_CHANGE = {
    "a refusal": (Action.TERMINAL_DENIED, {"outcome": "denied"}),
    "a refusal at a page": (Action.ACCESS_DENIED, {"outcome": "denied"}),
    "something undone": (Action.REQUEST_ABORT, {"outcome": "failed"}),
    "a look": (Action.TRAIL_READ, {}),
    "a report": (Action.AUTHINFO_ISSUE, {}),
    "a change that was refused": (Action.TERMINAL_CHANGE, {"outcome": "denied"}),
    "a change that failed": (Action.TERMINAL_CHANGE, {"outcome": "failed"}),
}


@pytest.mark.parametrize("which", NO_CHANGE)
def test_an_event_that_tells_of_no_change_does_not_count(holding, kiosk, which):
    action, how = NO_CHANGE[which]

    def act():
        renamed(kiosk.terminal)
        said(kiosk.terminal, action, **how)

    assert missed(act) == {"devices_terminal"}


def test_a_failure_that_ends_something_counts(seen):
    def act():
        seen.end(FaceSession.State.FAILED, at=NOW, reason="x")
        said(seen, Action.SESSION_FAIL, outcome="failed")

    with conftest.holding():
        assert missed(act) == set()


@pytest.mark.parametrize(
    ("told", "unrecorded"),
    [("new", {"devices_terminalkey"}), ("old", {"devices_terminalkey"}), ("both", set())],
)
def test_what_passes_from_one_to_another_is_told_of_both(holding, kiosk, told, unrecorded):
    with transaction.atomic():
        other = Terminal.objects.create(serial="T-2", store=kiosk.terminal.store)
        said(other, Action.TERMINAL_CREATE)
    about = {"old": [kiosk.terminal], "new": [other], "both": [kiosk.terminal, other]}

    def act():
        TerminalKey.objects.update(terminal=other)
        for terminal in about[told]:
            said(terminal)

    assert missed(act) == unrecorded


@pytest.mark.parametrize(
    ("states_it", "unrecorded"), [(True, set()), (False, {"patients_wechataccount"})]
)
def test_whose_it_was_may_be_a_fact(authorized, states_it, unrecorded):
    onboarded(authorized)
    account = WechatAccount.objects.get()
    other = Patient.objects.create(
        number="P2", real_name="x", document_type=1, document_number="y", created_at=NOW
    )
    stated = {"before": str(account.patient_id)} if states_it else {}

    def act():
        raw("UPDATE patients_wechataccount SET patient_id = %s", column(other.pk))
        said(other, Action.WECHAT_ACCOUNT_MOVE, **stated)

    with conftest.holding():
        assert missed(act) == unrecorded


@pytest.mark.parametrize("table", ["devices_store", "devices_suspension"])
def test_a_primary_key_does_not_change(holding, kiosk, lin, table):
    other = Terminal(serial="T-2", store=kiosk.terminal.store)
    with transaction.atomic():
        other.save()
        said(other, Action.TERMINAL_CREATE)
        suspension.suspend(kiosk.terminal, by=lin, at=NOW, reason="维修")
        spare = Store.objects.create(code="y", name="y")
        said(spare, Action.STORE_CREATE)

    def moved():
        if table == "devices_suspension":
            Suspension.objects.update(terminal=other)
            said(kiosk.terminal, Action.TERMINAL_RESUME)
            said(other, Action.TERMINAL_CHANGE)
            return
        fresh = Store(code="y", name="y")
        Store.objects.filter(pk=spare.pk).update(id=fresh.pk)
        said(spare, Action.STORE_CHANGE)
        said(fresh, Action.STORE_CREATE)

    with pytest.raises(IntegrityError, match="a primary key does not change"), transaction.atomic():
        moved()


def test_an_event_that_was_rolled_back_does_not_count(holding, kiosk):
    def act():
        renamed(kiosk.terminal)
        with transaction.atomic():
            said(kiosk.terminal)
            transaction.set_rollback(True)

    assert missed(act) == {"devices_terminal"}


def test_savepoints_are_of_one_transaction(holding, kiosk):
    def act():
        with transaction.atomic():
            renamed(kiosk.terminal)
        with transaction.atomic():
            Terminal.objects.update(name="y")
            transaction.set_rollback(True)
        with transaction.atomic():
            said(kiosk.terminal)

    assert missed(act) == set()


def test_a_statement_by_itself_is_a_transaction_by_itself(holding, kiosk):
    try:
        raw("UPDATE devices_terminal SET name = 'x'")
    except IntegrityError:
        assert Terminal.objects.get().name != "x"
        return
    with transaction.atomic():
        said(kiosk.terminal)

    assert [label for label, _row in completeness.unrecorded()] == ["devices.terminal"]


def test_what_a_heartbeat_says_is_not_asked_for(holding, kiosk):
    def act():
        presence.hear(kiosk.terminal, at=NOW, clock=NOW.timestamp(), agent_version="2")

    assert missed(act) == set()


def test_nor_is_that_somebody_logged_in(holding, lin, client):
    before = Event.objects.count()

    client.force_login(lin)

    assert Event.objects.count() == before + 1
    assert list(completeness.unrecorded()) == []


def test_deleting_counts(holding, kiosk, lin):
    with transaction.atomic():
        activation.issue(kiosk.terminal, by=lin, at=NOW)
        suspension.suspend(kiosk.terminal, by=lin, at=NOW, reason="维修")

    assert missed(lambda: Suspension.objects.all().delete()) == {"devices_suspension"}
    assert missed(lambda: Activation.objects.all().delete()) == {"devices_activation"}


@pytest.mark.postgresql
def test_emptying_a_table_counts(holding):
    if connection.vendor != "postgresql":
        pytest.skip("postgresql only")

    with pytest.raises(IntegrityError, match="not truncated"), transaction.atomic():
        raw("TRUNCATE devices_suspension")


@pytest.mark.postgresql
def test_a_superuser_who_is_a_replica_is_not_asked_and_nothing_shows_it(holding, kiosk):
    """As docs/audit.md says of what the trail does not prove."""
    if connection.vendor != "postgresql":
        pytest.skip("postgresql only")

    def act():
        raw("SET LOCAL session_replication_role = replica")
        renamed(kiosk.terminal)

    assert missed(act) == set()
    assert Terminal.objects.get().name == "新位置"
    assert guards.drift(connection) == []


def test_what_sqlite_cannot_refuse_the_verification_names_and_fails(
    database, kiosk, tmp_path, settings, capsys
):
    if connection.vendor != "sqlite":
        pytest.skip("sqlite only")
    house = House(tmp_path, now=timezone.now())
    house.seal()
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]
    settings.VERIFIED_STATE = tmp_path / "verified"

    def verified(*options):
        try:
            call_command("verifyaudit", *options)
        except CommandError as exc:
            return exc.returncode, capsys.readouterr().out
        return 0, capsys.readouterr().out

    with conftest.holding():
        raw("DELETE FROM audit_change")
        assert verified()[0] == 0
        renamed(kiosk.terminal)
        code, told = verified("--json")

    assert code == 1
    [found] = json.loads(told)["findings"]
    assert found["kind"] == "unrecorded"
    assert found["text"] == f"没有留痕的改动：devices.terminal {kiosk.terminal.pk}"


BEHIND_ELSEWHERE = {
    "accounts_staff": lambda: Staff.objects.update(role="auditor"),
    "devices_store": lambda: Store.objects.update(name="x"),
    "devices_terminalkey": lambda: TerminalKey.objects.update(revoked_at=NOW),
    "faceauth_notice": lambda: Notice.objects.update(text="x"),
    "faceauth_consent": lambda: Consent.objects.update(granted=False),
    "faceauth_facesession": lambda: FaceSession.objects.update(state="failed"),
    "faceauth_merchant": lambda: Merchant.objects.update(signer_url="https://x.example"),
    "patients_patient": lambda: Patient.objects.update(document_type=9),
}


@pytest.mark.parametrize("table", BEHIND_ELSEWHERE)
def test_so_it_is_with_each_table(lin, authorized, settings, table):
    onboarded(authorized)

    with conftest.holding():
        assert missed(BEHIND_ELSEWHERE[table]) == {table}


def test_a_change_of_keys_is_told_from_a_change_of_names(authorized):
    onboarded(authorized)
    [(blob,)] = Patient.objects.values_list("document_index")

    def resealed():
        raw("UPDATE patients_patient SET document_index_b = %s", blob)

    def as_job():
        until = datetime(2999, 1, 1, tzinfo=UTC)
        job, _ = Job.objects.get_or_create(kind="data", target="x", lease_until=until)
        record(Action.KEYS_ROTATE_BEGIN, by=SYSTEM, on=job, at=NOW)
        if connection.vendor == "postgresql":
            raw("SELECT set_config('hospital.job', %s, true)", str(job.pk))
        resealed()

    def renamed_as_job():
        as_job()
        raw("UPDATE patients_patient SET document_type = 9")

    with conftest.holding():
        assert missed(resealed) == {"patients_patient"}
        assert missed(as_job) == set()
        assert missed(renamed_as_job) == {"patients_patient"}


OVER = {
    "ended": {"state": "done"},
    "left by who was at it": {"lease_until": None},
    "abandoned": {"lease_until": datetime(2001, 1, 1, tzinfo=UTC)},
}


@pytest.mark.parametrize("how", OVER)
def test_a_change_of_keys_that_is_over_excuses_nothing(authorized, how):
    onboarded(authorized)
    until = datetime(2999, 1, 1, tzinfo=UTC)
    job = Job.objects.create(kind="data", target="x", lease_until=until)
    with transaction.atomic():
        record(Action.KEYS_ROTATE_BEGIN, by=SYSTEM, on=job, at=NOW)
    Job.objects.update(**OVER[how])

    def act():
        if connection.vendor == "postgresql":
            raw("SELECT set_config('hospital.job', %s, true)", str(job.pk))
        raw("UPDATE patients_patient SET document_index_b = document_index")

    with conftest.holding():
        assert missed(act) == {"patients_patient"}


def test_a_repair_by_the_owner_is_one_event(holding, kiosk):
    def act():
        said(None, Action.DATABASE_REPAIR, reason="更正门店名称")
        raw("UPDATE devices_store SET name = 'x'")
        raw("UPDATE devices_terminal SET name = 'x'")

    def said(on, action, **how):
        record(action, by=SYSTEM, on=on, at=NOW, **how)

    assert missed(act) == set()


@pytest.mark.postgresql
def test_who_is_not_the_owner_repairs_nothing(holding, kiosk):
    if connection.vendor != "postgresql":
        pytest.skip("postgresql only")
    raw("CREATE ROLE not_the_owner")
    try:
        for table in ("audit_event", "devices_terminal"):
            raw(f"GRANT ALL ON {table} TO not_the_owner")
        raw("SET SESSION AUTHORIZATION not_the_owner")
        with pytest.raises(IntegrityError, match="no event"), transaction.atomic():
            record(Action.DATABASE_REPAIR, by=SYSTEM, on=None, at=NOW, reason="x")
            raw("UPDATE devices_terminal SET name = 'x'")
    finally:
        raw("RESET SESSION AUTHORIZATION")
        raw("DROP OWNED BY not_the_owner")
        raw("DROP ROLE not_the_owner")


def test_a_hash_that_is_made_anew_at_login_is_on_record(holding, lin, settings):
    settings.PASSWORD_HASHERS = [
        "django.contrib.auth.hashers.PBKDF2PasswordHasher",
        "django.contrib.auth.hashers.MD5PasswordHasher",
    ]

    assert missed(lambda: lin.check_password(conftest.PASSWORD)) == set()

    assert Event.objects.on(lin).latest("id").action == Action.PASSWORD_REHASH.value.tag


def test_a_password_that_is_set_is_on_record_also_before_the_first_login(holding, lin):
    def act():
        lin.set_password("another horse, another battery")
        lin.save()

    assert missed(act) == set()

    assert Event.objects.on(lin).latest("id").action == Action.PASSWORD_CHANGE.value.tag


def test_a_connection_that_is_not_ours_cannot_change_what_is_covered(holding):
    if connection.vendor != "sqlite" or connection.is_in_memory_db():
        pytest.skip("needs a file of SQLite's")
    with (
        sqlite3.connect(connection.settings_dict["NAME"]) as file,
        pytest.raises(sqlite3.OperationalError, match="audit_transaction"),
    ):
        file.execute("UPDATE devices_terminal SET name = 'x'")


def test_what_the_database_noted_does_not_grow(holding, kiosk):
    for _ in range(5):
        with transaction.atomic():
            renamed(kiosk.terminal)
            said(kiosk.terminal)

    with connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM audit_change")
        (kept,) = cursor.fetchone()
    assert kept <= 1


@pytest.fixture
def in_use(holding):
    """Somebody else has the stores in hand, and does not let go."""
    if connection.vendor != "postgresql":
        pytest.skip("postgresql only")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("UPDATE devices_store SET name = name")
        yield other
        other.rollback()


def dropped():
    raw("DROP TRIGGER devices_terminal_recorded ON devices_terminal")


@pytest.mark.postgresql
def test_putting_guards_up_waits_for_no_table_where_nothing_is_missing(in_use, monkeypatch):
    monkeypatch.setattr(installing, "TRIES", 1)
    monkeypatch.setattr(installing, "PATIENCE", 50)
    dropped()

    guards.install(connection)

    assert guards.drift(connection) == []


@pytest.mark.postgresql
def test_a_table_in_use_is_asked_for_again_and_then_told(in_use, monkeypatch):
    monkeypatch.setattr(installing, "PATIENCE", 50)
    tries = []
    monkeypatch.setattr(installing, "REST", 0)
    monkeypatch.setattr(installing.time, "sleep", tries.append)
    in_use.rollback()
    dropped()
    raw("DROP TRIGGER devices_store_recorded ON devices_store")
    in_use.execute("UPDATE devices_store SET name = name")

    with pytest.raises(installing.TableInUse, match="devices_store"):
        guards.install(connection)

    assert len(tries) == installing.TRIES - 1
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        assert cursor.fetchone() == ("0",)
    in_use.rollback()
    guards.install(connection)
    assert guards.drift(connection) == []


@pytest.mark.postgresql
def test_a_table_that_is_free_soon_is_waited_for(in_use, monkeypatch):
    monkeypatch.setattr(installing, "PATIENCE", 50)
    monkeypatch.setattr(installing.time, "sleep", lambda _: in_use.rollback())
    in_use.rollback()
    raw("DROP TRIGGER devices_store_recorded ON devices_store")
    in_use.execute("UPDATE devices_store SET name = name")

    guards.install(connection)

    assert guards.drift(connection) == []


def test_after_a_migration_nothing_has_drifted(holding):
    call_command("migrate", verbosity=0)

    assert guards.drift(connection) == []


def test_every_model_of_ours_says_whether_it_is_recorded(monkeypatch):
    assert [one for one in run_checks() if one.id == "audit.E001"] == []
    monkeypatch.delitem(coverage._DECLARED, Store)

    [found] = [one for one in run_checks() if one.id == "audit.E001"]

    assert "devices.Store" in found.msg


def test_every_action_says_with_which_outcomes_it_changes_rows():
    for action in Action:
        assert action.value.changes <= set(get_args(Outcome)) - {"denied"}


def test_facts_by_which_an_event_names_a_row_are_facts():
    known = Counter(fact for action in Action for fact in action.value.facts)

    for one in coverage.covered():
        assert all(known[fact] for fact in one.facts)


# One event for many rows, and only for rows that are deleted because their period is over.


def swept(*rows, table="faceauth.notice", on=None):
    facts = {"category": "session", "count": len(rows), "table": table, "rows": rows}
    on = on or RetentionRun(started_at=NOW)
    record(Action.RETENTION_SWEEP, by=SYSTEM, on=on, at=NOW, **facts)


def two_notices():
    made = {"title": "告知书", "text": "……", "purposes": [], "fallback": "窗口"}
    return [Notice.objects.create(version=number, **made) for number in (101, 102)]


def test_a_sweep_names_the_rows_it_deletes(database):
    rows = two_notices()
    pks = [one.pk for one in rows]

    def act():
        swept(*pks)
        Notice.objects.filter(pk__in=pks).delete()

    with conftest.holding():
        assert missed(act) == set()
        assert not Notice.objects.filter(pk__in=pks).exists()


def test_said_afterwards_it_names_them_as_well(database):
    pks = [one.pk for one in two_notices()]

    def act():
        Notice.objects.filter(pk__in=pks).delete()
        swept(*pks)

    with conftest.holding():
        assert missed(act) == set()


def test_a_row_the_sweep_does_not_list_is_missed(database):
    first, second = (one.pk for one in two_notices())

    def act():
        swept(first)
        Notice.objects.filter(pk__in=[first, second]).delete()

    with conftest.holding():
        assert missed(act) == {"faceauth_notice"}


def test_a_sweep_covers_no_change_and_no_new_row(database):
    first, _ = (one.pk for one in two_notices())

    def change():
        swept(first)
        Notice.objects.filter(pk=first).update(title="另一份")

    with conftest.holding():
        assert missed(change) == {"faceauth_notice"}


def test_a_sweep_of_one_table_covers_no_row_of_another(database):
    pks = [one.pk for one in two_notices()]

    def act():
        swept(*pks, table="faceauth.consent")
        Notice.objects.filter(pk__in=pks).delete()

    with conftest.holding():
        assert missed(act) == {"faceauth_notice"}


def test_an_event_that_is_about_no_sweep_names_no_rows(database):
    first, second = two_notices()

    def act():
        swept(first.pk, on=second)
        Notice.objects.filter(pk=first.pk).delete()

    with conftest.holding():
        assert missed(act) == {"faceauth_notice"}


@pytest.mark.parametrize("is_first", [True, False])
def test_what_goes_with_the_row_a_sweep_lists_is_named_by_it(holding, kiosk, is_first):
    Activation.objects.filter(terminal=kiosk.terminal).delete()
    pk = kiosk.terminal.pk

    def act():
        if is_first:
            swept(pk, table="devices.terminal")
        Terminal.objects.filter(pk=pk).delete()
        if not is_first:
            swept(pk, table="devices.terminal")

    assert TerminalKey.objects.filter(terminal=pk).exists()
    assert missed(act) == set()


@pytest.mark.parametrize("table", ["devices.terminal", "devices.terminalkey"])
def test_whose_they_are_does_not_name_rows_while_that_one_stays(holding, kiosk, table):
    def act():
        swept(kiosk.terminal.pk, table=table)
        TerminalKey.objects.filter(terminal=kiosk.terminal).delete()

    assert missed(act) == {"devices_terminalkey"}


def test_no_other_act_names_rows_by_a_list(database):
    pks = [one.pk for one in two_notices()]

    def act():
        record(Action.PATIENT_VIEW, by=SYSTEM, on=None, at=NOW, count=2, subjects=pks)
        Notice.objects.filter(pk__in=pks).delete()

    with conftest.holding():
        assert missed(act) == {"faceauth_notice"}
