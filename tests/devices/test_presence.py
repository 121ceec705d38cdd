"""Who is there, who fell silent, who came back, and what each says of itself."""

import time
from datetime import timedelta

import pytest
from django.utils import timezone

from devices import conditions, presence, suspension, tasks
from devices.conditions import Condition
from devices.models import Terminal
from hospital.audit.models import Event
from hospital.audit.times import moment


def beat(**changes):
    said = {
        "agent_version": "0.2.0",
        "sdk_version": "1.26",
        "os": "Windows 10",
        "camera": "ready",
        "clock": time.time(),
    }
    return {name: value for name, value in {**said, **changes}.items() if value is not None}


def heard(terminal, *, ago, **fields):
    at = timezone.now() - ago
    Terminal.objects.filter(pk=terminal.pk).update(
        last_seen_at=at, **{"clock_offset": 0, "agent_version": "1.0", **fields}
    )
    terminal.refresh_from_db()


def recorded(action):
    return Event.objects.filter(action=action)


def seconds_until(event, since):
    """Return how it is stated that so long went by, however slowly this runs."""
    return f'"seconds":{round((moment(event.at_us) - since).total_seconds())}'


def test_a_heartbeat_says_how_the_box_is(kiosk, notice):
    answer = kiosk.post(
        "heartbeat/", beat(disk_free_mb=20480, uptime=3600, last_error="SDK_TIMEOUT")
    )

    kiosk.terminal.refresh_from_db()
    assert answer.status_code == 200
    assert kiosk.terminal.disk_free_mb == 20480
    assert kiosk.terminal.uptime == 3600
    assert kiosk.terminal.last_error == "SDK_TIMEOUT"
    assert kiosk.terminal.camera == "ready"


def test_what_a_heartbeat_does_not_say_is_not_known_any_more(kiosk, notice):
    kiosk.post("heartbeat/", beat(disk_free_mb=20480, uptime=3600, last_error="SDK_TIMEOUT"))

    answer = kiosk.post("heartbeat/", beat())

    kiosk.terminal.refresh_from_db()
    assert answer.status_code == 200
    assert kiosk.terminal.disk_free_mb is None
    assert kiosk.terminal.uptime is None
    assert kiosk.terminal.last_error == ""


@pytest.mark.parametrize(
    "said",
    [
        {"last_error": "张三的身份证"},
        {"last_error": "lower"},
        {"last_error": "A" * 33},
        {"last_error": ""},
        {"disk_free_mb": -1},
        {"disk_free_mb": 2**31},
        {"uptime": "long"},
    ],
)
def test_a_fault_is_a_code_and_never_a_text(kiosk, notice, said):
    answer = kiosk.post("heartbeat/", beat(**said))

    assert answer.status_code == 422
    assert [error["field"] for error in answer.json()["errors"]] == list(said)


def test_each_silence_is_recorded_once(kiosk):
    heard(kiosk.terminal, ago=timedelta(minutes=4))

    tasks.note_silence()
    tasks.note_silence()

    event = recorded("terminal.silent").get()
    assert event.object_id == str(kiosk.terminal.pk)
    assert event.actor_type == "system"
    assert seconds_until(event, kiosk.terminal.last_seen_at) in event.payload


def test_two_beats_at_once_record_a_silence_once(kiosk, monkeypatch):
    heard(kiosk.terminal, ago=timedelta(minutes=4))
    asked = Terminal.objects.fallen_silent
    read = [list(asked(since=timezone.now())) for _ in range(2)]  # each before the other wrote

    for beat in read:
        answers = [beat]
        monkeypatch.setattr(
            Terminal.objects,
            "fallen_silent",
            lambda answers=answers, **at: answers.pop() if answers else asked(**at),
        )
        presence.note_silence(at=timezone.now())

    assert recorded("terminal.silent").count() == 1


def test_who_was_just_heard_is_not_silent(kiosk):
    heard(kiosk.terminal, ago=timedelta(minutes=2))

    tasks.note_silence()

    assert not recorded("terminal.silent").exists()


def test_who_never_came_online_is_not_missed(kiosk):
    tasks.note_silence()

    assert not recorded("terminal.silent").exists()


def test_a_return_is_recorded_once_and_the_next_silence_anew(kiosk, notice):
    heard(kiosk.terminal, ago=timedelta(minutes=10))
    tasks.note_silence()

    kiosk.post("heartbeat/", beat())
    kiosk.post("heartbeat/", beat())

    event = recorded("terminal.return").get()
    assert seconds_until(event, kiosk.terminal.last_seen_at) in event.payload
    heard(kiosk.terminal, ago=timedelta(minutes=4))
    tasks.note_silence()
    assert recorded("terminal.silent").count() == 2


FLOOR = "1.2"


def stand(terminal, *, condition, lin):
    match condition:
        case Condition.ONLINE:
            heard(terminal, ago=timedelta(0), agent_version="1.10")
        case Condition.SILENT:
            heard(terminal, ago=timedelta(hours=1), agent_version="1.10")
        case Condition.OUTDATED:
            heard(terminal, ago=timedelta(0), agent_version="1.1.9")
        case Condition.DRIFTING:
            heard(terminal, ago=timedelta(0), agent_version="1.2", clock_offset=-31)
        case Condition.SUSPENDED:
            heard(terminal, ago=timedelta(0), agent_version="1.1", clock_offset=99)
            suspension.suspend(terminal, by=lin, at=timezone.now(), reason="待修")


def test_the_badges_and_the_filter_agree(install, lin, settings):
    settings.OLDEST_AGENT_VERSION = FLOOR
    for number, condition in enumerate(Condition):
        stand(install(f"T-{number}").terminal, condition=condition, lin=lin)
    now = timezone.now()

    badges = {one.pk: conditions.of(one, at=now) for one in Terminal.objects.all()}

    for condition in Condition:
        found = set(conditions.find(condition, at=now).values_list("pk", flat=True))
        assert found == {pk for pk, all_of_it in badges.items() if condition in all_of_it}
    assert sorted(map(len, badges.values())) == [1, 1, 1, 1, 2, 2]


@pytest.mark.parametrize("floor", ["1.2", "1.2.0"])
@pytest.mark.parametrize(
    ("version", "is_old"),
    [("1.1", True), ("1.2", False), ("1.2.0", False), ("1.10", False), ("0.9.9", True), ("", True)],
)
def test_versions_are_compared_number_by_number(settings, floor, version, is_old):
    settings.OLDEST_AGENT_VERSION = floor

    assert conditions.is_outdated(version) is is_old


@pytest.mark.parametrize("version", ["", "0.0.1", "dev"])
def test_without_a_floor_nothing_is_outdated(settings, version):
    settings.OLDEST_AGENT_VERSION = ""

    assert not conditions.is_outdated(version)
