"""Nightly verification: on record when all is well, a finding when it is not or could not be."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from hospital.audit import nightly, tasks, verified
from hospital.audit.checkpoint import Checkpoint, Note
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from tests.hospital.notarised import House, tamper

pytestmark = pytest.mark.django_db


@pytest.fixture
def house(tmp_path, settings):
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]
    settings.VERIFIED_STATE = tmp_path / "verified"
    settings.ANCHOR_FILE = ""
    return house


def verify(house, *, is_full=False):
    return nightly.verify(at=house.now, is_full=is_full)


def ran():
    events = Event.objects.filter(action="audit.verify").order_by("id")
    return [(event.outcome, json.loads(event.payload)["facts"]) for event in events]


def test_a_trail_that_is_well_is_on_record_and_no_finding(house):
    house.seal(5)

    verdict = verify(house)

    assert verdict.is_intact
    [(outcome, facts)] = ran()
    assert outcome == "success"
    assert (facts["size"], facts["findings"], facts["is_anchored"]) == (5, 0, False)
    assert not Finding.objects.exists()


def test_the_next_night_reads_what_is_new_and_sunday_everything(house):
    house.seal(5)
    verify(house)
    house.notary().step(now=house.now)
    house.seal(3)

    weekday, sunday = verify(house), verify(house, is_full=True)

    assert weekday.sealed < sunday.sealed
    assert [facts["is_full"] for _, facts in ran()] == [True, False, True]


def test_a_changed_line_is_an_alert(house):
    events = house.seal(5)
    tamper("UPDATE audit_event SET mac = %s WHERE id = %s", [b"x" * 32, events[2]])

    verify(house)

    [finding] = Finding.objects.all()
    assert (finding.kind, finding.severity) == ("verification", "alert")
    assert finding.facts["rows"] == [events[2]]
    assert finding.facts["kinds"] == ["mac"]
    [(outcome, facts)] = ran()
    assert (outcome, facts["findings"]) == ("failed", 1)
    assert verified.read(house.directory / "verified") is None


def test_what_an_earlier_night_verified_must_still_be_there(house):
    house.seal(5)
    verify(house)
    house.notary().step(now=house.now)
    tamper("DELETE FROM audit_checkpoint")
    tamper("DELETE FROM audit_leaf")

    verdict = verify(house)

    assert "truncated" in verdict.kinds


def test_the_anchor_file_is_used_where_it_can_be_read(house, settings):
    notary = house.notary()
    house.write(4)
    notary.step(now=house.now)
    notary.anchor(now=house.now)
    settings.ANCHOR_FILE = str(house.anchor_file.path)

    verdict = verify(house)

    assert verdict.is_intact
    assert verdict.anchored == 1


def test_an_anchor_file_that_is_not_ours_to_read_is_no_failure(house, settings, tmp_path):
    house.seal()
    settings.ANCHOR_FILE = str(tmp_path / "nowhere")

    assert verify(house).is_intact


def test_a_cut_end_is_found_by_the_anchor(house, settings):
    notary = house.notary()
    house.write(4)
    notary.step(now=house.now)
    notary.anchor(now=house.now)
    settings.ANCHOR_FILE = str(house.anchor_file.path)
    tamper("DELETE FROM audit_checkpoint")
    tamper("DELETE FROM audit_leaf")
    tamper("DELETE FROM audit_event")

    verify(house)

    assert "truncated" in Finding.objects.get(kind="verification").facts["kinds"]


@pytest.mark.parametrize("keys", [["nonsense"], []])
def test_a_night_that_could_not_verify_says_so(house, settings, keys):
    house.seal()
    settings.TRAIL_VERIFIERS = keys

    verify(house)

    [finding] = Finding.objects.all()
    assert (finding.kind, finding.severity) == ("unverifiable", "warning")
    assert finding.facts["code"] == "verifiers"


def test_an_anchor_of_nobody_we_know_is_said_so(house, settings, tmp_path):
    house.seal()
    other = House(tmp_path / "other", origin="elsewhere.example/trail")
    body = Checkpoint(other.origin, 1, b"r" * 32).body()
    other.anchor_file.add(Note(body, (other.signer.line(body),)))
    settings.ANCHOR_FILE = str(other.anchor_file.path)

    verify(house)

    assert Finding.objects.get().facts["code"] == "anchor"


def test_a_state_that_cannot_be_read_is_said_so(house, settings, tmp_path):
    house.seal()
    (tmp_path / "file").write_text("no directory")
    settings.VERIFIED_STATE = tmp_path / "file" / "verified"

    verdict = verify(house)

    assert verdict is None
    [finding] = Finding.objects.all()
    assert (finding.kind, finding.facts["code"]) == ("unverifiable", "state")


def test_a_state_that_cannot_be_kept_leaves_the_run_on_record(house, settings, tmp_path):
    house.seal()
    settings.VERIFIED_STATE = tmp_path / ("v" * 255)  # as long as may be, beside a longer one

    verify(house)

    [(outcome, _)] = ran()
    assert outcome == "success"
    assert Finding.objects.get().facts["code"] == "state"


def test_each_bad_night_is_a_finding_of_its_own(house):
    events = house.seal(2)
    tamper("UPDATE audit_event SET mac = %s WHERE id = %s", [b"x" * 32, events[0]])

    for _ in range(2):
        verify(house)
        house.later(days=1)

    assert Finding.objects.filter(kind="verification").count() == 2


def test_the_task_does_the_night_it_is(house):
    house.seal()

    tasks.verify_nightly()

    [(outcome, _)] = ran()
    assert outcome == "success"


def test_beat_asks_every_night_and_looks_every_minute(settings):
    beat = settings.CELERY_BEAT_SCHEDULE
    night = beat["verify-nightly"]["schedule"]

    assert (night.hour, night.minute) == ({2}, {30})
    assert beat["watch-the-trail"]["schedule"] == timedelta(minutes=1).total_seconds()
    assert {one["task"] for one in beat.values()} >= {
        "hospital.audit.tasks.verify_nightly",
        "hospital.audit.tasks.watch",
        "hospital.audit.tasks.analyse",
    }
