"""Others are asked without anything waiting for them."""

import threading
import time
from datetime import timedelta

import pytest

from hospital.audit import anchors, log
from hospital.audit.anchors import ALARMED, Away, Errands
from hospital.audit.notary import Notary
from tests.hospital.notarised import House, note

PATIENCE = 10  # seconds; of a desk that is shut


class Desk:
    """Somebody who gives receipts, when they are let."""

    name = "desk"

    def __init__(self):
        self.opens = threading.Event()
        self.opens.set()
        self.asked = []
        self.excuse = None

    def anchor(self, note, *, now):
        self.asked.append(note.checkpoint.size)
        self.opens.wait(PATIENCE)
        if self.excuse:
            raise self.excuse
        return "receipt"


@pytest.fixture
def house(db, tmp_path):
    return House(tmp_path)


@pytest.fixture
def desk():
    desk = Desk()
    yield desk
    desk.opens.set()


@pytest.fixture
def sealed(house):
    house.seal(3)
    return note(log.Checkpoint.objects.get())


def bring(errands, sealed, now):
    errands.start(sealed, now=now)
    errands.wait(5)
    return list(errands.collect(now=now))


def test_a_receipt_is_brought_once(house, desk, sealed):
    errands = Errands([desk])

    assert bring(errands, sealed, house.now) == [(3, "desk", "receipt")]
    assert bring(errands, sealed, house.now) == []
    assert desk.asked == [3]


def test_who_has_not_answered_is_not_asked_again_meanwhile(house, desk, sealed):
    desk.opens.clear()
    errands = Errands([desk])
    began = time.monotonic()

    errands.start(sealed, now=house.now)
    errands.start(sealed, now=house.now)
    assert list(errands.collect(now=house.now)) == []
    assert time.monotonic() - began < PATIENCE

    desk.opens.set()
    errands.wait(5)
    assert len(desk.asked) == 1


def test_who_was_away_is_asked_at_the_next_turn(house, desk, sealed):
    errands = Errands([desk])
    desk.excuse = Away("ConnectError")
    assert bring(errands, sealed, house.now) == []

    desk.excuse = None

    assert bring(errands, sealed, house.now) == [(3, "desk", "receipt")]


def test_a_long_absence_is_alarmed_once(house, desk, sealed, caplog):
    errands = Errands([desk])
    desk.excuse = Away("ConnectError")
    for minutes in (0, 10, 20, 30):
        bring(errands, sealed, house.now + timedelta(minutes=minutes))

    alarms = [one for one in caplog.records if "notary.unanchored" in one.getMessage()]
    assert timedelta(minutes=20) >= ALARMED
    assert len(alarms) == 1


def test_one_that_neither_answers_nor_ends_is_alarmed_and_asked_when_it_has(
    house, desk, sealed, caplog, monkeypatch
):
    monkeypatch.setattr(anchors, "SILENT", 0.05)
    desk.opens.clear()
    errands = Errands([desk])
    errands.start(sealed, now=house.now)
    errands.wait(0.1)
    for minutes in (1, 2, 17, 18):
        assert list(errands.collect(now=house.now + timedelta(minutes=minutes))) == []
        errands.start(sealed, now=house.now)

    said = [one.getMessage() for one in caplog.records]
    assert len([one for one in said if "notary.sink_away" in one]) == 1
    assert len([one for one in said if "notary.unanchored" in one]) == 1
    assert desk.asked == [3]
    desk.opens.set()
    errands.wait(5)
    assert list(errands.collect(now=house.now)) == [(3, "desk", "receipt")]


def test_a_bug_in_one_stops_nobody(house, desk, sealed):
    broken = Desk()
    broken.name, broken.excuse = "broken", ZeroDivisionError()
    errands = Errands([broken, desk])

    assert bring(errands, sealed, house.now) == [(3, "desk", "receipt")]


def test_nothing_is_sealed_later_because_a_sink_is_slow(house, desk):
    desk.opens.clear()
    works = Notary(house.signer, house.mark, now=house.now, sinks=[desk])
    house.write(2)
    works.step(now=house.now)
    house.later(minutes=10)
    began = time.monotonic()

    works.step(now=house.now)
    house.write(2)
    works.step(now=house.now)

    assert time.monotonic() - began < PATIENCE
    assert log.Checkpoint.objects.count() == 2
    assert desk.asked == [2]


def test_a_receipt_that_comes_later_is_kept_at_the_next_step(house, desk):
    desk.opens.clear()
    works = Notary(house.signer, house.mark, now=house.now, sinks=[desk])
    house.write(2)
    works.step(now=house.now)
    works.anchor(now=house.now)
    desk.opens.set()
    works._errands.wait(5)

    works.step(now=house.now)

    [kept] = log.Anchor.objects.filter(sink="desk")
    assert (kept.size, kept.receipt) == (2, "receipt")
