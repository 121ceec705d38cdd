"""What is configured, what is documented, and what level 3 refuses."""

import os
import re
import subprocess
import sys
from ipaddress import ip_network
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.checks import Error, Warning  # noqa: A004
from django.core.exceptions import ImproperlyConfigured

from hospital import checks, settings
from hospital.demo.installation import Installation
from tests.level3 import environment

ROOT = Path(__file__).resolve().parents[2]
LINE = re.compile(r"#?([A-Z_]+)=.")
READ = re.compile(r'env(?:\.\w+)?\(\s*"([A-Z_]+)"')

POSTGRESQL = {
    "ENGINE": "hospital.postgresql",
    "HOST": "db",
    "PORT": "",
    "NAME": "hospital",
    "OPTIONS": {"sslmode": "verify-full"},
}
BOTH = {"default": POSTGRESQL, "keys": POSTGRESQL | {"NAME": "keys"}}


def names_read():
    return set(READ.findall((ROOT / "hospital" / "settings.py").read_text()))


def level3(**changes):
    """Run the deploy check in a process of its own, as a level-3 installation would."""
    script = (
        "import os, sys, tempfile; sys.path.insert(0, '.');"
        "from tests.level3 import environment;"
        f"os.environ.update(environment(tempfile.mkdtemp()) | {changes!r});"
        "from django.core.management import execute_from_command_line as run;"
        "run(['manage.py', 'check', '--deploy', '--fail-level', 'WARNING'])"
    )
    clean = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, env=clean
    )


@pytest.fixture
def strict(monkeypatch):
    """A configuration of which nothing is left to say."""
    configured = SimpleNamespace(
        DEPLOY_LEVEL="3",
        NOTARY_KEY_FILE="",
        DATABASE_DIRECT="",
        DATABASES=BOTH,
        CELERY_BROKER_URL="amqps://rabbitmq//",
        HTTPS_ONLY=True,
        ALLOWED_HOSTS=["hospital.invalid"],
        SECRET_KEY="x" * 50,
        CACHES={
            "default": {
                "BACKEND": "django.core.cache.backends.redis.RedisCache",
                "LOCATION": "rediss://redis/1",
            }
        },
        KEY_PROVIDER="file",
        KEY_FILE=Path("/run/secrets/root_key"),
        ACCEPT_FILE_KEYS=True,
        PKCS11_MODULE="/usr/lib/token.so",
        PKCS11_TOKEN="hospital",
        PKCS11_PIN="246813",
        VAULT_ADDR="https://vault.invalid:8200",
        VAULT_TOKEN="",
        VAULT_TOKEN_FILE="/run/vault/token",
        WORKER_KEY_FILE="",
        MERCHANT_KEY_PASSWORD="",
        MERCHANT_KEYS_DIR=Path("/run/secrets/not-for-the-web"),
        TRAIL_KEEP_MONTHS=36,
        ADMIN_NETWORKS=[ip_network("10.20.0.0/16")],
        TRUSTED_PROXIES=1,
        HIS_FHIR_URL="",
        ERASURE_LEDGER=Path("/mnt/ledger/erasures.jsonl"),
        VAR_DIR=Path("/var/lib/hospital"),
    )
    monkeypatch.setattr(checks, "settings", configured)
    return configured


def test_every_variable_is_in_the_example():
    lines = (ROOT / "docker" / "env.example").read_text().splitlines()
    named = {match[1].removesuffix("_FILE") for match in map(LINE.match, lines) if match}

    # KEY_FILE is a path by its own name, not a KEY read from a file.
    assert {name.removesuffix("_FILE") for name in names_read()} == named


def test_every_variable_is_documented():
    text = (ROOT / "docs" / "configuration.md").read_text()

    assert [name for name in sorted(names_read()) if f"`{name}`" not in text] == []


def test_a_level_3_configuration_passes():
    passed = level3()

    assert passed.returncode == 0, passed.stderr


def test_a_missing_secret_stops_the_start():
    assert level3(AUDIT_MAC_KEY="").returncode != 0


