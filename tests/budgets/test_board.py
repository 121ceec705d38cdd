"""What the board of `make bench` makes of figures: nothing is left out, and noise fails nobody."""

import ast
import math
import re
from pathlib import Path

import pytest

from tests.benchmarks import board, elsewhere
from tests.benchmarks.desk import figures as desk
from tests.benchmarks.elsewhere import JUDGED_APART
from tests.benchmarks.goals import WANTED
from tests.benchmarks.lines import Line
from tests.benchmarks.load import __main__ as load
from tests.benchmarks.paired import Quartiles
from tests.budgets import yielded

PLACE = Path(board.__file__).parent
MET, MISSED, NOISE = Quartiles(0.5, 0.6, 0.7), Quartiles(2, 3, 4), Quartiles(0.9, 1.0, 1.9)
EVERY_PART = dict.fromkeys([*board.PARTS, "brokers", "accepting"], "not asked for")
# Told beside the others, and judged by nobody.
TOLD = {
    *("W1", "W2", "W3", "W3p", "W4", "W4p", "W5", "W7", "W8", "A2", "A3", "A5"),
    *("T1s", "T1g", "T1h", "T1sw8", "T1gw8", "T1hw8", "T2", "T3c", "T3u", "T5s", "S5p"),
    *("P10l", "S1m", "S2m", "S4m", "S5m", "S6m", "S1i", "S2i", "S3i", "S4i", "S6i", "S6", "S6p"),
}
DAY = "2026-11-22T08:00:00+00:00"
RUN = {
    "at": DAY,
    "wrong": {},
    "asked_per_face_sid": 1.02,
    "asked_in_all_per_face_sid": 1.13,
    "asked_most": 3,
    "settled_s": 4.0,
    "wedge_s": 6.0,
}


def shown(*lines, absent=None, kept=None):
    rows = board.rows(lines, absent=EVERY_PART | (absent or {}), kept=kept or {})
    return {row.id: row for row in rows}


def line(found, *, name_id="P5", **more):
    return Line(name_id, "poll/bare_drf", found, "cpu", **more)


def soaked(tmp_path, *runs, seeds=5):
    """Have left what `make soak` leaves: these runs, and whole ones in the place of the others."""
    for broker in ("rabbitmq", "redis"):
        of = [*(runs if broker == "redis" else ()), *[RUN] * seeds][:seeds]
        elsewhere.leave(f"soak-{broker}", {"runs": of}, tmp_path)
    return shown(kept=elsewhere.kept(tmp_path))


def test_every_figure_of_a_run_has_its_goal_or_is_told_beside_them():
    assert yielded.ids(PLACE) == {wanted.line for wanted in WANTED if wanted.part} | TOLD


def test_no_goal_is_written_anywhere_else():
    found = {
        path.name: node.lineno
        for path in PLACE.rglob("*.py")
        if path.name != "goals.py"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in {"Goal", "least"}
    }

    assert not found


def test_every_goal_stands_in_the_documents():
    told = (PLACE.parents[1] / "docs" / "benchmarks.md").read_text()

    missing = [one.id for one in WANTED if not re.search(rf"\b{one.id}\b", told)]

    assert not missing


def test_a_goal_without_a_figure_says_why():
    rows = shown(absent={"terminals": "needs PostgreSQL and Redis"})

    assert {row.id: row.verdict for row in rows.values() if row.verdict} == {}
    assert all(row.note for row in rows.values())
    assert rows["P1"].note == "needs PostgreSQL and Redis"
    assert rows["M1"].note == "make demo ONCE=1 tells it"


def test_a_part_that_ran_owes_each_of_its_figures():
    rows = {row.id: row for row in board.rows([], absent={}, kept={})}

    assert rows["P7"].note == board.NO_FIGURE
    assert rows["P7"].is_missed_now
    assert rows["P12"].note == "BENCH=full"  # a quick run does not owe it
    assert not rows["P12"].is_missed_now


def test_every_part_a_goal_is_measured_by_is_one_of_a_run():
    parts = {wanted.part for wanted in WANTED} - {"", "brokers", "accepting"}

    assert parts == {*board.PARTS}


