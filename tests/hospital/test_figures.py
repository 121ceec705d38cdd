"""What processes have counted reaches the sums all of them share, and waits while it cannot."""

import pytest

from hospital import figures, watchdog
from hospital.operations import life

pytestmark = pytest.mark.django_db


@pytest.fixture
def unwritable(monkeypatch):
    """A table that can be read: what could not be added is not there to be counted up."""

    def refuse(key, *_args):
        raise ValueError(f"Key {key!r} not found")

    with monkeypatch.context() as patch:
        patch.setattr(figures.cache, "incr", refuse, raising=False)
        yield patch


def test_what_is_counted_is_added_to_what_others_counted():
    for _ in range(2):
        figures.add({"a": 2, "b": 1})
        figures.flush()

    assert figures.sums(["a", "b", "c"]) == {"a": 4, "b": 2, "c": 0}


def test_what_cannot_be_added_waits(unwritable):
    figures.add({"a": 2})
    figures.flush()
    assert figures.sums(["a"]) == {"a": 0}

    unwritable.undo()
    figures.add({"a": 1})
    figures.flush()

    assert figures.sums(["a"]) == {"a": 3}


@pytest.fixture
def away(monkeypatch):
    def refuse(*_args):
        raise OSError

    with monkeypatch.context() as patch:
        patch.setattr(figures.cache, "set", refuse, raising=False)
        yield patch


def test_what_was_said_waits_as_well_and_its_newest_word_stands(away, monkeypatch):
    figures.mark("open", seconds=30)
    figures.flush()
    figures.mark("open", seconds=300)
    figures.flush()
    assert not figures.is_marked("open")

    away.undo()
    set_as_ever, until = figures.cache.set, []
    monkeypatch.setattr(
        figures.cache,
        "set",
        lambda *said: (until.append(said[2]), set_as_ever(*said)),
        raising=False,
    )
    figures.flush()

    assert figures.is_marked("open")
    assert 290 < until[0] <= 300


def test_what_was_so_a_while_ago_is_not_said_now(away):
    figures.mark("open", seconds=0)
    figures.flush()

    away.undo()
    figures.flush()

    assert not figures.is_marked("open")


def test_a_worker_begins_anew_though_it_cannot_be_counted(unwritable):
    watchdog._count()
    assert life.restarts() == 0

    unwritable.undo()
    watchdog._count()

    assert life.restarts() == 2
