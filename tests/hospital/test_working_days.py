"""Working days: neither weekends nor holidays, but the weekends worked for them."""

from datetime import date

import pytest

from hospital.accounts import working_days

FRIDAY = date(2026, 11, 20)


@pytest.mark.parametrize(
    ("days", "due"),
    [
        (0, date(2026, 11, 20)),
        (1, date(2026, 11, 23)),
        (5, date(2026, 11, 27)),
        (6, date(2026, 11, 30)),
        (15, date(2026, 12, 11)),
    ],
)
def test_the_day_itself_and_weekends_do_not_count(days, due):
    assert working_days.after(FRIDAY, days) == due


def test_holidays_do_not_count_and_worked_weekends_do(settings):
    settings.HOLIDAYS = frozenset({date(2026, 11, 23), date(2026, 11, 24)})
    settings.WORKDAYS = frozenset({date(2026, 11, 21)})

    assert working_days.after(FRIDAY, 1) == date(2026, 11, 21)
    assert working_days.after(FRIDAY, 2) == date(2026, 11, 25)


def test_a_weekend_is_no_first_day_either():
    assert working_days.after(date(2026, 11, 21), 1) == date(2026, 11, 23)
