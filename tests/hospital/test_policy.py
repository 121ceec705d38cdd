"""The security policy: who sets it, and that nobody gets beyond its lines, from anywhere."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from django.core.checks import Error, run_checks
from django.core.exceptions import ImproperlyConfigured
from django.db import connection
from django.test import Client, TestCase
from django.urls import reverse
from django.utils import timezone

from hospital import checks, policy, starting
from hospital.accounts import policies, tasks
from hospital.accounts.models import PolicyChoice
from hospital.audit import alarms
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.parameters import BY_KEY, PARAMETERS
from tests import level3
from tests.conftest import recorded

ROOT = Path(__file__).resolve().parents[2]
KEYS = [one.key for one in PARAMETERS]
BEYOND = [
    (one.key, value)
    for one in PARAMETERS
    for value in (one.least - 1, one.most + 1)
    if value >= 0  # less than nothing is refused by the column and by the form
]


@pytest.fixture
def meis(client, mei):
    client.force_login(mei)
    prove(client)
    return client


def prove(client):
    """They have just shown that it is them."""
    session = client.session
    session["stepped_up_at"] = timezone.now().timestamp()
    session.save()


def page(key):
    return reverse("admin:accounts_policychoice_change", args=[key])


def choose(client, key, value, reason="", was=None):
    was = policy.value(key) if was is None else was
    with TestCase.captureOnCommitCallbacks(execute=True):
        return client.post(page(key), {"value": value, "was": was, "reason": reason})


def rejected():
    return [
        (event.payload, event.outcome)
        for event in Event.objects.filter(action="policy.change_rejected")
    ]


# Nobody gets beyond a line: every parameter, from everywhere.


@pytest.mark.parametrize(("key", "value"), BEYOND)
def test_policy_floors_on_the_page(meis, key, value):
    before = policy.value(key)

    answer = choose(meis, key, value)

    assert BY_KEY[key].line in answer.content.decode()
    assert policy.value(key) == before
    assert not PolicyChoice.objects.exists()
    [(payload, outcome)] = rejected()
    assert outcome == "denied"
    assert f'"key":"{key}"' in payload
    assert f'"value":{value}' in payload
    assert '"source":"admin"' in payload


@pytest.mark.parametrize(("key", "value"), BEYOND)
def test_policy_floors_in_the_settings(db, settings, key, value):
    settings.POLICY = settings.POLICY | {key: value}

    with pytest.raises(ImproperlyConfigured, match=key):
        policy.value(key)
    [found] = checks.policy_within_its_lines()
    assert (found.id, type(found)) == ("hospital.E018", Error)
    with pytest.raises(ImproperlyConfigured, match=key):
        starting.refuse_beyond_lines()
    [(payload, _)] = rejected()
    assert '"source":"environment"' in payload


@pytest.mark.parametrize(("key", "value"), BEYOND)
def test_policy_floors_in_the_database(db, key, value):
    PolicyChoice.objects.create(key=key, value=value, set_at=timezone.now())

    assert policy.value(key) == BY_KEY[key].default
    [found] = checks.choices_within_their_lines(databases=["default"])
    assert (found.id, type(found)) == ("hospital.E019", Error)
    tasks.look_over_policy()
    [(payload, _)] = rejected()
    assert '"source":"database"' in payload


def test_policy_floors_in_the_environment_stop_every_command():
    given = {one.key: str(one.most + 1) for one in PARAMETERS}

    ended = run_check(given)

    assert ended.returncode != 0
    assert [key for key in KEYS if f"{key}={given[key]}" not in ended.stderr] == []


def test_a_demo_has_the_same_lines():
    ended = run_check({"DEPLOY_LEVEL": "demo", "SESSION_IDLE_MINUTES": "31"})

    assert ended.returncode != 0
    assert "SESSION_IDLE_MINUTES=31" in ended.stderr


def test_within_its_lines_the_environment_is_taken():
    assert run_check({one.key: str(one.most) for one in PARAMETERS}).returncode == 0


def run_check(given):
    script = (
        "import os, sys, tempfile; sys.path.insert(0, '.');"
        "from tests.level3 import environment;"
        f"os.environ.update(environment(tempfile.mkdtemp()) | {given!r});"
        "from django.core.management import execute_from_command_line as run;"
        "run(['manage.py', 'check'])"
    )
    return subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT, capture_output=True, text=True, env={"PATH": os.environ["PATH"]},
    )  # fmt: skip


def test_a_process_stops_even_where_that_cannot_be_recorded(db, settings):
    settings.POLICY = settings.POLICY | {"SESSION_IDLE_MINUTES": 600}
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE audit_event RENAME TO gone")

    with pytest.raises(ImproperlyConfigured, match="SESSION_IDLE_MINUTES"):
        starting.refuse_beyond_lines()


def test_what_is_beyond_a_line_alarms(meis):
    choose(meis, "SESSION_IDLE_MINUTES", 600)

    alarms.watch(at=timezone.now())

    assert Finding.objects.get(kind="policy-rejected").severity == "alert"


def test_less_than_nothing_is_refused_on_the_page_and_on_record(meis):
    answer = choose(meis, "LOGIN_FAIL_LIMIT", -1)

    assert BY_KEY["LOGIN_FAIL_LIMIT"].line in answer.text
    [(payload, _)] = rejected()
    assert '"value":-1' in payload


def test_a_row_of_any_name_hides_no_other(db):
    for key, value in (("坏 参数", 1), ("LOGIN_FAIL_LIMIT", 99)):
        PolicyChoice.objects.create(key=key, value=value, set_at=timezone.now())

    tasks.look_over_policy()

    told = "".join(payload for payload, _ in rejected())
    assert len(rejected()) == 2
    assert '"key":"unknown"' in told
    assert '"key":"LOGIN_FAIL_LIMIT"' in told


# Within them the security administrator decides.


@pytest.mark.parametrize("key", KEYS)
def test_the_security_administrator_sets_it(meis, mei, key):
    before, value = policy.value(key), BY_KEY[key].least
    value = BY_KEY[key].most if value == before else value

    answer = choose(meis, key, value, reason="制度要求")

    assert answer.status_code == 302
    assert policy.value(key) == value
    [event] = Event.objects.filter(action="policy.change")
    assert event.actor_id == str(mei.pk)
    assert f'"before":{before}' in event.payload
    assert f'"after":{value}' in event.payload
    assert "制度要求" in event.payload


def test_a_change_is_recorded_with_its_row(mei, transactional_db):
    with recorded():
        policies.change("DORMANT_DAYS", 60, was=90, by=mei, at=timezone.now())
        policies.change("DORMANT_DAYS", 30, was=60, by=mei, at=timezone.now())

    assert policy.value("DORMANT_DAYS") == 30


def test_a_reason_of_two_lines_is_on_record_as_one(meis):
    choose(meis, "DORMANT_DAYS", 60, reason="制度要求\r\n 第二版")

    assert '"reason":"制度要求 第二版"' in Event.objects.get(action="policy.change").payload


def test_a_thread_that_reads_while_another_renews_sees_what_was_chosen(db, monkeypatch):
    PolicyChoice.objects.create(key="LOGIN_FAIL_LIMIT", value=3, set_at=timezone.now())
    assert policy.value("LOGIN_FAIL_LIMIT") == 3
    seen = []

    def meanwhile(execute, sql, params, many, context):
        # The other looked just before.
        monkeypatch.setattr(policy._CHOSEN, "_read_at", time.monotonic())
        seen.append(policy.value("LOGIN_FAIL_LIMIT"))
        return execute(sql, params, many, context)

    policy.forget()
    with connection.execute_wrapper(meanwhile):
        policy.value("LOGIN_FAIL_LIMIT")

    assert seen == [3]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_who_set_it_for_the_first_time_at_once_one_looks_again(mei):
    start, ended = threading.Barrier(6), []

    def decide(value):
        start.wait()
        try:
            policies.change("DORMANT_DAYS", value, was=90, by=mei, at=timezone.now())
        except policies.ChangedMeanwhile as exc:
            ended.append(exc)
        else:
            ended.append(None)
        finally:
            connection.close()

    threads = [threading.Thread(target=decide, args=[10 + number]) for number in range(6)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()

    assert (len(ended), ended.count(None)) == (6, 1)
    assert Event.objects.filter(action="policy.change").count() == 1


def test_it_asks_who_is_there_first(client, mei):
    client.force_login(mei)

    assert client.get(page("DORMANT_DAYS"))["Location"].startswith(reverse("step-up"))
    assert client.post(page("DORMANT_DAYS"), {"value": 30, "was": 90}).status_code == 302
    assert policy.value("DORMANT_DAYS") == 90


def test_of_two_who_decide_at_once_the_second_looks_again(meis, mei):
    policies.change("DORMANT_DAYS", 60, was=90, by=mei, at=timezone.now())

    answer = choose(meis, "DORMANT_DAYS", 120, was=90)

    assert "刚被改过" in answer.content.decode()
    assert policy.value("DORMANT_DAYS") == 60


def test_the_same_again_is_no_change(mei, db):
    policies.change("DORMANT_DAYS", 90, was=90, by=mei, at=timezone.now())

    assert not Event.objects.filter(action="policy.change").exists()
    assert not PolicyChoice.objects.exists()


@pytest.mark.parametrize("value", ["", "x", "-1", "12.5", "9" * 30, "１２"])
def test_what_is_no_number_is_refused(meis, value):
    answer = choose(meis, "DORMANT_DAYS", value)

    assert answer.status_code == (302 if value == "１２" else 200)
    assert policy.value("DORMANT_DAYS") == (12 if value == "１２" else 90)


@pytest.mark.parametrize("who", ["zhou", "gu"])
def test_others_read_it_and_set_nothing(request, client, who):
    client.force_login(request.getfixturevalue(who))
    prove(client)

    shown = client.get(reverse("admin:accounts_policychoice_changelist"))

    assert shown.status_code == 200
    assert page("DORMANT_DAYS") not in shown.content.decode()
    one = client.get(page("DORMANT_DAYS"))
    assert one.status_code == 200
    assert "可设为 1–180 天，默认 90" in one.text
    assert 'name="value"' not in one.text
    assert choose(client, "DORMANT_DAYS", 30).status_code == 403
    assert policy.value("DORMANT_DAYS") == 90


@pytest.mark.parametrize("who", ["lin", "chen"])
def test_who_has_nothing_to_do_with_it_does_not_see_it(request, client, who):
    client.force_login(request.getfixturevalue(who))

    assert client.get(reverse("admin:accounts_policychoice_changelist")).status_code == 403


def test_the_page_shows_every_parameter_with_its_line(meis):
    shown = meis.get(reverse("admin:accounts_policychoice_changelist")).content.decode()

    for one in PARAMETERS:
        assert one.label in shown
        assert one.line in shown
        assert page(one.key) in shown
    assert "不少于 6 个月" in shown


def test_the_page_says_what_was_written_past_it(meis):
    PolicyChoice.objects.create(key="SESSION_IDLE_MINUTES", value=600, set_at=timezone.now())

    shown = meis.get(reverse("admin:accounts_policychoice_changelist")).content.decode()

    assert "越过底线，未生效" in shown


def test_there_is_no_other_way_in(meis):
    for address in ("add/", "DORMANT_DAYS/delete/", "DORMANT_DAYS/history/", "NOTHING/"):
        url = reverse("admin:accounts_policychoice_changelist") + address
        assert meis.get(url).status_code in {403, 404}


def test_nobody_anonymous_reads_it(db):
    answer = Client().get(reverse("admin:accounts_policychoice_changelist"))

    assert "login" in answer["Location"]


def test_the_documentation_has_the_same_table():
    text = (ROOT / "docs" / "people.md").read_text()

    for one in PARAMETERS:
        row = (
            rf"\| `{one.key}` \| {re.escape(one.label)} \| {one.default} \| {one.least}–{one.most}"
        )
        assert re.search(row, text), one.key


def test_an_installation_of_defaults_has_nothing_to_say(db):
    found = run_checks(databases=["default"])

    assert [one.id for one in found if one.id in {"hospital.E018", "hospital.E019"}] == []
    assert level3.environment("/x").keys().isdisjoint(KEYS)