def test_no_two_goals_have_one_name():
    assert len({wanted.id for wanted in WANTED}) == len(WANTED)


@pytest.mark.parametrize(
    ("found", "verdict", "is_missed"),
    [(MET, "PASS", False), (NOISE, "NOISY", False), (MISSED, "FAIL", True)],
)
def test_only_what_three_quarters_of_the_rounds_miss_is_missed(found, verdict, is_missed):
    row = shown(line(found))["P5"]

    assert (row.verdict, row.is_missed_now) == (verdict, is_missed)


def test_a_goal_is_judged_the_other_way_round_where_its_line_says_it_so():
    rows = shown(line(Quartiles(0.8, 0.9, 1.0), name_id="A1"))

    assert rows["P2"].found == Quartiles(1 / 1.0, 1 / 0.9, 1 / 0.8)
    assert rows["P2"].verdict == "NOISY"  # 1.25 is over 1.15
    assert rows["A1"].verdict == "PASS"


@pytest.mark.parametrize("turn", [1, -1])
def test_terminals_are_judged_where_a_hospital_has_them_and_not_on_sqlite(turn):
    on_postgresql, on_sqlite = line(MET), line(MISSED, is_judged=False)

    row = shown(*[on_postgresql, on_sqlite][::turn])["P5"]

    assert (row.found, row.verdict, row.note) == (MET, "PASS", "")
    assert on_sqlite.verdict == ""


def test_of_several_figures_the_worst_counts_and_is_named():
    pages = [
        Line("D4", "patients", MET, "clock"),
        Line("D4", "find by name", NOISE, "clock"),
        Line("D4", "board", Quartiles(1.16, 1.17, 1.18), "clock", note="among 50,000 patients"),
    ]

    row = shown(*pages)["P15"]

    assert (row.verdict, row.found.median) == ("FAIL", 1.17)
    assert row.note == "worst of 3: board; among 50,000 patients"


@pytest.mark.parametrize(
    ("slow", "verdict"),
    [((), "PASS"), ((3,), "PASS"), ((0, 5, 11), "NOISY"), (range(0, 28, 4), "FAIL")],
)
def test_one_page_of_the_desk_that_takes_longer_in_most_blocks_is_missed(slow, verdict):
    few, many = desk.Desk(None), desk.Desk(None, {"board": {}, "patients": {}})
    few.turns = [{"board": 10.0, "patients": 10.0}] * 32
    many.turns = [{"board": 10.0, "patients": 90.0 if n in slow else 10.0} for n in range(32)]

    row = shown(*desk._grown(few, many, 4, among="", note=""))["P15"]

    assert row.verdict == verdict
    assert verdict == "PASS" or row.note == "worst of 2: patients"


@pytest.mark.parametrize(("visits", "names"), [(99, []), (100, ["L1", "L2", "L3", "L4"])])
def test_a_trivial_spell_of_load_leaves_nothing(tmp_path, visits, names):
    spell = load.Spell([{"error": ""}] * visits, [0.2] * visits, 20.0, {})

    load._leave([spell, spell], [90.0, math.nan], memory=300, errors=1, place=tmp_path)

    kept = elsewhere.kept(tmp_path)
    assert [*kept] == names
    assert not names or (kept["L2"].figures, kept["L4"].figures) == ([math.inf], [1])


def test_the_slowest_counts_where_a_figure_is_to_be_large():
    rates = [Line("S7", place, Quartiles(rate, rate, rate), "cpu", "/s")
             for place, rate in (("PostgreSQL", 19_000), ("SQLite", 30_000))]  # fmt: skip

    row = shown(*rates)["S7"]

    assert (row.verdict, row.found.median) == ("FAIL", 19_000)


def test_the_last_line_counts_all_and_names_what_is_not_green():
    rows = list(shown(line(MISSED), line(MET, name_id="P3"), line(NOISE, name_id="P6d")).values())

    told = board.summary(rows)

    assert told.startswith("1 green, 1 noisy (P6d), 1 missed (P5), ")
    assert f"{len(rows) - 3} not measured (P1 P2 " in told


