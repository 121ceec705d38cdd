"""The alarms: what is too much, too late or too quiet becomes one finding for each occasion."""

import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.urls import reverse

from hospital.audit import alarms, disposition, tasks
from hospital.audit.actions import BY_TAG, Action
from hospital.audit.admin.findings import TITLES
from hospital.audit.alarms.bursts import Burst, nights
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, UNKNOWN, Actor, record
from tests.hospital.notarised import House

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 20, 4, 0, tzinfo=UTC)  # in Shanghai
MIDNIGHT = datetime(2026, 11, 20, 16, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def no_late_notary(monkeypatch):
    """Events of the past wait for no notary here; that rule has tests of its own."""
    rules = tuple(rule for rule in alarms.RULES if rule.kind != "notary-late")
    monkeypatch.setattr(alarms, "RULES", rules)


def wrote(times, action, *, by, on=None, at=NOON, every=1, **facts):
    with transaction.atomic():
        return [
            record(action, by=by, on=on, at=at + timedelta(seconds=n * every), **facts)
            for n in range(times)
        ]


def failed(person, count, *, at=NOON):
    return wrote(
        count, Action.LOGIN_FAILED, by=UNKNOWN, on=person, at=at, outcome="denied", suppressed=0
    )


def found():
    return list(Finding.objects.order_by("id").values_list("kind", flat=True))


def watch(at):
    return alarms.watch(at=at)


def later(**how):
    return NOON + timedelta(**how)


def test_every_rule_has_a_name_of_its_own_in_chinese():
    kinds = [rule.kind for rule in alarms.RULES]

    assert len(set(kinds)) == len(kinds)
    assert all(any(letter >= "\u4e00" for letter in rule.title) for rule in alarms.RULES)
    assert set(kinds) < set(TITLES)


def test_one_below_the_threshold_is_nothing(chen):
    failed(chen, 4)

    assert watch(later(minutes=1)) == 0


def test_failed_logins_to_one_account_are_one_finding(chen, lin):
    failed(chen, 5)
    failed(lin, 4)

    watch(later(minutes=1))

    [finding] = Finding.objects.all()
    assert (finding.kind, finding.severity) == ("login-failures", "warning")
    assert finding.facts["object_id"] == str(chen.pk)
    assert finding.facts["count"] == 5


def test_failures_spread_over_a_longer_time_are_nothing(chen):
    for n in range(8):
        failed(chen, 1, at=later(minutes=3 * n))

    assert watch(later(minutes=22)) == 0


def test_failures_over_many_accounts_are_a_storm(chen, lin, mei, zhou, gu):
    for person in (chen, lin, mei, zhou, gu, None):
        failed(person, 4)
    failed(None, 6)

    watch(later(minutes=1))

    assert found() == ["login-storm"]


def test_what_goes_on_is_no_second_finding(chen):
    failed(chen, 5)
    watch(later(minutes=1))

    failed(chen, 20, at=later(minutes=2))
    watch(later(minutes=3))
    watch(later(minutes=9))

    assert found() == ["login-failures"]


def test_after_the_settlement_what_happened_before_counts_no_more(chen, zhou):
    failed(chen, 5)
    watch(later(minutes=1))
    settle(zhou, at=later(minutes=2))

    watch(later(minutes=3))
    failed(chen, 4, at=later(minutes=4))
    watch(later(minutes=5))
    before = found()
    failed(chen, 1, at=later(minutes=5, seconds=30))
    watch(later(minutes=6))

    assert before == ["login-failures"]
    assert found() == ["login-failures"] * 2


def test_what_goes_on_is_raised_again_when_it_has_doubled(chen):
    failed(chen, 5)
    watch(later(minutes=1))
    failed(chen, 4, at=later(minutes=2))
    watch(later(minutes=3))
    nearly = Finding.objects.get().facts["count"], Event.objects.filter(action="finding.raise")

    before = nearly[1].count()
    failed(chen, 1, at=later(minutes=4))
    watch(later(minutes=5))
    watch(later(minutes=6))

    assert (nearly[0], before) == (5, 1)
    finding = Finding.objects.get()
    assert finding.facts["count"] == 10
    assert finding.facts["until"] == int(later(minutes=4).timestamp() * 1_000_000)
    assert nearly[1].count() == 2
    assert json.loads(nearly[1].latest("id").payload)["facts"] == {
        "kind": "login-failures", "count": 10, "subjects": [str(chen.pk)],
    }  # fmt: skip


def test_who_settles_an_open_finding_sees_what_came_meanwhile(chen, zhou):
    failed(chen, 5)
    watch(later(minutes=1))
    failed(chen, 3, at=later(minutes=2))
    desk = Client()
    desk.force_login(zhou)

    [finding] = Finding.objects.all()
    page = desk.get(reverse("admin:audit_finding_change", args=[finding.pk]))

    assert dict(page.context["told"])["次数"] == "8"
    assert "until" not in page.context["events_url"]


def test_what_no_finding_counted_before_it_was_settled_is_a_new_one(chen, zhou):
    failed(chen, 20)
    watch(later(minutes=1))
    failed(chen, 6, at=later(minutes=2))
    watch(later(minutes=3))
    settle(zhou, at=later(minutes=4))

    watch(later(minutes=5))

    assert [one.facts["count"] for one in Finding.objects.order_by("id")] == [20, 6]


def settle(by, *, at):
    for finding in Finding.objects.filter(state="open"):
        disposition.settle(finding, state=Finding.State.HANDLED, note="已核实", by=by, at=at)


def test_a_finding_is_on_record_and_in_the_log_with_ids_alone(chen, caplog):
    failed(chen, 5)

    watch(later(minutes=1))

    [finding] = Finding.objects.all()
    [event] = Event.objects.filter(action="finding.raise")
    facts = json.loads(event.payload)["facts"]
    assert event.object_id == str(finding.pk)
    assert facts == {"kind": "login-failures", "count": 5, "subjects": [str(chen.pk)]}
    [line] = [one.msg for one in caplog.records if one.msg["event"] == "finding.raised"]
    assert {name: line[name] for name in ("finding", "kind", "severity", "count", "level")} == {
        "finding": str(finding.pk),
        "kind": "login-failures",
        "severity": "warning",
        "count": 5,
        "level": "warning",
    }
    assert str(chen.pk) not in str(line)


BURSTS = [rule for rule in alarms.RULES if isinstance(rule, Burst) and not rule.at_night]


@pytest.mark.parametrize("rule", BURSTS, ids=lambda rule: rule.kind)
def test_each_burst_is_found_at_its_threshold_and_not_below(rule, chen, lin):
    action = min(rule.actions, key=lambda one: one.value.tag)
    how = {"by": lin, "on": chen, "every": rule.window.total_seconds() / (2 * rule.threshold)}
    how |= {"reason": "x"} if action.value.needs_reason else {}
    how |= {"by": Actor("staff", str(lin.pk), rule.role)} if rule.role else {}
    how |= {"outcome": rule.outcome} if rule.outcome else {}
    end = NOON + rule.window / 2
    wrote(rule.threshold - 1, action, **how)
    watch(end)
    below = rule.kind in found()

    wrote(1, action, **{**how, "at": end})
    watch(end + timedelta(seconds=1))

    assert not below
    assert rule.kind in found()


def test_patients_are_counted_and_not_pages(chen):
    wrote(29, Action.PATIENT_VIEW, by=chen, count=50, subjects=[])
    watch(later(minutes=1))
    below = found()

    wrote(1, Action.PATIENT_VIEW, by=chen, at=later(minutes=2), count=50, subjects=[])
    watch(later(minutes=3))

    assert below == []
    [finding] = Finding.objects.all()
    assert (finding.kind, finding.facts["count"]) == ("patients-listed", 1500)


@pytest.mark.parametrize(
    ("action", "how", "kind"),
    [
        (Action.DATABASE_REPAIR, {"reason": "x"}, "repair"),
        (Action.DATABASE_GRANT, {"count": 3}, "rare-acts"),
        (Action.FORWARD_RESET, {"sink": "siem", "start": 0}, "rare-acts"),
        (Action.AUDIT_PRUNE, {"start": 0, "end": 9}, "rare-acts"),
        (Action.AUDIT_REDACT, {"index": 7}, "rare-acts"),
    ],
)
def test_what_goes_round_the_usual_ways_is_a_finding_each_time(action, how, kind):
    wrote(2, action, by=SYSTEM, **how)

    watch(later(minutes=1))

    assert found() == [kind, kind]


def test_a_grave_act_at_night_is_a_finding_and_by_day_is_none(mei, chen):
    wrote(1, Action.ROLE_ASSIGN, by=mei, on=chen, before="", after="auditor")
    watch(later(minutes=1))
    by_day = found()

    wrote(1, Action.ROLE_ASSIGN, by=mei, on=chen, at=MIDNIGHT, before="", after="auditor")
    watch(MIDNIGHT + timedelta(minutes=1))
    watch(MIDNIGHT + timedelta(hours=9))

    assert by_day == []
    assert found() == ["off-hours"]


def test_small_acts_and_machines_may_work_at_night(mei, kiosk):
    wrote(5, Action.LOGIN, by=mei, at=MIDNIGHT)
    wrote(5, Action.TERMINAL_SILENT, by=SYSTEM, on=kiosk.terminal, at=MIDNIGHT, seconds=200)

    watch(MIDNIGHT + timedelta(minutes=1))

    assert found() == []


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        ("2026-11-20T12:00", "2026-11-20T21:59", []),
        ("2026-11-20T12:00", "2026-11-20T23:00", [("20T22:00", "20T23:00")]),
        ("2026-11-20T23:00", "2026-11-21T08:00", [("20T23:00", "21T06:00")]),
        (
            "2026-11-20T01:00",
            "2026-11-20T23:00",
            [("20T01:00", "20T06:00"), ("20T22:00", "20T23:00")],
        ),
        ("2026-11-20T06:00", "2026-11-20T22:00", []),
    ],
)
def test_nights_are_local(start, end, expected):
    zone = timedelta(hours=8)
    spans = nights(*(datetime.fromisoformat(f"{one}+08:00") for one in (start, end)))

    shown = [tuple(f"{one.astimezone(UTC) + zone:%dT%H:%M}" for one in span) for span in spans]
    assert shown == expected


