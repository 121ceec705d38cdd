"""Connections to WeChat, kept alive: the one used last comes first, the others are let be."""

from contextlib import ExitStack

import httpx
import pytest

from faceauth.wechat import exchange, lines
from faceauth.wechat.errors import Unavailable
from faceauth.wechat.lines import Lines
from faceauth.wechat.punctual import PunctualTransport


@pytest.fixture
def closed(monkeypatch):
    """Those that were closed, in order."""
    found = []
    close = PunctualTransport.close
    monkeypatch.setattr(PunctualTransport, "close", lambda one: (found.append(one), close(one)))
    return found


def three(stack):
    """Have three in use at once, given back from the last to the first."""
    with ExitStack() as inside:
        first, second, third = (inside.enter_context(stack.taken(patience=1)) for _ in range(3))
    return first, second, third


def test_each_has_a_line_to_itself_and_the_one_used_last_comes_first():
    stack = Lines()
    first, second, third = three(stack)

    assert len({first, second, third}) == 3
    assert three(stack) == (first, second, third)
    stack.close()


def test_a_line_on_which_something_went_wrong_is_used_again():
    stack = Lines()
    with pytest.raises(OSError), stack.taken(patience=1) as broken:  # noqa: PT011 (any)
        raise OSError

    with stack.taken(patience=1) as again:
        assert again is broken


def test_one_that_nobody_took_for_a_while_is_closed(closed, monkeypatch):
    stack = Lines()
    first, second, third = three(stack)
    assert closed == []
    monkeypatch.setattr(lines, "KEPT", 0.0)

    with stack.taken(patience=1):
        pass

    assert closed == [third]
    stack.close()
    assert set(closed) == {first, second, third}


def test_who_finds_all_in_use_is_told_so_and_waits_no_longer(monkeypatch):
    monkeypatch.setattr(lines, "MOST", 1)
    stack = Lines()
    with stack.taken(patience=1), pytest.raises(httpx.PoolTimeout), stack.taken(patience=-1):
        pass

    with stack.taken(patience=0):  # there is room again
        pass


def test_it_is_our_own_connections_that_are_busy_and_not_wechat(monkeypatch):
    monkeypatch.setattr(lines, "MOST", 1)
    channel = exchange.Channel()
    request = exchange.compose("GET", "http://wechat.invalid/", accept="*/*")
    with channel._lines.taken(patience=1), pytest.raises(Unavailable) as away:
        channel.send(request, until=0)

    assert away.value.fact == "busy"


def test_one_in_use_while_the_others_are_let_go_is_closed_when_it_is_given_back(closed):
    stack = Lines()
    with stack.taken(patience=1) as used:
        stack.close()
        assert closed == []

    assert closed == [used]
