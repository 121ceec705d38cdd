"""The roles of PostgreSQL: a whole visit as the application's, and what that role cannot do."""

import io
import json
import os
import subprocess
import sys
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from hospital.audit import grants, guards
from hospital.audit.grants import Database, Known, Roles, Unsuitable
from hospital.demo.installation import ROOT
from tests.house import House, postgresql, until

PASSWORD = "correct horse battery staple"
ACCOUNTS = ("owner", "app", "notary", "auditor", "keeper")


def named(url, role):
    """Return the URL of the same database for another role."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{PASSWORD.replace(' ', '%20')}@{place}").geturl()


class Redacted(House):
    """A house where a line may be redacted."""

    def trail(self, action):
        rows = self.sql("SELECT payload FROM audit_event WHERE action IS NOT NULL ORDER BY id")
        events = [json.loads(payload) for (payload,) in rows]
        return [event for event in events if event["action"] == action]


class Fort:
    """A house whose web, worker and notary each connect as a role of their own."""

    def __init__(self, house, url, roles):
        self.house, self.url, self.roles = house, url, roles

    def manage(self, *command, as_role="", **env):
        url = named(self.url, as_role) if as_role else self.url
        environment = {**self.house.processes.env, "DATABASE_URL": url, **env}
        return subprocess.run(
            [sys.executable, "manage.py", *command],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
        )

    def grant(self, *more):
        file = self.house.place.var / "password"
        file.write_text(PASSWORD)
        given = []
        for what in ACCOUNTS:
            given += [f"--{what}", getattr(self.roles, what)]
            if what != "owner":
                given += [f"--{what}-password-file", str(file)]
        return self.manage("grantroles", *given, *more)

    def start(self, name, as_role):
        self.house.processes.env["DATABASE_URL"] = named(self.url, as_role)
        self.house.start(name)
        self.house.processes.env["DATABASE_URL"] = self.url

    def attempt(self, statement, as_role):
        """Return the class of SQLSTATE with which `as_role` is refused; "" if it is not."""
        with psycopg.connect(named(self.url, as_role)) as server:
            try:
                server.execute(statement)
            except psycopg.Error as exc:
                return exc.sqlstate
            finally:
                server.rollback()
        return ""


@pytest.fixture(scope="module")
def fort(tmp_path_factory):
    var, mark = tmp_path_factory.mktemp("fort"), uuid4().hex[:8]
    roles = Roles(*(f"t_{what}_{mark}" for what in ACCOUNTS))
    server = os.environ.get("DATABASE_URL", "")
    try:
        with (
            postgresql(server) as url,
            Redacted.built(var, DATABASE_URL=url, DATABASE_POOL="6") as house,
        ):
            yield Fort(house, url, roles)
    finally:
        with psycopg.connect(server, autocommit=True) as connection:
            for role in (*roles.logins, roles.owner):
                connection.execute(f"DROP ROLE IF EXISTS {role}")


@pytest.fixture(scope="module")
def granted(fort):
    done = fort.grant()
    assert done.returncode == 0, done.stderr
    return fort


@pytest.fixture(scope="module")
def at_work(granted):
    granted.start("web", granted.roles.app)
    granted.start("worker", granted.roles.app)
    granted.start("notary", granted.roles.notary)
    return granted


# A leaf is there before the checkpoint that signs it.
UNSIGNED = """
SELECT (SELECT count(*) FROM audit_pending),
       (SELECT count(*) FROM audit_leaf) - (SELECT max(size) FROM audit_checkpoint)