@pytest.mark.parametrize(
    ("action", "facts"),
    [
        (Action.AUDIT_FINDING, {"kind": "altered", "count": 3}),
        (Action.NOTARY_REFUSE, {"code": "smaller", "size": 9, "found": 7}),
        (Action.NOTARY_UNWITNESSED, {"seconds": 900, "size": 9}),
        (Action.NOTARY_BEGIN, {"origin": "x/2", "before": "x", "size": 9, "root": "00" * 32}),
    ],
)
def test_each_trouble_the_trail_tells_of_is_a_finding_once(action, facts):
    wrote(2, action, by=SYSTEM, **facts)

    watch(later(minutes=1))
    watch(later(minutes=2))

    assert found() == ["trail", "trail"]
    assert {finding.severity for finding in Finding.objects.all()} == {"alert"}


def test_a_notary_that_stands_still_is_one_finding_until_settled(tmp_path, monkeypatch, zhou):
    monkeypatch.undo()
    house = House(tmp_path)
    house.seal()
    house.later(seconds=1)
    house.write()
    house.later(seconds=60)
    watch(house.now)
    in_time = found()
    for _ in range(3):
        house.later(minutes=1)
        watch(house.now)
    stalled = found()
    settle(zhou, at=house.now)
    house.later(minutes=1)
    watch(house.now)

    assert in_time == []
    assert stalled == ["notary-late"]
    assert found() == ["notary-late"] * 2