@pytest.mark.parametrize(
    ("name", "value", "finding"),
    [
        ("DATABASES", {"default": {"ENGINE": "django.db.backends.sqlite3"}}, "E001"),
        ("CELERY_BROKER_URL", "filesystem://", "E002"),
        ("HTTPS_ONLY", False, "E003"),
        ("ALLOWED_HOSTS", ["*"], "E004"),
        ("ALLOWED_HOSTS", [], "E004"),
        ("SECRET_KEY", "short", "E006"),
        ("CACHES", {"default": {"BACKEND": "x.LocMemCache"}}, "E007"),
        ("ACCEPT_FILE_KEYS", False, "E008"),
        ("KEY_PROVIDER", "kms", "E011"),
        ("TRAIL_KEEP_MONTHS", 5, "E016"),
        ("ADMIN_NETWORKS", [], "E017"),
        ("ADMIN_NETWORKS", [ip_network("10.0.0.0/8"), ip_network("::/0")], "E017"),
        ("ADMIN_NETWORKS", [ip_network("0.0.0.0/1"), ip_network("128.0.0.0/1")], "E017"),
        ("HIS_FHIR_URL", "http://his.invalid/fhir", "E031"),
        ("TRUSTED_PROXIES", -1, "E020"),
        ("ERASURE_LEDGER", Path("/var/lib/hospital/erasures.jsonl"), "E030"),
        ("DATABASES", BOTH | {"ledger": POSTGRESQL}, "E030"),
        ("DATABASES", BOTH | {"ledger": POSTGRESQL | {"USER": "another"}}, "E030"),
        ("DATABASES", BOTH | {"ledger": POSTGRESQL | {"PORT": "5432"}}, "E030"),
        ("DATABASES", BOTH | {"ledger": POSTGRESQL | {"NAME": "keys"}}, "E030"),
        ("DATABASES", BOTH | {"ledger": {"ENGINE": "django.db.backends.sqlite3"}}, "E030"),
    ],
)
def test_level_3_refuses(strict, name, value, finding):
    setattr(strict, name, value)

    [found] = checks.production()

    assert isinstance(found, Error)
    assert found.id == f"hospital.{finding}"
    assert found.hint


def test_a_ledger_in_another_database_needs_no_file_elsewhere(strict):
    strict.ERASURE_LEDGER = strict.VAR_DIR / "erasures.jsonl"
    strict.DATABASES = BOTH | {"ledger": POSTGRESQL | {"NAME": "ledger"}}

    assert checks.production() == []


def test_a_ledger_behind_the_pooler_of_the_patients_is_with_them(strict):
    strict.DATABASES = {
        "default": POSTGRESQL | {"HOST": "pooler"},
        "ledger": POSTGRESQL | {"HOST": "DB2"},
    }
    assert checks.production() == []

    strict.DATABASE_DIRECT = "db2"

    assert [one.id for one in checks.production()] == ["hospital.E030"]


@pytest.mark.parametrize("provider", ["pkcs11", "vault"])
def test_a_configured_provider_passes(strict, provider):
    strict.KEY_PROVIDER, strict.ACCEPT_FILE_KEYS = provider, False

    assert checks.production() == []


@pytest.mark.parametrize(
    ("provider", "missing"),
    [
        ("pkcs11", "PKCS11_MODULE"),
        ("pkcs11", "PKCS11_TOKEN"),
        ("pkcs11", "PKCS11_PIN"),
        ("vault", "VAULT_TOKEN_FILE"),
    ],
)
def test_level_3_names_what_a_provider_lacks(strict, provider, missing):
    strict.KEY_PROVIDER = provider
    setattr(strict, missing, "")

    [found] = checks.production()

    assert (found.id, type(found)) == ("hospital.E011", Error)
    assert missing in found.hint


def test_a_token_for_vault_may_come_either_way(strict):
    strict.KEY_PROVIDER, strict.VAULT_TOKEN_FILE, strict.VAULT_TOKEN = "vault", "", "t"

    assert checks.production() == []


@pytest.mark.parametrize("address", ["http://vault.invalid:8200", "vault.invalid"])
def test_level_3_speaks_to_vault_in_private(strict, address):
    strict.KEY_PROVIDER, strict.VAULT_ADDR = "vault", address

    [found] = checks.production()

    assert (found.id, type(found)) == ("hospital.E012", Error)


@pytest.mark.parametrize(
    "databases",
    [
        {"default": POSTGRESQL},
        {"default": POSTGRESQL, "keys": POSTGRESQL},
        {"default": POSTGRESQL, "keys": POSTGRESQL | {"USER": "keys"}},
    ],
    ids=["one", "the same", "the same for another user"],
)
def test_level_3_warns_of_keys_beside_what_they_open(strict, databases):
    strict.DATABASES = databases

    [found] = checks.keys_apart(databases=["default"])

    assert (found.id, type(found)) == ("hospital.W013", Warning)


@pytest.mark.parametrize("difference", [{"NAME": "keys"}, {"HOST": "db2"}, {"PORT": "5433"}])
def test_keys_elsewhere_are_apart(strict, difference):
    strict.DATABASES = {"default": POSTGRESQL, "keys": POSTGRESQL | difference}

    assert checks.keys_apart(databases=["default"]) == []


def test_a_demo_keeps_its_keys_with_the_rest(strict):
    strict.DEPLOY_LEVEL, strict.DATABASES = "demo", {"default": POSTGRESQL}

    assert checks.keys_apart(databases=["default"]) == []


