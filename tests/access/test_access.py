"""Who gets where: the whole URLconf, walked by everybody."""

from pathlib import Path

import pytest

from tests.access import table, walking
from tests.access.walking import METHODS, Outcome, outcome
from tests.access.world import (
    ELSEWHERE,
    STRANGE_DOCUMENTS,
    STRANGE_NUMBERS,
    STRANGERS,
)

TABLE = Path(__file__).parents[2] / "docs" / "access.md"
SHUT = {Outcome.FORBIDDEN, Outcome.UNKNOWN, Outcome.OTHER_METHOD, Outcome.ELSEWHERE}
MASKED = ("欧**娜", "欧***", "欧**", "**娜娜", "司***", "司**如")


def elsewhere(world):
    """Every address that names something of the other campus, by every method."""
    for page in walking.pages():
        if ELSEWHERE in walking.campuses(page, world):
            for method in METHODS:
                yield page, method


def test_the_table_says_what_the_doors_do(world):
    assert TABLE.read_text() == table.table(world)


@pytest.mark.parametrize("who", ["登记", "应急"])
def test_nothing_of_the_other_campus_is_told(world, who):
    """By no address, and not in what a refusal says."""
    walked, person = 0, world.people[who]
    for page, method in elsewhere(world):
        answer = walking.asked(page, method, person, world, ELSEWHERE)
        if outcome(page, answer) is Outcome.STEP_UP:
            walking.step_up(person, world)
            answer = walking.asked(page, method, person, world, ELSEWHERE)

        assert outcome(page, answer) in SHUT, (page.route, method)
        for said in (*STRANGERS, *STRANGE_DOCUMENTS, *STRANGE_NUMBERS, *MASKED):
            assert said not in answer.body, (page.route, method)
        walked += 1

    assert walked > 40


def test_lists_hold_nothing_of_the_other_campus(world):
    for page in walking.pages():
        if not page.places:
            answer = walking.asked(page, "GET", world.people["登记"], world, ELSEWHERE)
            for said in (*STRANGERS, *STRANGE_NUMBERS, *MASKED):
                assert said not in answer.body, page.route


def test_the_three_administrators_are_told_nobodys_name(world):
    names = ("王小明", "李小红", "王*明", "李*红", "P1000000024", "P1000000032")
    for who in ("系统", "安全", "审计", "厂商", "无角色"):
        for page in walking.pages():
            answer = walking.asked(page, "GET", world.people[who], world, "main")
            for said in (*names, *STRANGERS, *STRANGE_NUMBERS):
                assert said not in answer.body, (who, page.route)