"""


def sealed(house):
    until(lambda: house.sql(UNSIGNED) == [(0, 0)], "nothing was sealed")


@pytest.mark.cluster
def test_a_whole_visit_needs_no_more_than_was_granted(at_work):
    granted, house = at_work, at_work.house

    with house.lobby() as lobby:
        visit = lobby.authorize("stranger-1")
        until(lambda: house.finished([visit]), "nobody was onboarded")

    house.assert_on_record_once([visit])
    sealed(house)
    verifiers = {"TRAIL_VERIFIERS": house.place.verifier.read_text()}
    verified = granted.manage("verifyaudit", as_role=granted.roles.auditor, **verifiers)
    assert verified.returncode == 0, verified.stdout + verified.stderr


FORBIDDEN = [
    "UPDATE audit_event SET mac_key = 2",
    "DELETE FROM audit_event",
    "TRUNCATE audit_event",
    "ALTER TABLE audit_event DISABLE TRIGGER ALL",
    "ALTER TABLE audit_event ADD COLUMN x int",
    "DROP TRIGGER audit_event_enqueue ON audit_event",
    (
        "CREATE TRIGGER quiet BEFORE INSERT ON audit_event FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    (
        "INSERT INTO audit_event (id, uid, payload, mac, mac_key)"
        " SELECT 9999999, gen_random_uuid(), payload, mac, mac_key FROM audit_event LIMIT 1"
    ),
    (
        "INSERT INTO audit_event (txid, uid, payload, mac, mac_key)"
        " SELECT '7', gen_random_uuid(), payload, mac, mac_key FROM audit_event LIMIT 1"
    ),
    "DELETE FROM audit_pending",
    "INSERT INTO audit_pending VALUES (1)",
    "INSERT INTO audit_leaf VALUES (99, 99, '')",
    "DELETE FROM audit_checkpoint",
    "UPDATE audit_anchor SET size = 0",
    "UPDATE audit_archive SET size = 0",
    "INSERT INTO audit_archive VALUES (1)",
    "INSERT INTO audit_pruned VALUES (1)",
    "INSERT INTO audit_redacted VALUES (1)",
    "SELECT audit_prune(gen_random_uuid())",
    "SELECT audit_redact(gen_random_uuid(), '', 1)",
    "SET ROLE {keeper}",
    "SELECT audit_enqueue()",
    "ALTER TABLE devices_terminal DISABLE TRIGGER ALL",
    "ALTER FUNCTION audit_refuse() OWNER TO CURRENT_USER",
    "CREATE FUNCTION audit_refuse(int) RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE TABLE public.audit_other (x int)",
    "TRUNCATE devices_suspension",
    "SET session_replication_role = replica",
    "SET ROLE {owner}",
    "DROP TABLE patients_patient",
    "DELETE FROM django_migrations",
]


@pytest.mark.cluster
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_applications_role_may_not(granted, statement):
    roles = granted.roles
    refused = granted.attempt(
        statement.format(owner=roles.owner, keeper=roles.keeper), as_role=roles.app
    )

    assert refused == "42501"  # insufficient_privilege


@pytest.mark.cluster
def test_nor_may_it_change_anything_without_an_event(granted):
    with (
        psycopg.connect(named(granted.url, granted.roles.app)) as server,
        pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="no event"),
    ):
        server.execute("UPDATE devices_terminal SET name = 'x'")
        server.commit()


@pytest.mark.cluster
@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit_event SET mac_key = 2",
        "DELETE FROM audit_leaf",
        "UPDATE devices_terminal SET name = 'x'",
        "SELECT * FROM patients_patient",
        "INSERT INTO audit_pending VALUES (1)",
    ],
)
def test_nor_may_the_notary(granted, statement):
    assert granted.attempt(statement, as_role=granted.roles.notary) == "42501"


@pytest.mark.cluster
@pytest.mark.parametrize(
    "statement", ["DELETE FROM audit_pending", "SELECT * FROM patients_patient"]
)
def test_nor_may_an_auditor(granted, statement):
    assert granted.attempt(statement, as_role=granted.roles.auditor) == "42501"


@pytest.mark.cluster
@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO audit_proposal (id) VALUES (gen_random_uuid())",
        "UPDATE audit_proposal SET decided_by = gen_random_uuid()",
        "UPDATE audit_proposal SET facts = '{}'",
        "DELETE FROM audit_event",
        "INSERT INTO audit_leaf VALUES (99, 99, '')",
        "INSERT INTO audit_checkpoint (size) VALUES (99)",
        "DELETE FROM audit_pending",
        "SELECT * FROM patients_patient",
        "SELECT * FROM audit_commitment",
    ],
)
def test_nor_may_the_keeper(granted, statement):
    assert granted.attempt(statement, as_role=granted.roles.keeper) == "42501"


ASK_AND_APPROVE = """
from django.contrib.auth import get_user_model
from django.utils import timezone
from hospital.audit import proposing, tasks
from hospital.audit.log import Leaf
from hospital.audit.models import Event
people = {one.role: one for one in get_user_model().objects.all()}
event = Event.objects.exclude(action__startswith="notary.").earliest("id")
leaf = Leaf.objects.get(event_id=event.pk)
facts = {"index": leaf.index, "hash": bytes(leaf.hash).hex()}
now = timezone.now()
asked = proposing.ask("audit.redact", facts, reason="x", by=people["auditor"], at=now)
proposing.decide(asked, approves=True, by=people["security"], at=now)
tasks.attend_to_proposals()
"""


@pytest.mark.cluster
def test_what_two_people_decided_only_the_keeper_does(at_work):
    granted, house, roles = at_work, at_work.house, at_work.roles
    verifiers = {"TRAIL_VERIFIERS": house.place.verifier.read_text()}
    state = "SELECT state FROM audit_proposal"
    sealed(house)

    asked = granted.manage("shell", "-c", ASK_AND_APPROVE, as_role=roles.app)
    assert asked.returncode == 0, asked.stderr
    sealed(house)
    refused = granted.manage("pruneaudit", as_role=roles.app, **verifiers)
    assert (refused.returncode, house.sql(state)) == (1, [("approved",)])
    assert "--keeper" in refused.stderr
    assert "--keeper" in granted.manage("archiveaudit", as_role=roles.app, **verifiers).stderr

    done = granted.manage("pruneaudit", as_role=roles.keeper, **verifiers)
    assert (done.returncode, house.sql(state)) == (0, [("done",)]), done.stderr
    archived = granted.manage(
        "archiveaudit", "--until", "2100-01-01", as_role=roles.keeper, **verifiers
    )
    assert archived.returncode == 0, archived.stderr
    assert house.sql("SELECT count(*) FROM audit_archive") == [(1,)]
    sealed(house)
    verified = granted.manage("verifyaudit", as_role=roles.auditor, **verifiers)
    assert verified.returncode == 0, verified.stdout + verified.stderr


@pytest.mark.cluster
def test_granting_again_changes_nothing_and_both_times_are_on_record(granted):
    acls = "SELECT relname, relacl::text, relowner FROM pg_class ORDER BY 1"
    before = granted.house.sql(acls)

    again = granted.grant()

    assert again.returncode == 0, again.stderr
    assert granted.house.sql(acls) == before
    assert len(granted.house.trail("database.grant")) >= 2


@pytest.mark.cluster
def test_a_dry_run_shows_what_it_would_do_and_no_password(granted):
    before = granted.house.trail("database.grant")

    shown = granted.grant("--dry-run").stdout

    assert (
        f'GRANT INSERT (uid, payload, mac, mac_key) ON "audit_event" TO "{granted.roles.app}"'
        in shown
    )
    assert PASSWORD not in shown
    assert granted.house.trail("database.grant") == before


@pytest.mark.cluster
def test_migrating_goes_on_as_the_owner(granted):
    granted.house.sql(f"CREATE ROLE {granted.roles.owner}_d LOGIN PASSWORD '{PASSWORD}'")
    granted.house.sql(f"GRANT {granted.roles.owner} TO {granted.roles.owner}_d")
    url = (
        named(granted.url, f"{granted.roles.owner}_d")
        + f"{'&' if '?' in granted.url else '?'}options=-c%20role%3D{granted.roles.owner}"
    )
    try:
        granted.house.sql("DROP TRIGGER audit_event_enqueue ON audit_event")
        done = granted.manage("migrate", DATABASE_URL=url)

        assert done.returncode == 0, done.stderr
        checked = granted.manage(
            "check", "--deploy", "--database", "default", as_role=granted.roles.app
        )
        assert "audit.E002" not in checked.stderr
    finally:
        granted.house.sql(f"DROP ROLE {granted.roles.owner}_d")


def drifted(granted):
    """Return what the check says about the database, as the application's role."""
    checked = granted.manage(
        "check", "--deploy", "--database", "default", as_role=granted.roles.app
    )
    return [line for line in checked.stderr.splitlines() if "audit.E002" in line]