def test_a_process_that_does_not_meet_its_level_does_not_start(strict):
    strict.HTTPS_ONLY = False

    with pytest.raises(ImproperlyConfigured, match="E003"):
        checks.refuse_unfit()


def test_every_duty_that_is_not_met_is_in_one_list_with_its_remedy(strict):
    strict.HTTPS_ONLY, strict.SECRET_KEY, strict.DEPLOY_LEVEL = False, "short", "2"

    with pytest.raises(ImproperlyConfigured) as refused:
        checks.refuse_unfit()

    told = str(refused.value).splitlines()
    assert "共 3 项" in told[0]
    assert [line for line in told if line.startswith("【")] == [
        "【网络和访问】",
        "【密钥】",
        "【其他】",
    ]
    assert sum("处理：" in line for line in told) == 3


@pytest.mark.parametrize("name", ["WORKER_KEY_FILE", "MERCHANT_KEY_PASSWORD"])
def test_the_web_does_not_start_with_what_opens_keys(strict, name):
    strict.WORKER_KEY_FILE = strict.MERCHANT_KEY_PASSWORD = ""
    setattr(strict, name, "/run/secrets/worker_key")

    checks.refuse_unfit()
    with pytest.raises(ImproperlyConfigured, match="E009"):
        checks.refuse_unfit(web=True)


def test_the_web_may_not_read_key_files(strict, tmp_path):
    strict.MERCHANT_KEYS_DIR = tmp_path
    checks.refuse_unfit(web=True)
    (tmp_path / "apiclient_key.pem").write_text("-----BEGIN")

    checks.refuse_unfit()
    with pytest.raises(ImproperlyConfigured, match="E010"):
        checks.refuse_unfit(web=True)


def test_only_the_notary_may_read_the_key_of_the_log(strict, tmp_path):
    strict.NOTARY_KEY_FILE = str(tmp_path / "notary.pem")
    checks.refuse_unfit(web=True)  # named, and not there, or not for this process
    (tmp_path / "notary.pem").write_text("-----BEGIN")

    for web in (True, False):
        with pytest.raises(ImproperlyConfigured, match="E014"):
            checks.refuse_unfit(web=web)


@pytest.mark.parametrize("level", ["2", "prod", ""])
def test_only_a_demo_is_relaxed(strict, level):
    strict.DEPLOY_LEVEL, strict.HTTPS_ONLY = level, False

    assert all(isinstance(found, Error) for found in checks.production())


@pytest.mark.parametrize(
    "command",
    [
        ["celery", "-A", "hospital.celery:app", "worker", "--pool", "solo"],
        ["celery", "-A", "hospital.celery:app", "beat"],
        ["granian", "--interface", "wsgi", "--port", "0", "hospital.wsgi:application"],
    ],
    ids=["worker", "beat", "web"],
)
def test_a_real_process_that_is_unfit_ends_and_says_why(command, tmp_path):
    unfit = environment(str(tmp_path)) | {"HTTPS_ONLY": "0", "PATH": os.environ["PATH"]}

    ended = subprocess.run(
        [sys.executable, "-m", *command],
        cwd=ROOT,
        env=unfit,
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert ended.returncode != 0
    assert "hospital.E003" in ended.stdout + ended.stderr


def test_a_real_web_process_that_holds_the_workers_key_ends_and_says_why(tmp_path):
    held = environment(str(tmp_path)) | {"WORKER_KEY_FILE": "k", "PATH": os.environ["PATH"]}
    script = "import hospital.wsgi"

    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=held, capture_output=True, text=True
    )

    assert ended.returncode != 0
    assert "hospital.E009" in ended.stderr


def test_a_fit_process_starts(strict):
    checks.refuse_unfit()


def test_a_demo_is_told_what_it_relaxes(strict):
    strict.DEPLOY_LEVEL, strict.HTTPS_ONLY = "demo", False

    [found] = checks.production()

    assert isinstance(found, Warning)


@pytest.mark.parametrize(
    ("key", "owner"), [("WORKER_KEY_FILE", "worker"), ("NOTARY_KEY_FILE", "notary")]
)
def test_a_key_of_one_process_is_inherited_by_no_other(tmp_path, monkeypatch, key, owner):
    monkeypatch.setenv(key, "/run/secrets/key")
    place = Installation(tmp_path, 1, 2)

    assert key not in place.prepare()
    assert {name for name, own in place.own.items() if key in own} == {"setup", owner}


def test_another_engine_is_not_taken_for_postgresql():
    """Else nothing would refuse it."""
    other = {"ENGINE": "django.db.backends.mysql", "NAME": "hospital"}

    assert settings._database(other)["ENGINE"] == other["ENGINE"]
