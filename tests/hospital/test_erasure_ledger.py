"""The ledger of who was forgotten: what is on it stays, and whoever touches it is found out."""

import json
from datetime import UTC, datetime
from uuid import UUID

import pytest

from hospital.privacy.erasing.ledger import BEGIN, Broken, Entry, Lost, append, read
from hospital.privacy.erasing.ledger_file import File
from tests import ledgers

KEY = b"k" * 32
AT = datetime(2026, 11, 22, 8, 0, tzinfo=UTC)


def entry(number):
    return Entry(UUID(int=number), UUID(int=100 + number), (UUID(int=100 + number),), AT)


@pytest.fixture
def file(tmp_path):
    return ledgers.Filed(File(tmp_path / "ledger" / "erasures.jsonl"))


@pytest.fixture(params=["file", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def held(request, tmp_path, django_db_blocker):
    """The ledger in either store."""
    if request.param == "file":
        yield request.getfixturevalue("file")
        return
    with django_db_blocker.unblock(), ledgers.on(request.param, tmp_path) as held:
        yield held


@pytest.fixture
def three(held):
    return written(held, 1, 2, 3)


def written(held, *numbers):
    lines = []
    for number in numbers:
        after = lines[-1].mark if lines else BEGIN
        lines.append(append(held.store, entry(number), key=KEY, after=after))
    return lines


def test_what_was_written_is_read_again_whole_or_behind_a_mark(held, three):
    assert read(held.store, key=KEY) == three
    assert read(held.store, key=KEY, after=three[0].mark) == three[1:]
    assert read(held.store, key=KEY, after=three[2].mark) == []
    assert [line.mark.place for line in three] == [1, 2, 3]


def test_a_mark_is_the_same_wherever_the_lines_lie(held, three, tmp_path):
    file = ledgers.Filed(File(tmp_path / "another.jsonl"))

    assert written(file, 1, 2, 3) == three
    assert file.lines() == held.lines()
    assert three[2].mark.end == sum(map(len, file.lines()))


def test_nobody_but_its_owner_reads_the_file(file):
    written(file, 1)

    assert file.store.path.stat().st_mode & 0o077 == 0


def test_without_a_file_there_is_nothing_and_nothing_behind_a_mark_either(file):
    [line] = written(file, 1)
    file.store.path.unlink()

    assert read(file.store, key=KEY) == []
    with pytest.raises(Lost):
        read(file.store, key=KEY, after=line.mark)


def test_a_line_that_was_never_finished_is_none_and_is_written_over(file):
    three = written(file, 1, 2, 3)
    file.write([*file.lines(), b'{"v":1,"place":4,"erasu'])

    assert read(file.store, key=KEY) == three
    fourth = append(file.store, entry(4), key=KEY, after=three[2].mark)
    assert read(file.store, key=KEY) == [*three, fourth]


def test_one_that_lost_its_end_is_not_believed(held, three):
    held.write(held.lines()[:2])

    with pytest.raises(Lost):
        read(held.store, key=KEY, after=three[2].mark)


@pytest.mark.parametrize("tampered", [0, 1, 2])
def test_whatever_is_changed_in_a_line_is_found(held, three, tampered):
    lines = held.lines()
    other = str(UUID(int=999)).encode()
    lines[tampered] = lines[tampered].replace(str(UUID(int=101 + tampered)).encode(), other)
    held.write(lines)

    with pytest.raises(Broken):
        read(held.store, key=KEY)


NOTHING, NO_TEXT = 3, 4  # lines that nobody wrote


@pytest.mark.parametrize(
    "places",
    [
        pytest.param([1, 2], id="the first is gone"),
        pytest.param([0, 2], id="one in the middle is gone"),
        pytest.param([0, 2, 1], id="two changed places"),
        pytest.param([0, 1, 1, 2], id="one is there twice"),
        pytest.param([0, NOTHING, 1], id="one says nothing"),
        pytest.param([0, NO_TEXT, 1], id="one is no text"),
    ],
)
def test_lines_that_are_not_as_they_were_added_are_found(held, three, places):
    lines = [*held.lines(), b"{}\n", b"\xff\n"]
    held.write([lines[place] for place in places])

    with pytest.raises(Broken):
        read(held.store, key=KEY)


def test_another_line_where_the_mark_is_is_found_without_reading_the_rest(held, three):
    held.write([])
    written(held, 1, 2, 9)

    with pytest.raises(Broken):
        read(held.store, key=KEY, after=three[2].mark)


def test_without_the_key_nobody_adds_a_line(held, three):
    append(held.store, entry(4), key=b"x" * 32, after=three[2].mark)

    with pytest.raises(Broken):
        read(held.store, key=KEY, after=three[2].mark)


def test_it_names_ids_and_a_time_and_nothing_else(held, three):
    [first, *_] = held.lines()

    assert json.loads(first) == {
        "v": 1,
        "place": 1,
        "erasure": str(UUID(int=1)),
        "subject": str(UUID(int=101)),
        "keys": [str(UUID(int=101))],
        "at": "2026-11-22T08:00:00+00:00",
        "digest": three[0].mark.digest,
    }
