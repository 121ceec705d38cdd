"""Figures for a monitoring system: right, for who has the token, and about nobody."""

import os
import re
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
import yaml
from django.core.cache import cache
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from faceauth import upstream
from faceauth.models import FaceSession
from faceauth.wechat import Attempt
from hospital import figures as figures_of_workers
from hospital.audit import cosigned, log, standing
from hospital.audit.actions import Action
from hospital.audit.forwarding import checks, configured
from hospital.audit.models import Forwarded
from hospital.audit.recording import SYSTEM, record
from hospital.metrics import operation
from hospital.operations import life
from hospital.operations.parts import running
from hospital.privacy.models import RetentionRun
from tests.hospital.notarised import House

TOKEN = "a" * 40
ROOT = Path(__file__).resolve().parents[2]


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


def test_monitoring_asks_past_the_proxy_in_plain_http(client, house, settings):
    settings.SECURE_SSL_REDIRECT = True

    assert ask(client).status_code == 200
    assert client.get("/privacy").status_code == 301


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


def test_what_is_due_and_how_sessions_end_is_said(client, house, authorized):
    FaceSession.objects.update(due_at=timezone.now() - timedelta(minutes=5))

    said = figures(client)

    assert said["due_sessions",] == 1
    assert 300 <= said["due_sessions_oldest_seconds",] < 360
    assert said["recent_sessions", "", "authorized"] == 1


def test_wechats_own_codes_make_no_more_labels(client, house, authorized):
    FaceSession.objects.update(state="failed", reason="wechat:SOME_NEW_CODE", due_at=None)

    assert figures(client)["recent_sessions", "wechat", "failed"] == 1


def test_no_figure_is_had_by_reading_a_table_that_grows(
    client, house, django_assert_max_num_queries
):
    figures(client)

    with django_assert_max_num_queries(40), CaptureQueriesContext(connection) as asked:
        figures(client)

    counting = [one["sql"] for one in asked if "faceauth_facesession" in one["sql"]]
    assert counting
    assert all("due_at" in sql or "opened_at" in sql for sql in counting)


def test_attempts_of_workers_are_said_once_they_are_added_up(client, house):
    for seconds, fact in ((0.04, "ok"), (0.3, "ok"), (5.0, "timeout"), (0.1, "no_such_fact")):
        upstream.note("identity", Attempt(fact, 0, "", seconds))
    upstream.note("authinfo", Attempt("circuit_open", 0, "", 0.0))
    before = figures(client)
    figures_of_workers.flush()

    said = figures(client)

    assert before["wechat_attempts_total", "identity", "ok"] == 0
    assert said["wechat_attempts_total", "identity", "ok"] == 2
    assert said["wechat_attempts_total", "identity", "timeout"] == 1
    assert said["wechat_attempts_total", "identity", "other"] == 1
    assert said["wechat_attempt_seconds_bucket", "identity", "0.05"] == 1
    assert said["wechat_attempt_seconds_bucket", "identity", "5.0"] == 4
    assert said["wechat_attempt_seconds_count", "identity"] == 4
    assert round(said["wechat_attempt_seconds_sum", "identity"], 2) == 5.44
    assert (said["wechat_breaker_open", "authinfo"], said["wechat_breaker_open", "identity"]) == (
        1,
        0,
    )


def test_what_a_cache_that_is_away_did_not_take_is_added_later(db, monkeypatch):
    def away(*_args, **_how):
        raise OSError

    figures_of_workers.add({"x": 3})
    with monkeypatch.context() as patch:
        patch.setattr(type(cache._connections["default"]), "add", away)
        figures_of_workers.flush()
    figures_of_workers.add({"x": 1})
    figures_of_workers.flush()

    assert figures_of_workers.sums(["x", "y"]) == {"x": 4, "y": 0}


