"""Which keeper of the root key is meant, and what is said of it."""

import os
from io import StringIO

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.urls import reverse

from hospital import checks
from hospital.crypto.providers import configured

IN_FILE = "主密钥保存在文件中"


@pytest.fixture
def everything(settings):
    """Settings in which no provider lacks anything."""
    settings.PKCS11_MODULE, settings.PKCS11_TOKEN = "/usr/lib/token.so", "hospital"
    settings.PKCS11_PIN = "24681357"
    settings.VAULT_ADDR, settings.VAULT_TOKEN = "https://vault.invalid", "hvs.secret"
    settings.VAULT_TOKEN_FILE = ""
    return settings


@pytest.mark.parametrize("name", ["file", "pkcs11", "vault"])
def test_a_provider_is_known_by_its_name(everything, name):
    assert configured.provider(name).name == name


@pytest.mark.parametrize("name", ["", "kms", "File"])
def test_another_name_is_refused(name):
    with pytest.raises(ImproperlyConfigured, match="no provider"):
        configured.provider(name)


@pytest.mark.parametrize(
    ("name", "missing"),
    [
        ("pkcs11", "PKCS11_MODULE"),
        ("pkcs11", "PKCS11_TOKEN"),
        ("pkcs11", "PKCS11_PIN"),
        ("pkcs11", "PKCS11_KEY"),
        ("vault", "VAULT_ADDR"),
        ("vault", "VAULT_TOKEN"),
        ("vault", "VAULT_KEY"),
        ("vault", "VAULT_MOUNT"),
    ],
)
def test_what_is_missing_is_named(everything, name, missing):
    setattr(everything, missing, "")

    with pytest.raises(ImproperlyConfigured, match=missing) as caught:
        configured.provider(name)
    assert everything.PKCS11_PIN not in str(caught.value) or missing == "PKCS11_PIN"


@pytest.mark.parametrize("name", ["pkcs11", "vault"])
def test_a_provider_shows_no_secret(everything, name):
    shown = repr(configured.provider(name))

    assert everything.PKCS11_PIN not in shown
    assert everything.VAULT_TOKEN not in shown


def test_a_token_in_a_file_needs_no_other(everything, tmp_path):
    everything.VAULT_TOKEN, everything.VAULT_TOKEN_FILE = "", str(tmp_path / "token")

    assert configured.provider("vault").vault.token.file == tmp_path / "token"


def test_the_checks_know_the_same_providers():
    assert checks.PROVIDERS.keys() == configured._BUILDERS.keys()


# Making a root key.


def test_a_key_file_is_made_once(settings, tmp_path):
    settings.KEY_PROVIDER, settings.KEY_FILE = "file", tmp_path / "keys" / "root.key"
    said = StringIO()

    call_command("createrootkey", stdout=said)
    made = settings.KEY_FILE.read_bytes()
    with pytest.raises(CommandError, match="已存在，未作改动") as caught:
        call_command("createrootkey")

    assert "根密钥已生成" in said.getvalue()
    assert len(made) == 32
    assert settings.KEY_FILE.read_bytes() == made
    assert caught.value.returncode == 1


def test_a_place_that_cannot_be_written_is_named(settings, tmp_path):
    (tmp_path / "file").touch()
    settings.KEY_PROVIDER, settings.KEY_FILE = "file", tmp_path / "file" / "root.key"

    with pytest.raises(CommandError, match=os.fspath(settings.KEY_FILE)):
        call_command("createrootkey")


def test_a_provider_that_is_not_configured_makes_nothing(settings):
    settings.KEY_PROVIDER = "vault"

    with pytest.raises(CommandError, match="VAULT_ADDR"):
        call_command("createrootkey")


# The banner.


@pytest.mark.parametrize("level", ["3", "demo"])
@pytest.mark.parametrize("page", ["admin:login", "admin:index", "admin:devices_store_changelist"])
def test_every_page_says_that_the_key_is_in_a_file(client, lin, settings, level, page):
    settings.DEPLOY_LEVEL = level
    client.force_login(lin)

    settings.KEY_PROVIDER = "file"
    assert IN_FILE in client.get(reverse(page), follow=True).text
    settings.KEY_PROVIDER = "pkcs11"
    assert IN_FILE not in client.get(reverse(page), follow=True).text
