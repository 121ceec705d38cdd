"""Real processes, with the key tables on a database of their own, and the ledger on another."""

import base64
import json
import os
import sqlite3
import subprocess
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from django.apps import apps

from hospital.crypto import routing
from hospital.crypto.models import DataKey, KeyEpoch
from hospital.crypto.providers.file import FileProvider
from hospital.patients.models import Patient
from tests.house import postgresql

ROOT = Path(__file__).resolve().parents[2]
KEY_TABLES = {"crypto_keyepoch", "crypto_datakey", "crypto_indexkey"}
LIST_TABLES = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    "postgresql": "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}
PREAMBLE = """
import json
from django.db import transaction
from django.utils import timezone
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.patients import enrolment
from hospital.patients.models import Patient

@transaction.atomic
def enrol(number):
    person, now = enrolment.Person("张三", 1, number), timezone.now()
    patient, is_new = enrolment.enrol(person, accounts={}, campus="main", at=now)
    record(Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=now, is_new=is_new)
    return patient, is_new

def say(value):
    print(json.dumps(value, default=str))
"""


@dataclass(frozen=True)
class House:
    """An installation without its processes: its databases, and scripts that are run on them."""

    engine: str
    environment: dict[str, str]

    def manage(self, *words: str) -> str:
        return self._run("manage.py", *words)

    def run(self, script: str) -> Any:
        """Run what follows `PREAMBLE`, and return what it says."""
        return json.loads(self._run("manage.py", "shell", "-v0", "-c", PREAMBLE + script))

    def sql(self, variable: str, statement: str) -> list[tuple[Any, ...]]:
        url = self.environment[variable]
        if self.engine == "postgresql":
            with psycopg.connect(url) as server:
                return server.execute(statement).fetchall()
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as file:
            return file.execute(statement).fetchall()

    def tables(self, variable: str) -> set[str]:
        return {name for (name,) in self.sql(variable, LIST_TABLES[self.engine])}

    def count(self, variable: str, table: str) -> int:
        [(number,)] = self.sql(variable, f"SELECT count(*) FROM {table}")  # noqa: S608
        return number

    def _run(self, *words: str) -> str:
        ended = subprocess.run(
            [sys.executable, *words],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout


def environment(var: Path, *, default: str, keys: str, ledger: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DJANGO_SETTINGS_MODULE": "hospital.settings",
        "VAR_DIR": str(var),
        "DEPLOY_LEVEL": "demo",
        "SECRET_KEY": "x" * 50,
        "AUDIT_MAC_KEY": base64.b64encode(bytes(32)).decode(),
        "ALLOWED_HOSTS": "testserver",
        "CACHE_URL": "locmemcache://",
        "BROKER_URL": "memory://",
        "DATABASE_URL": default,
        "KEYS_DATABASE_URL": keys,
        "LEDGER_DATABASE_URL": ledger,
    }


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def house(request, tmp_path_factory):
    var = tmp_path_factory.mktemp("keys-apart")
    FileProvider.create(var / "keys" / "root.key")
    with ExitStack() as stack:
        if request.param == "sqlite":
            urls = [f"sqlite:///{var / name}.sqlite3" for name in ("default", "keys", "ledger")]
        else:
            server = os.environ.get("DATABASE_URL", "")
            urls = [stack.enter_context(postgresql(server)) for _ in range(3)]
        default, keys, ledger = urls
        house = House(request.param, environment(var, default=default, keys=keys, ledger=ledger))
        house.manage("migrate", "-v0", "--skip-checks")
        for name in ("keys", "ledger"):
            house.manage("migrate", "-v0", "--skip-checks", "--database", name)
        yield house


def test_each_database_has_its_own_tables_and_no_others(house):
    assert house.tables("KEYS_DATABASE_URL") == KEY_TABLES | {"django_migrations"}
    assert house.tables("LEDGER_DATABASE_URL") == {"erasure_ledger", "django_migrations"}
    assert not house.tables("DATABASE_URL") & (KEY_TABLES | {"erasure_ledger"})
    assert "patients_patient" in house.tables("DATABASE_URL")


def test_a_patient_is_on_one_database_and_the_key_on_the_other(house):
    before = house.count("KEYS_DATABASE_URL", "crypto_datakey")

    number = house.run('say(enrol("11010119900307002X")[0].number)')

    assert (number,) in house.sql("DATABASE_URL", "SELECT number FROM patients_patient")
    assert house.count("KEYS_DATABASE_URL", "crypto_datakey") == before + 1
    assert house.count("KEYS_DATABASE_URL", "crypto_keyepoch") == 1
    assert house.run(f'say(Patient.objects.get(number="{number}").real_name)') == "张三"


def test_a_key_whose_patient_was_rolled_back_is_harmless(house):
    before = house.count("KEYS_DATABASE_URL", "crypto_datakey")

    lost, kept, name, is_new = house.run(
        """
try:
    with transaction.atomic():
        lost, _ = enrol("110101199003070032")
        raise InterruptedError
except InterruptedError:
    pass
kept, is_new = enrol("110101199003070032")
name = Patient.objects.get(pk=kept.pk).real_name
say([lost.number, kept.number, name, is_new])
"""
    )

    assert is_new
    assert lost != kept
    # One key that nobody needs, and that of the patient.
    assert house.count("KEYS_DATABASE_URL", "crypto_datakey") == before + 2
    assert name == "张三"


def test_older_patients_that_were_restored_go_on_with_newer_keys(house, tmp_path):
    if house.engine != "sqlite":
        pytest.skip("only on SQLite is a copy of a file a backup")
    file = Path(house.environment["DATABASE_URL"].removeprefix("sqlite:///"))
    enrolled_anew = 'say(enrol("110101199003070042")[1])'
    copy(file, tmp_path / "backup")
    assert house.run(enrolled_anew)

    copy(tmp_path / "backup", file)

    assert house.run(enrolled_anew)


def copy(source: Path, target: Path) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


def test_readiness_names_a_key_database_that_is_gone(house, tmp_path):
    nowhere = f"sqlite:///{tmp_path / 'nowhere' / 'keys.sqlite3'}"
    gone = House(house.engine, house.environment | {"KEYS_DATABASE_URL": nowhere})
    asked = """
from django.test import Client
say(Client().get("/readyz").json()["failed"])
"""

    assert gone.run(asked) == ["key_database", "keys"]


# The router.


def test_without_the_variable_there_is_no_router(settings):
    assert list(settings.DATABASES) == ["default"]
    assert settings.DATABASE_ROUTERS == []


def test_every_table_of_the_keys_is_accounted_for():
    """Another model of `crypto` is put on one side by a decision, not by chance."""
    models = {model._meta.model_name for model in apps.get_app_config("crypto").get_models()}

    assert models - {"job"} == routing._TABLES


def test_keys_relate_to_keys_only():
    router = routing.KeyTables()

    assert router.allow_relation(DataKey(), KeyEpoch()) is True
    assert router.allow_relation(DataKey(), Patient()) is False
    assert router.allow_relation(Patient(), KeyEpoch()) is False
    assert router.allow_relation(Patient(), Patient()) is None
