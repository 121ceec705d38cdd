"""Houses of real processes on both databases; threads that act at the same moment."""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest
from django.db import connection, connections

from tests.house import House, postgresql

T = TypeVar("T")
MET = 60.0  # seconds until threads that should meet are given up


@pytest.fixture(
    params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)], scope="module"
)
def house(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    var = tmp_path_factory.mktemp("house")
    if request.param == "sqlite":
        with House.built(var) as house:
            yield house
        return
    server = os.environ.get("DATABASE_URL", "")
    with postgresql(server) as url, House.built(var, DATABASE_URL=url, DATABASE_POOL="6") as house:
        yield house


@pytest.fixture
def really_postgresql(transactional_db: None) -> None:
    """Locks on SQLite prove nothing about PostgreSQL: this group never runs there unnoticed."""
    assert connection.vendor == "postgresql", "run by tests/on_postgresql.py"


@pytest.fixture
def at_once() -> Callable[..., list[object]]:
    """Call all of them in threads of their own, from one starting signal; return the results."""

    def call(*acts: Callable[[], T]) -> list[T]:
        start = threading.Barrier(len(acts), timeout=MET)

        def alone(act: Callable[[], T]) -> T:
            try:
                start.wait()
                return act()
            finally:
                connections.close_all()

        with ThreadPoolExecutor(len(acts)) as threads:
            running = [threads.submit(alone, act) for act in acts]
        return [one.result() for one in running]

    return call
