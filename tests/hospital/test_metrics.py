"""Figures for a monitoring system: right, for who has the token, and about nobody."""

import re
from datetime import timedelta

import pytest
from django.core.management import call_command
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from hospital.audit import log
from hospital.audit.forwarding import checks, configured
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


@pytest.fixture
def sink(house, settings):
    settings.TRAIL_ORIGIN, settings.FORWARD_ADDRESS = house.origin, "siem.example"
    return configured.sink()


def test_how_far_it_was_forwarded_is_said(client, house, sink):
    house.seal(5)
    Forwarded.objects.create(sink=sink, sent=4, acknowledged=3, at=house.now)
    Forwarded.objects.create(sink="old:6514/0", sent=1, acknowledged=1, at=house.now)

    said = figures(client)

    assert said["trail_forwarded_sent_events", sink] == 4
    assert said["trail_forwarded_acknowledged_events", sink] == 3
    assert said["trail_forwarded_lag_events", sink] == 2
    assert "old:6514/0" not in {label for _, *labels in said for label in labels}


def test_a_log_server_that_was_never_reached_lags_by_everything(client, house, sink):
    house.seal(5)

    said = figures(client)

    assert said["trail_forwarded_sent_events", sink] == 0
    assert said["trail_forwarded_lag_events", sink] == 5


@pytest.mark.parametrize("verb", ["get", "head", "post", "put", "delete", "options"])
def test_no_verb_says_more_than_another(client, house, settings, verb):
    refused = getattr(client, verb)("/metrics")
    settings.METRICS_TOKEN = ""
    absent = getattr(client, verb)("/metrics")

    assert (refused.status_code, absent.status_code) == (401, 404)


def test_a_key_that_is_none_does_not_silence_everything(client, house, settings):
    settings.TRAIL_VERIFIERS = ["junk"]

    said = figures(client)

    assert said["trail_verifiers_readable",] == 0
    assert ("trail_lag_seconds",) not in said
    assert "process_resident_memory_bytes" in {name for name, *_ in said}


@pytest.mark.parametrize(("length", "found"), [(0, []), (31, ["audit.E011"]), (32, [])])
def test_a_short_token_is_a_fault_in_production(settings, length, found):
    settings.METRICS_TOKEN, settings.DEPLOY_LEVEL = "a" * length, "level3"

    assert [one.id for one in checks.token()] == found


def test_a_cosignature_is_known_however_long_ago_it_was(client, house, settings):
    settings.TRAIL_VERIFIERS = list(map(str, house.verifiers))
    house.now -= timedelta(hours=2)
    house.seal(1, witnessed=True)
    house.now += timedelta(minutes=10)
    house.seal(1)
    [_, row] = log.Checkpoint.objects.order_by("size")
    log.Checkpoint.objects.bulk_create(
        log.Checkpoint(size=size, root=row.root, note=row.note, created_at=timezone.now())
        for size in range(3, 6_000)
    )
    figures(client)  # and again, when it knows what it has read

    said = figures(client)

    assert said["trail_witnessed_events",] == 1
    assert 6_600 <= said["trail_unwitnessed_seconds",] < 6_700


def test_a_cosignature_that_comes_later_is_seen(client, house, settings):
    settings.TRAIL_VERIFIERS = list(map(str, house.verifiers))
    house.seal(1)
    before = figures(client)["trail_witnessed_events",]
    house.seal(1, witnessed=True)

    said = figures(client)

    assert (before, said["trail_witnessed_events",]) == (0, 2)
    assert said["trail_unwitnessed_seconds",] == 0


def test_what_only_bears_the_witnesses_name_is_no_cosignature(client, house, settings):
    settings.TRAIL_VERIFIERS = list(map(str, house.verifiers))
    house.seal(1)
    row = log.Checkpoint.objects.get()
    forged = f"{row.note}— witness.example {'A' * 100}\n"
    log.Checkpoint.objects.create(size=2, root=row.root, note=forged, created_at=house.now)

    assert figures(client)["trail_witnessed_events",] == 0


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


def test_a_cosignature_that_came_late_counts_and_a_forged_one_does_not(client, house, settings):
    settings.TRAIL_VERIFIERS = list(map(str, house.verifiers))
    house.seal(1)
    house.notary(witnessed=True).step(now=house.now)
    house.seal(1)
    forged = f"— witness.example {'A' * 100}\n"
    log.Anchor.objects.create(size=2, sink="witness", at=house.now, receipt=forged)

    assert log.Anchor.objects.filter(sink="witness").count() == 2
    assert figures(client)["trail_witnessed_events",] == 1
