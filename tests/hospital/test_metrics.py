"""Figures for a monitoring system: right, for who has the token, and about nobody."""

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from hospital.audit import log
from hospital.audit.models import Forwarded
from tests.hospital.notarised import House

TOKEN = "a" * 40


@pytest.fixture
def house(db, tmp_path, settings):
    settings.METRICS_TOKEN = TOKEN
    return House(tmp_path, now=timezone.now())


def ask(client, token=TOKEN):
    return client.get("/metrics", headers={"Authorization": f"Bearer {token}"})


def figures(client):
    """Return name and labels → value."""
    families = text_string_to_metric_families(ask(client).content.decode())
    return {
        (one.name, *one.labels.values()): one.value for family in families for one in family.samples
    }


def test_without_a_token_configured_there_is_no_such_page(client, db, settings):
    settings.METRICS_TOKEN = ""

    assert client.get("/metrics").status_code == 404
    assert ask(client, "").status_code == 404


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", f"Basic {TOKEN}", "Bearer 令牌", TOKEN]
)
def test_without_the_right_token_nothing_is_said(client, house, header):
    answer = client.get("/metrics", headers={"Authorization": header} if header else {})

    assert answer.status_code == 401
    assert answer.headers["WWW-Authenticate"] == "Bearer"
    assert answer.content == b""


def test_how_the_trail_stands_is_said(client, house):
    house.seal(3)
    house.write(2)
    log.Anchor.objects.create(
        size=3, sink="rfc3161", at=house.now - timedelta(seconds=90), receipt="x"
    )

    said = figures(client)

    assert said["trail_pending_events",] == 2
    assert said["trail_signed_events",] == 3
    assert 0 <= said["trail_lag_seconds",] < 60
    assert 90 <= said["trail_anchor_age_seconds", "rfc3161"] < 150
    assert "process_resident_memory_bytes" in {name for name, *_ in said}


def test_how_far_it_was_forwarded_is_said(client, house):
    house.seal(5)
    Forwarded.objects.create(sink="siem:6514/0", sent=4, acknowledged=3, at=house.now)

    said = figures(client)

    assert said["trail_forwarded_sent_events", "siem:6514/0"] == 4
    assert said["trail_forwarded_acknowledged_events", "siem:6514/0"] == 3
    assert said["trail_forwarded_lag_events", "siem:6514/0"] == 2


def test_whether_it_was_verified_is_said_once_it_was(client, house, settings):
    settings.VERIFIED_STATE = house.directory / "verified"
    before = figures(client)
    house.seal()
    call_command("verifyaudit", "--verifiers", _keys(house))

    after = figures(client)

    assert ("trail_intact",) not in before
    assert after["trail_intact",] == 1
    assert after["trail_verified_timestamp_seconds",] > 0


def _keys(house):
    path = house.directory / "keys"
    path.write_text(f"{house.signer.verifier}\n")
    return str(path)


def test_nothing_is_read_before_somebody_asks_and_it_is_not_kept(client, house):
    first = ask(client)
    house.write()

    assert figures(client)["trail_pending_events",] == 1
    assert "no-store" in first.headers["Cache-Control"]
    assert first.headers["Content-Type"].startswith("text/plain; version=0.0.4")


def test_no_label_has_a_value_for_each_person_or_request(client, house, zhou):
    house.seal(3)

    text = ask(client).content.decode()

    names = set(re.findall(r"[{,](\w+)=", text))
    assert names <= {"sink", "generation"}
    assert zhou.username not in text
