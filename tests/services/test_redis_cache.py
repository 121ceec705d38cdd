"""The shared cache on a real Redis: one connection for each thread, and what is counted in it."""

import os
import threading
from collections.abc import Callable
from multiprocessing import get_context
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache, caches

from devices import counting
from tests.services.test_whole_path import REDIS

pytestmark = pytest.mark.services

AT_ONCE = 16


@pytest.fixture(autouse=True)
def redis(settings: Any) -> None:
    backend = "hospital.caching.RedisCache"
    settings.CACHES = {"default": {"BACKEND": backend, "LOCATION": f"{REDIS}/14"}}


@pytest.fixture
def name() -> str:
    return f"test:{uuid4()}"


def client() -> Any:
    return caches["default"]._cache.get_client(None, write=True)


def connection_id() -> int:
    number: int = client().client_id()
    return number


def in_threads(count: int, work: Callable[[], Any]) -> list[Any]:
    found: list[Any] = []
    together = threading.Barrier(count)

    def run() -> None:
        together.wait()
        found.append(work())

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_of_many_at_once_one_comes_first(name):
    firsts = in_threads(AT_ONCE, lambda: counting.is_first(name, seconds=60))

    assert sorted(firsts) == [False] * (AT_ONCE - 1) + [True]


def test_who_came_first_is_asked_in_one_command(name, monkeypatch):
    asked, connection = [], client().connection
    send = connection.send_command

    def sent(command, *more, **options):
        asked.append(command)
        send(command, *more, **options)

    monkeypatch.setattr(connection, "send_command", sent)

    assert counting.is_first(name, seconds=60)
    assert asked == ["SET"]


def test_a_name_is_forgotten_in_its_time(name):
    counting.is_first(name, seconds=60)

    assert 50 < client().ttl(cache.make_key(name)) <= 60


def test_what_was_added_through_django_is_not_first(name):
    cache.add(name, 1, 60)

    assert not counting.is_first(name, seconds=60)


def test_counts_are_exact(name):
    counts = in_threads(AT_ONCE, lambda: counting.count(name, seconds=60))

    assert sorted(counts) == list(range(1, AT_ONCE + 1))


def test_a_thread_keeps_its_connection_and_shares_it_with_no_other():
    mine = {connection_id() for _ in range(3)}
    theirs = in_threads(4, connection_id)

    assert len(mine) == 1
    assert len(mine | set(theirs)) == 5


def test_a_connection_that_was_lost_is_opened_again(name):
    before = connection_id()
    cache.set(name, "kept", 60)
    in_threads(1, lambda: client().client_kill_filter(_id=str(before)))

    assert cache.get(name) == "kept"
    assert connection_id() != before


def test_a_process_that_was_forked_has_a_connection_of_its_own():
    mine, context = connection_id(), get_context("fork")
    found = context.SimpleQueue()
    child = context.Process(target=lambda: found.put((os.getpid(), connection_id())))
    child.start()

    pid, its = found.get()
    child.join()

    assert pid != os.getpid()
    assert its != mine
    assert connection_id() == mine


@pytest.mark.parametrize("key", ["with a space", "长" * 300], ids=["space", "long"])
def test_any_key_is_a_key(key):
    cache.set(key, 1, 60)

    assert cache.get(key) == 1