def test_a_working_notary_is_none(tmp_path, monkeypatch):
    monkeypatch.undo()
    house = House(tmp_path)
    house.seal(5)
    house.later(hours=1)

    watch(house.now)

    assert found() == []


def test_a_log_nobody_verifies_is_a_finding_once(tmp_path):
    house = House(tmp_path)
    house.seal()
    house.later(hours=47)
    watch(house.now)
    in_time = found()
    house.later(hours=2)

    watch(house.now)
    watch(house.now + timedelta(minutes=1))

    assert in_time == []
    assert found() == ["unverified"]


def test_a_log_nobody_verifies_still_is_said_again_when_it_has_been_as_long_again(tmp_path, zhou):
    house = House(tmp_path)
    house.seal()
    house.later(hours=49)
    watch(house.now)
    settle(zhou, at=house.now)

    house.later(hours=47)
    watch(house.now)
    soon = found()
    house.later(hours=2)
    watch(house.now)
    watch(house.now + timedelta(minutes=1))

    assert soon == ["unverified"]
    assert found() == ["unverified"] * 2


def test_silence_where_there_was_life_a_week_ago_is_a_finding(lin):
    wrote(20, Action.LOGOUT, by=lin, at=later(days=-7, hours=-1))
    wrote(1, Action.LOGOUT, by=lin, at=later(hours=-3))

    watch(NOON)
    watch(NOON + timedelta(minutes=1))

    assert found() == ["silence"]


