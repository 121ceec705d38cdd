"""The roles of PostgreSQL: a whole visit as the application's, and what that role cannot do."""

import io
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
from hospital.audit.grants import Database, Roles, Unsuitable
from hospital.demo.installation import ROOT
from tests.house import House, postgresql, until

PASSWORD = "correct horse battery staple"


def named(url, role):
    """Return the URL of the same database for another role."""
    parts = urlsplit(url)
    place = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{role}:{PASSWORD.replace(' ', '%20')}@{place}").geturl()


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
        for what in ("owner", "app", "notary", "auditor"):
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
    roles = Roles(*(f"t_{what}_{mark}" for what in ("owner", "app", "notary", "auditor")))
    server = os.environ.get("DATABASE_URL", "")
    try:
        with (
            postgresql(server) as url,
            House.built(var, DATABASE_URL=url, DATABASE_POOL="6") as house,
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


@pytest.mark.postgresql
def test_a_whole_visit_needs_no_more_than_was_granted(granted):
    house = granted.house
    granted.start("web", granted.roles.app)
    granted.start("worker", granted.roles.app)
    granted.start("notary", granted.roles.notary)

    with house.lobby() as lobby:
        visit = lobby.authorize("stranger-1")
        until(lambda: house.finished([visit]), "nobody was onboarded")

    house.assert_on_record_once([visit])
    until(lambda: house.sql("SELECT count(*) FROM audit_pending") == [(0,)], "nothing was sealed")
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


@pytest.mark.postgresql
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_applications_role_may_not(granted, statement):
    refused = granted.attempt(
        statement.format(owner=granted.roles.owner), as_role=granted.roles.app
    )

    assert refused == "42501"  # insufficient_privilege


@pytest.mark.postgresql
def test_nor_may_it_change_anything_without_an_event(granted):
    with (
        psycopg.connect(named(granted.url, granted.roles.app)) as server,
        pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="no event"),
    ):
        server.execute("UPDATE devices_terminal SET name = 'x'")
        server.commit()


@pytest.mark.postgresql
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


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "statement", ["DELETE FROM audit_pending", "SELECT * FROM patients_patient"]
)
def test_nor_may_an_auditor(granted, statement):
    assert granted.attempt(statement, as_role=granted.roles.auditor) == "42501"


@pytest.mark.postgresql
def test_granting_again_changes_nothing_and_both_times_are_on_record(granted):
    acls = "SELECT relname, relacl::text, relowner FROM pg_class ORDER BY 1"
    before = granted.house.sql(acls)

    again = granted.grant()

    assert again.returncode == 0, again.stderr
    assert granted.house.sql(acls) == before
    assert len(granted.house.trail("database.grant")) >= 2


@pytest.mark.postgresql
def test_a_dry_run_shows_what_it_would_do_and_no_password(granted):
    before = granted.house.trail("database.grant")

    shown = granted.grant("--dry-run").stdout

    assert (
        f'GRANT INSERT (uid, payload, mac, mac_key) ON "audit_event" TO "{granted.roles.app}"'
        in shown
    )
    assert PASSWORD not in shown
    assert granted.house.trail("database.grant") == before


@pytest.mark.postgresql
def test_migrating_goes_on_as_the_owner(granted):
    granted.house.sql(f"CREATE ROLE {granted.roles.owner}_d LOGIN PASSWORD '{PASSWORD}'")
    granted.house.sql(f"GRANT {granted.roles.owner} TO {granted.roles.owner}_d")
    url = (
        named(granted.url, f"{granted.roles.owner}_d")
        + f"?options=-c%20role%3D{granted.roles.owner}"
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


@pytest.mark.postgresql
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


def there(**known):
    return Database(
        "public",
        "postgres",
        is_super=True,
        roles=known,
        tables={"audit_event": "a"},
        sequences={},
        functions={},
    )


def test_a_role_that_could_do_anything_is_not_taken():
    with pytest.raises(Unsuitable, match="app"):
        grants.statements(Roles("owner", "app"), there(app=True))


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