@pytest.mark.cluster
def test_who_owned_the_database_and_could_make_roles_does_not_any_more(granted):
    house, roles = granted.house, granted.roles
    [(database,)] = house.sql("SELECT current_database()")
    house.sql(f"ALTER DATABASE {database} OWNER TO {roles.app}")
    house.sql("ALTER SCHEMA public OWNER TO pg_database_owner")
    house.sql(f"ALTER ROLE {roles.app} CREATEROLE CREATEDB")
    assert len(drifted(granted)) == 4  # schema, database, two attributes
    assert granted.attempt("DROP TABLE audit_event CASCADE", as_role=roles.app) == ""

    again = granted.grant()

    assert again.returncode == 0, again.stderr
    assert drifted(granted) == []
    assert granted.attempt("DROP TABLE audit_event CASCADE", as_role=roles.app) == "42501"
    assert granted.attempt("CREATE ROLE x", as_role=roles.app) == "42501"


@pytest.mark.cluster
def test_who_belongs_to_another_role_is_told_and_not_granted_anything(granted):
    house, roles = granted.house, granted.roles
    for group in ("pg_write_all_data", roles.notary, roles.keeper):
        house.sql(f"GRANT {group} TO {roles.app}")
        try:
            told, refused = drifted(granted), granted.grant()
        finally:
            house.sql(f"REVOKE {group} FROM {roles.app}")

        assert told, group
        assert group in refused.stderr

    assert drifted(granted) == []


