from uuid import UUID

import pytest

from faceauth import waiting

ONE, OTHER = UUID(int=1), UUID(int=2)


@pytest.fixture(autouse=True)
def few_seats(settings):
    settings.LONG_POLLS = 3


def test_a_terminal_has_so_many_seats_and_no_more(monkeypatch):
    monkeypatch.setattr(waiting, "PER_TERMINAL", 2)
    with waiting.seat(ONE) as first, waiting.seat(ONE) as second, waiting.seat(ONE) as third:
        assert (first, second, third) == (True, True, False)


def test_there_are_only_so_many_seats():
    with waiting.seat(ONE), waiting.seat(ONE), waiting.seat(OTHER) as last:
        assert last
        with waiting.seat(OTHER) as too_many:
            assert not too_many


def test_a_seat_is_free_again():
    with waiting.seat(ONE), waiting.seat(ONE):
        pass

    with waiting.seat(ONE) as again:
        assert again