def test_what_five_seeds_with_each_broker_left_is_shown_with_its_day_and_fails_no_run(tmp_path):
    stuck = {**RUN, "at": "2026-11-21T08:00:00+00:00", "wrong": {"waiting": 2}, "settled_s": None}

    rows = soaked(tmp_path, stuck)

    verdicts = {name: rows[name].verdict for name in ("R1", "R2", "R3", "R4")}
    assert verdicts == {"R1": "FAIL", "R2": "PASS", "R3": "FAIL", "R4": "PASS"}
    assert rows["R1"].note == f"(make soak, worst of 10; {DAY}; waiting)"
    assert "1.130 with those WeChat failed at, 3 about one face_sid at most" in rows["R2"].note
    assert not any(row.is_missed_now for row in rows.values())


@pytest.mark.parametrize("wrong", ["the trail does not verify", "without event", "in a log"])
def test_a_run_that_is_not_whole_is_missed_though_nobody_is_lost(tmp_path, wrong):
    assert soaked(tmp_path, {**RUN, "wrong": {wrong: 1}})["R1"].verdict == "FAIL"


def test_what_other_goals_judge_is_not_counted_twice(tmp_path):
    rows = soaked(tmp_path, {**RUN, "wrong": dict.fromkeys(JUDGED_APART, 1), "settled_s": 16.0})

    assert (rows["R1"].verdict, rows["R3"].verdict) == ("PASS", "FAIL")


def test_a_wedge_that_was_never_mended_took_for_ever(tmp_path):
    rows = soaked(tmp_path, {**RUN, "wedge_s": None})

    assert rows["R4"].verdict == "FAIL"


def test_fewer_runs_than_all_prove_nothing_but_what_is_wrong(tmp_path):
    rows = soaked(tmp_path, {**RUN, "wedge_s": 44.0}, seeds=2)

    for name in ("R1", "R2", "R3"):
        assert (rows[name].verdict, rows[name].found) == ("", None)
        assert rows[name].note.startswith("not measured (4 of 10): make soak")
    assert rows["R4"].verdict == "FAIL"


def test_one_broker_alone_is_not_both(tmp_path):
    elsewhere.leave("soak-redis", {"runs": [RUN] * 5}, tmp_path)

    rows = shown(kept=elsewhere.kept(tmp_path))

    assert rows["R1"].note.startswith("not measured (5 of 10)")


def test_without_the_sweeper_somebody_must_be_stuck_with_either_broker(tmp_path):
    elsewhere.leave("control-redis", {"at": DAY, "stuck": 32, "accepted": 87}, tmp_path)
    one = shown(kept=elsewhere.kept(tmp_path))["R5"]
    elsewhere.leave("control-rabbitmq", {"at": DAY, "stuck": 0, "accepted": 311}, tmp_path)
    both = shown(kept=elsewhere.kept(tmp_path))["R5"]

    assert one.note.startswith("not measured (1 of 2)")
    assert both.verdict == "FAIL"


def test_what_load_and_faults_left_is_shown(tmp_path):
    load = {"at": DAY, "L1": 90, "L2": 600, "L3": 326, "L4": 1}
    elsewhere.leave("load", load, tmp_path)
    elsewhere.leave("faults", {"at": DAY, "R7": 15}, tmp_path)

    rows = shown(kept=elsewhere.kept(tmp_path))

    verdicts = [rows[name].verdict for name in ("L1", "L2", "L3", "L4", "R7")]
    assert verdicts == ["PASS", "FAIL", "PASS", "FAIL", "PASS"]


def test_where_nobody_ran_them_their_commands_are_named(tmp_path):
    rows = shown(kept=elsewhere.kept(tmp_path))

    assert rows["R1"].note == "make soak, five seeds with each broker"
    assert rows["L1"].note == "make load"


def test_a_soak_of_before_it_told_what_was_wrong_counts_for_nothing(tmp_path):
    elsewhere.leave("soak-redis", {"runs": [{"at": DAY, "is_whole": True}]}, tmp_path)

    assert not elsewhere.kept(tmp_path)