@pytest.mark.cluster
def test_who_is_not_named_cannot_connect(granted):
    stranger = f"{granted.roles.owner}_s"
    granted.house.sql(f"CREATE ROLE {stranger} LOGIN PASSWORD '{PASSWORD}'")
    try:
        with pytest.raises(psycopg.OperationalError, match="CONNECT"):
            granted.attempt("SELECT 1", as_role=stranger)
    finally:
        granted.house.sql(f"DROP ROLE {stranger}")


@pytest.mark.cluster
def test_whoever_owns_the_tables_is_told_at_level_3(granted):
    for url, expected in [
        (granted.url, "超级用户"),
        (named(granted.url, granted.roles.app), ""),
    ]:
        told = granted.manage(
            "shell",
            "-c",
            "from django.conf import settings; settings.DEPLOY_LEVEL = '3';"
            "from django.core.checks import run_checks;"
            "print([c.msg for c in "
            "run_checks(databases=['default'], include_deployment_checks=True)"
            " if c.id == 'audit.E002'])",
            DATABASE_URL=url,
        ).stdout.splitlines()[-1]

        assert (expected in told) if expected else told == "[]"


def there(*, user="postgres", **known):
    return Database(
        "hospital",
        "postgres",
        "public",
        "pg_database_owner",
        user,
        is_super=True,
        roles=known,
        tables={"audit_event": "a"},
        sequences={},
        functions={},
    )


def test_a_role_that_could_do_anything_is_not_taken():
    with pytest.raises(Unsuitable, match="app"):
        grants.statements(Roles("owner", "app"), there(app=Known(may_all=True)))


def test_nor_is_one_that_belongs_to_another():
    with pytest.raises(Unsuitable, match="pg_write_all_data"):
        grants.statements(Roles("owner", "app"), there(app=Known(groups=("pg_write_all_data",))))


def test_nor_is_the_one_that_grants():
    with pytest.raises(Unsuitable, match="app"):
        grants.statements(Roles("owner", "app"), there(user="app", app=Known()))


@pytest.mark.parametrize("name", ["", "Robert'); --", "pg_monitor", "A"])
def test_a_role_has_a_plain_name(name):
    with pytest.raises(Unsuitable):
        Roles("owner", name or " ")


def test_two_roles_are_two():
    with pytest.raises(Unsuitable):
        Roles("owner", "app", notary="app")


def test_sqlite_has_no_roles(db):
    if connection.vendor != "sqlite":
        pytest.skip("sqlite only")
    with pytest.raises(CommandError, match="SQLite"):
        call_command("grantroles", owner="a", app="b", stdout=io.StringIO())
    assert guards.owner(connection) == ""