def test_a_sum_does_not_end_with_the_timeout_of_the_cache(db):
    figures_of_workers.add({"kept": 1})
    figures_of_workers.flush()
    figures_of_workers.add({"kept": 1})
    figures_of_workers.flush()

    with connection.cursor() as cursor:
        cursor.execute("SELECT expires FROM cache WHERE cache_key LIKE '%%figures:kept'")
        [(expires,)] = cursor.fetchall()
    assert str(expires) > "9000"


def test_a_database_that_is_away_silences_nothing_else(client, house, monkeypatch):
    def away(*_args):
        raise OperationalError

    monkeypatch.setattr(operation.work, "due", away)

    said = figures(client)

    assert said["figures_operation_up",] == 0
    assert said["figures_trail_up",] == 1
    assert "trail_lag_seconds" in {name for name, *_ in said}


def test_how_long_ago_a_worker_was_alive_is_said_once_one_was(client, house):
    before = figures(client)
    life.note(timezone.now() - timedelta(seconds=70))

    assert ("worker_alive_seconds",) not in before
    assert 70 <= figures(client)["worker_alive_seconds",] < 90


def test_requests_are_counted_by_the_name_of_their_view(client, house):
    client.get("/healthz")
    client.get("/api/v1/face-sessions/01900000-0000-7000-8000-000000000000/")

    text = ask(client).content.decode()

    assert 'view="healthz"' in text
    assert 'view="face-session"' in text
    assert "01900000" not in text


@pytest.mark.parametrize("method", ["BREW", "欧阳"])
def test_a_method_nobody_knows_makes_no_label_of_its_own(client, house, method):
    client.generic(method, "/healthz")

    assert method not in ask(client).content.decode()


def test_a_length_that_is_no_number_ends_nothing(client, house):
    assert client.get("/healthz", headers={"Content-Length": "many"}).status_code == 200


ASKED = """
import django; django.setup()
from django.conf import settings
from django.test import Client
settings.METRICS_TOKEN = "t" * 40
for _ in range({times}):
    Client().get("/healthz")
page = Client().get("/metrics", headers={{"Authorization": "Bearer " + "t" * 40}})
print(page.content.decode())
"""