@pytest.mark.parametrize(
    ("before", "now"), [(19, 0), (20, 1)], ids=["a quiet hour", "somebody is there"]
)
def test_an_hour_that_is_always_quiet_or_is_not_is_none(lin, before, now):
    wrote(before, Action.LOGOUT, by=lin, at=later(days=-7, hours=-1))
    wrote(now, Action.LOGOUT, by=lin, at=later(minutes=-30))

    watch(NOON)

    assert found() == []


def test_the_systems_own_events_break_no_silence(lin):
    wrote(20, Action.LOGOUT, by=lin, at=later(days=-7, hours=-1))
    wrote(5, Action.SESSION_EXPIRE, by=SYSTEM, at=later(minutes=-30))

    watch(NOON)

    assert found() == ["silence"]


HOSTILE = [
    '{"t":%d,"action":"access.denied"}',
    '{"t":%d,"action":"access.denied","actor":{"type":"staff","id":"张三 \\u202e"}}',
    '{"t":%d,"action":"audit.finding","facts":7}',
    '{"t":%d,"action":"audit.finding","facts":{"count":"many","kind":["x"]}}',
    '{"t":%d,"action":"audit.verify","facts":{"findings":-1}}',
    '{"t":99999999999999999,"action":"audit.verify"}',
]


def test_forged_events_stop_no_alarm(chen):
    failed(chen, 5)
    us = int(NOON.timestamp() * 1_000_000)
    with connection.cursor() as cursor:
        for n, payload in enumerate(HOSTILE * 6):
            line = payload % us if "%d" in payload else payload
            cursor.execute(
                "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
                [f"{n:032x}", line, b"x"],
            )

    watch(later(minutes=1))

    assert "login-failures" in found()
    assert "access-denials" in found()
    assert "张三" not in "".join(
        event.payload for event in Event.objects.filter(action="finding.raise")
    )


