"""What every run of `make soak` has, whatever its seed and however short; and what it leaves."""

import itertools
import json
import random
from collections import Counter

import pytest

from tests.benchmarks import elsewhere
from tests.faults.soak import __main__ as soaking
from tests.faults.soak import history
from tests.faults.soak.nemesis import LENGTH, ROUND, rounds

WITHOUT_BEAT = 5  # processes there are where nobody sweeps, and one more where somebody does
# Processes and servers that each fault ends, but for those that come along with it.
ENDED = {
    "kill worker": 1,
    "kill web": 1,
    "kill notary": 1,
    "kill everything": WITHOUT_BEAT,
    "wedge workers": 2,
    "restart broker": 1,
    "broker away": 1,
    "restart cache": 1,
    "restart database": 1,
}


def dealt(seed: int) -> list[str]:
    return list(itertools.islice(rounds(random.Random(seed)), LENGTH))


def test_every_seed_breaks_everything_and_kills_twenty_times_in_its_first_round():
    for seed in range(50):
        round_ = Counter(dealt(seed))

        assert round_ == ROUND
        assert sum(ENDED.get(name, 0) * count for name, count in round_.items()) >= 20


def test_what_comes_when_is_the_seeds_alone():
    assert dealt(7) == dealt(7) != dealt(8)


def test_the_last_run_and_the_latest_of_five_seeds_are_kept(tmp_path):
    for seed in (1, 2, 3, 4, 5, 6, 2):
        history.note(run(seed), at=f"2026-11-22T0{seed}:00:00+00:00", place=tmp_path)

    kept = json.loads((tmp_path / "soak-redis.json").read_text())
    assert (kept["seed"], kept["at"]) == (2, "2026-11-22T02:00:00+00:00")
    assert [one["seed"] for one in kept["runs"]] == [3, 4, 5, 6, 2]
    assert {one["wedge_s"] for one in kept["runs"]} == {12.5}


def test_who_was_never_mended_has_no_figure(tmp_path):
    history.note(run(1, mended=None), at="2026-11-22T01:00:00+00:00", place=tmp_path)

    [kept] = json.loads((tmp_path / "soak-redis.json").read_text())["runs"]
    assert (kept["wedge_s"], kept["is_whole"]) == (None, True)


def test_what_was_wrong_is_kept_by_name_and_says_nobodys_id(tmp_path):
    told = run(1) | {"wrong": {"in two places": ["0198-…", "0199-…"]}}
    history.note(told, at="2026-11-22T01:00:00+00:00", place=tmp_path)

    [kept] = json.loads((tmp_path / "soak-redis.json").read_text())["runs"]
    assert (kept["wrong"], kept["is_whole"]) == ({"in two places": 2}, False)


def test_a_run_without_the_sweeper_is_kept_apart(tmp_path):
    told = run(1) | {"stuck": 32, "accepted": 87, "wrong": {"waiting": ["0198-…"]}}
    history.note_control(told, at="2026-11-22T01:00:00+00:00", place=tmp_path)

    kept = elsewhere.kept(tmp_path)
    assert [*kept] == ["R5"]
    assert kept["R5"].figures == [100 * 32 / 87]


@pytest.mark.parametrize(
    ("told", "late"),
    [
        ({"settled_s": None}, elsewhere.SETTLED_LATE),
        ({"settled_s": 15.1}, elsewhere.SETTLED_LATE),
        ({"wedges": [{"mended": None}]}, elsewhere.MENDED_LATE),
        ({"wedges": []}, elsewhere.MENDED_LATE),
        ({"asked_per_face_sid": 1.2}, elsewhere.ASKED_TOO_OFTEN),
        ({"kills": 19}, "killed too few"),
        ({"accepted": 0}, "nobody was accepted"),
    ],
)
def test_what_a_run_misses_it_says_by_a_name_that_does_not_change(told, late):
    whole = run(1) | {"settled_s": 15.0, "asked_per_face_sid": 1.1, "kills": 20, "accepted": 9}

    assert soaking._beyond(whole) == {}
    assert [*soaking._beyond(whole | told)] == [late]


def run(seed, *, mended=12.5):
    figures = dict.fromkeys(history.FIGURES, 0)
    wedges = [{"noticed": 7.0, "mended": 9.5}, {"noticed": 8.0, "mended": mended}]
    return figures | {"broker": "redis", "seed": seed, "wedges": wedges, "wrong": {}}
