"""
Count what happens, exactly, across processes, in one round trip.

Django's caches read and then write, so that of two at once one is lost; Redis and a database
can both add one and say what it came to.
"""

import random
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.cache import caches
from django.core.cache.backends.db import DatabaseCache
from django.core.cache.backends.redis import RedisCache
from django.db import connections, router

SWEPT: Final = 0.001  # of all counts, those that remove what has expired
PREFIX: Final = "count:"  # apart from what the cache itself keeps: this is no pickle


def count(name: str, *, seconds: int) -> int:
    """
    Return how often `name` was counted, this time included; forgotten after `seconds`.

    :param name: of what, and of which window; at most 200 characters, nobody's data
    """
    cache = caches["default"]
    match cache:
        case RedisCache():
            return _in_redis(cache, PREFIX + name, seconds)
        case DatabaseCache():
            return _in_table(cache, PREFIX + name, seconds)
    cache.add(name, 0, seconds)  # memory: of one process
    return int(cache.incr(name))


def is_first(name: str, *, seconds: int) -> bool:
    """
    Return whether `name` comes for the first time in `seconds`; of two at once one does.

    :param name: at most 200 characters, nobody's data, never used for something else again
    """
    cache = caches["default"]
    match cache:
        case RedisCache():
            client = cache._cache.get_client(name, write=True)  # noqa: SLF001
            return bool(client.set(cache.make_key(name), 1, ex=seconds, nx=True))
        case DatabaseCache():  # whose own `add` counts all its rows first
            return _in_table(cache, PREFIX + name, seconds) == 1
    return cache.add(name, 1, seconds)


def _in_redis(cache: Any, name: str, seconds: int) -> int:
    client = cache._cache.get_client(name, write=True)  # noqa: SLF001
    counted = int(client.incr(name))
    if counted == 1:  # who dies here leaves one small number behind
        client.expire(name, seconds)
    return counted


def _in_table(cache: Any, name: str, seconds: int) -> int:
    """Add one in the cache's own table, where what has expired is removed with the rest."""
    connection = connections[router.db_for_write(cache.cache_model_class)]
    table = connection.ops.quote_name(cache._table)  # noqa: SLF001
    expires = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=seconds)
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {table} (cache_key, value, expires) VALUES (%s, '1', %s) "  # noqa: S608
            f"ON CONFLICT (cache_key) DO UPDATE SET value = CAST({table}.value AS integer) + 1 "
            "RETURNING value",
            [name, connection.ops.adapt_datetimefield_value(expires)],
        )
        counted = int(cursor.fetchone()[0])
        if random.random() < SWEPT:
            # Django's cache does this only when something is set.
            now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
            cursor.execute(f"DELETE FROM {table} WHERE expires < %s", [now])  # noqa: S608
    return counted