def test_several_web_processes_say_the_same_together(tmp_path):
    env = os.environ | {"PROMETHEUS_MULTIPROC_DIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    said = [
        subprocess.run(
            [sys.executable, "-c", ASKED.format(times=times)],
            env=env,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for times in (2, 3)
    ]

    counted = [
        re.search(r'by_view_transport_method_total\{.*view="healthz".*\} (\S+)', one)[1]
        for one in said
    ]
    assert counted == ["2.0", "5.0"]
    assert "process_resident_memory_bytes" not in said[0]


RULES = yaml.safe_load((ROOT / "docker" / "prometheus-alerts.yaml").read_text())
OF_POSTGRESQL = {"database_pool_connections", "database_pool_waiting"}
# There from the first scrape on; any other is missing until something happened for the first time.
ALWAYS = {
    *("due_sessions_oldest_seconds", "worker_restarts_total"),
    *("wechat_breaker_open", "wechat_attempts_total", "wechat_attempt_seconds_bucket"),
    *("trail_lag_seconds", "trail_unwitnessed_seconds"),
    *("figures_operation_up", "figures_trail_up", "figures_upstream_up"),
}
# Missing where there is nothing to watch: no visit, log server, HIS, merchant, pool or verdict.
ONLY_WHERE_THERE_IS_ONE = {
    *("trail_forwarded_lag_events", "trail_forwarded_moved_timestamp_seconds"),
    "trail_anchor_age_seconds",
    *("his_due_handoffs_oldest_seconds", "his_dead_handoffs", "merchant_certificate_days"),
    *("database_pool_waiting", "trail_intact", "recent_sessions"),
}


def rules():
    return [rule for group in RULES["groups"] for rule in group["rules"]]


def named(rule):
    """Return the figures a rule looks at."""
    return set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b(?!\s*[=(])", _bare(rule["expr"])))


@pytest.fixture
def everything(client, house, sink, settings, authorized):
    """Whatever may happen has happened once."""
    settings.HIS_FHIR_URL = "https://his.example/fhir"
    settings.VERIFIED_STATE = house.directory / "verified"
    now = timezone.now()
    with transaction.atomic():
        for action in (Action.BACKUP_MAKE, Action.BACKUP_DRILL):
            record(action, by=SYSTEM, on=None, at=now)
    RetentionRun.objects.create(state=RetentionRun.State.DONE, started_at=now, finished_at=now)
    life.note(now)
    house.seal(1)
    call_command("verifyaudit", "--verifiers", _keys(house))
    Forwarded.objects.create(sink=sink, sent=1, acknowledged=1, at=now)
    # What has a label for each of several is named also while there is none.
    named = {one.name for one in text_string_to_metric_families(ask(client).content.decode())}
    return named | {name for name, *_ in figures(client)}


def test_every_figure_is_in_the_table(client, everything):
    families = text_string_to_metric_families(ask(client).content.decode())
    ours = {one.name for one in families if not one.name.startswith(("python_", "process_"))}
    table = (ROOT / "docs" / "metrics.md").read_text()
    cells = re.findall(r"^\| (`\w+`[^|]*) \|", table, re.MULTILINE)
    documented = {_family(name) for cell in cells for name in re.findall(r"`(\w+)`", cell)}

    assert {_family(name) for name in ours if not name.startswith("django_")} <= documented


def test_every_alert_names_what_there_is(everything):
    for rule in rules():
        used = named(rule)
        assert used, rule["alert"]
        assert used - OF_POSTGRESQL <= everything, rule["alert"]
        assert {"summary", "remedy"} <= rule["annotations"].keys()


def test_an_alert_does_not_keep_quiet_because_something_never_happened(client, house):
    """No backup was ever made, no worker ever lived, nobody ever verified: there is no figure."""
    there = {name for name, *_ in figures(client)}
    assert there >= ALWAYS

    for rule in rules():
        for name in named(rule) - there - ONLY_WHERE_THERE_IS_ONE:
            assert f"absent({name})" in rule["expr"], rule["alert"]
    assert any(rule["expr"] == "absent(figures_operation_up)" for rule in rules())


def told_of_the_trail():
    """Return of each line of the table which figures it names, and when to be alarmed."""
    page = (ROOT / "docs" / "audit-forwarding.md").read_text()
    cells = re.findall(r"^\| (`trail_[^|]*) \| (.*) \|$", page, re.MULTILINE)
    return [(set(re.findall(r"`(\w+)", names)), when) for names, when in cells]


def test_what_is_to_alarm_somebody_about_the_trail_has_a_rule():
    watched = {name for rule in rules() for name in named(rule)}
    told = told_of_the_trail()
    assert len(told) > 5

    for names, when in told:
        assert not when.strip() or names & watched, names


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("trail_lag_seconds", standing.LATE.total_seconds()),
        ("trail_unwitnessed_seconds", cosigned.UNWITNESSED.total_seconds()),
        ("trail_anchor_age_seconds", running.ANCHORED),
        ("trail_verified_timestamp_seconds", standing.UNVERIFIED.total_seconds()),
    ],
)
def test_rules_and_table_have_the_programs_own_limits(name, limit):
    [rule] = [rule for rule in rules() if name in named(rule)]
    [when] = [when for names, when in told_of_the_trail() if name in names]

    assert f" > {limit:.0f}" in rule["expr"]
    assert f"{limit:.0f} s" in when or f"{limit / 3600:.0f} h" in when


def _bare(expression):
    """Without labels, functions and what is grouped by."""
    return re.sub(r"\{[^}]*\}|\bby\s*\([^)]*\)|\w+(?=\()", "", expression)


def _family(name):
    return re.sub(r"_(total|bucket|sum|count)$", "", name)


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
    assert names <= {
        *("sink", "generation", "api", "outcome", "le", "state", "reason", "certificate"),
        *("database", "view", "method", "transport", "status", "charset", "templatename", "type"),
    }
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
