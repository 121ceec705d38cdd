"""
What one message takes of the libraries alone, whatever is done in it.

Celery hands it over, httpx asks WeChat once, psycopg sends nine statements in three transactions,
as many as an onboarding takes. Nothing is signed, opened, sealed or looked at; no model is made.
"""

import os
import threading
from functools import cache

import httpx
from celery import shared_task
from psycopg_pool import ConnectionPool

from tests.benchmarks.onboarding.lobby import THREADS

STATEMENTS = 9
_VALUES = list(range(12))
_MARKS = ", ".join(["%s"] * len(_VALUES))
_INSERT = f"INSERT INTO carried VALUES ({_MARKS})"  # noqa: S608 (marks)
_making = threading.Lock()
_own = threading.local()  # a client of 32 connections looks at all of them each time
TABLE = f"CREATE TABLE carried ({', '.join(f'c{number} integer' for number in _VALUES)})"


@shared_task
def carry(*, url: str) -> None:
    with _making:  # each thread would make its own
        pool = _pool()
    if not hasattr(_own, "client"):
        _own.client = httpx.Client(trust_env=False)
    _own.client.get(url).raise_for_status()
    with pool.connection() as connection, connection.cursor() as cursor:
        for _ in range(2):
            cursor.execute(_INSERT, _VALUES, prepare=True)
        with connection.transaction():
            for _ in range(STATEMENTS - 2):
                cursor.execute(_INSERT, _VALUES, prepare=True)


@cache
def _pool() -> ConnectionPool:
    kwargs = {"autocommit": True}
    url = os.environ["DATABASE_URL"]
    return ConnectionPool(url, min_size=THREADS, max_size=THREADS, kwargs=kwargs, open=True)