def forge(line, *, number):
    """Put a row into the trail as who owns the database can."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_event (id, uid, payload, mac, mac_key) VALUES (%s, %s, %s, %s, 1)",
            [number, f"{number:032x}", json.dumps(line), b"x"],
        )


def burst_of(thing, id_, *, times=5):
    us = int(NOON.timestamp() * 1_000_000)
    for n in range(times):
        line = {"t": us + n, "action": "auth.login_failed", "outcome": "denied"}
        forge({**line, "object": {"type": thing, "id": id_}}, number=9 * 10**17 + n)


@pytest.mark.parametrize("on_postgresql", [False, pytest.param(True, marks=pytest.mark.postgresql)])
def test_long_words_in_forged_events_stop_no_rule(chen, on_postgresql):
    burst_of("t" * 64, "o" * 64)
    wrote(5, Action.ACCESS_DENIED, by=chen, outcome="denied", route="x", suppressed=0)

    watch(later(minutes=1))
    watch(later(minutes=2))

    assert found() == ["login-failures", "access-denials"]
    assert max(len(one.key) for one in Finding.objects.all()) <= 160


def test_a_forged_name_that_begins_like_anothers_hides_nothing(chen):
    burst_of("accounts.staff", f"{chen.pk}:x")
    watch(later(minutes=1))

    failed(chen, 5, at=later(minutes=1))
    watch(later(minutes=2))

    assert found() == ["login-failures"] * 2


@pytest.mark.parametrize("count", ["many", -1, 10**20, [7], {"a": 1}, None, "１２", 1.5])
def test_a_count_that_is_none_counts_for_one(chen, count):
    us = int(NOON.timestamp() * 1_000_000)
    wrote(29, Action.PATIENT_VIEW, by=chen, count=50, subjects=[])
    line = {"action": "patient.view", "actor": {"type": "staff", "id": str(chen.pk)}}
    for n in range(50):
        forge({**line, "t": us + n, "facts": {"count": count}}, number=9 * 10**17 + n)

    watch(later(minutes=1))

    [finding] = Finding.objects.all()
    assert (finding.kind, finding.facts["count"]) == ("patients-listed", 29 * 50 + 50)


@dataclass(frozen=True)
class Broken:
    """A rule that cannot look."""

    kind: str = "broken"
    title: str = "坏"
    severity: Finding.Severity = Finding.Severity.NOTICE

    def occasions(self, at):
        with connection.cursor() as cursor:
            cursor.execute("SELECT 张三")
        yield


def test_a_rule_that_fails_stops_no_other_and_is_a_finding(chen, monkeypatch, zhou, caplog):
    monkeypatch.setattr(alarms, "RULES", (Broken(), *alarms.RULES))
    failed(chen, 5)

    watch(later(minutes=1))
    watch(later(minutes=2))
    once = found()
    settle(zhou, at=later(minutes=3))
    watch(later(minutes=4))

    assert once == ["rule-failed", "login-failures"]
    assert found() == [*once, "rule-failed"]
    first = Finding.objects.order_by("id").first()
    assert (first.severity, first.facts["kind"]) == ("alert", "broken")
    assert "张三" not in caplog.text


def test_a_real_door_tried_five_times_reaches_the_auditor(chen, zhou):
    cache.clear()
    burglar, desk = Client(), Client()
    burglar.force_login(chen)
    desk.force_login(zhou)
    for _ in range(5):
        assert burglar.get(reverse("admin:audit_event_changelist")).status_code == 403

    tasks.watch()

    shown = desk.get(reverse("admin:audit_finding_changelist")).text
    assert "同一人员连续越权访问" in shown
    [finding] = Finding.objects.filter(kind="access-denials")
    page = desk.get(reverse("admin:audit_finding_change", args=[finding.pk]))
    assert "人员 chen（chen）" in page.text
    events = desk.get(page.context["events_url"])
    assert [row.event.action for row in events.context["rows"]] == ["access.denied"] * 5


def test_the_page_names_every_kind_with_its_severity():
    page = (Path(__file__).resolve().parents[2] / "docs" / "audit-reading.md").read_text()
    table = page.partition("| kind | when | severity |\n|---|---|---|\n")[2].partition("\n\n")[0]
    told = {}
    for row in table.splitlines():
        kinds, _, severities = row.strip("| ").split(" | ")
        each = severities.split(" / ")
        for place, kind in enumerate(re.findall(r"`([a-z-]+)`", kinds)):
            told[kind] = each[place] if len(each) > 1 else each[0]

    assert told.keys() == TITLES.keys()
    for rule in alarms.RULES:
        assert told[rule.kind] == rule.severity.label, rule.kind


def test_every_action_a_rule_names_exists():
    named = {action for rule in alarms.RULES for action in getattr(rule, "actions", ())}

    assert named <= set(BY_TAG.values())
