import pytest
from django.core.cache import cache
from django.db import OperationalError, connections

from faceauth.models import Merchant
from hospital.crypto import keyring
from hospital.crypto.providers.file import FileProvider


def test_a_process_that_answers_is_alive(client):
    assert client.get("/healthz").json() == {"status": "ok"}


def test_everything_in_place_is_ready(client, merchant):
    answer = client.get("/readyz")

    assert answer.json() == {"status": "ok", "failed": []}
    assert answer.status_code == 200


def test_without_a_merchant_it_is_ready_for_whoever_sets_one_up(client, db):
    assert client.get("/readyz").status_code == 200


def test_a_simulator_is_not_ready_for_production(client, merchant, settings):
    settings.DEPLOY_LEVEL = "3"

    assert client.get("/readyz").json()["failed"] == ["merchant"]


def test_wechats_own_address_is(client, merchant, settings):
    settings.DEPLOY_LEVEL = "3"
    Merchant.objects.update(
        v2_base_url="https://payapp.weixin.qq.com", v3_base_url="https://api.mch.weixin.qq.com"
    )

    assert client.get("/readyz").status_code == 200


def test_a_cache_that_is_gone_is_named(client, merchant, monkeypatch):
    def gone(*_args, **_kwargs):
        raise OSError

    monkeypatch.setattr(type(cache._connections["default"]), "set", gone)

    assert client.get("/readyz").json()["failed"] == ["cache"]


def test_a_missing_key_file_is_named(client, merchant, settings, tmp_path):
    settings.KEY_FILE = tmp_path / "nowhere"

    assert client.get("/readyz").json()["failed"] == ["keys"]


def test_a_wrong_root_key_is_named(client, merchant, settings, tmp_path):
    assert client.get("/readyz").status_code == 200
    keyring.clear()
    FileProvider.create(tmp_path / "other.key")
    settings.KEY_FILE = tmp_path / "other.key"

    assert client.get("/readyz").json()["failed"] == ["keys"]


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_a_probe_sets_no_cookie(client, merchant, path):
    assert not client.get(path).cookies


def test_a_database_that_is_gone_is_named(client, merchant, monkeypatch):
    def gone(*_args, **_kwargs):
        raise OperationalError

    with monkeypatch.context() as patch:
        patch.setattr(connections["default"], "cursor", gone)
        failed = client.get("/readyz").json()["failed"]

    assert "database" in failed
