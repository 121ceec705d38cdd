"""Django's Redis cache with one client per thread that keeps its connection, not one per call."""

import os
from typing import Any

from django.core.cache.backends import redis
from redis.backoff import NoBackoff
from redis.retry import Retry


class _Clients(redis.RedisCacheClient):
    """
    Making a client takes longer than what it is asked, and borrowing a connection a third as long.

    Whether a kept connection still lives shows only when it is used: what it was asked then is
    asked once more, on a new one.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, retry=Retry(NoBackoff(), retries=1), **options)
        self._clients: dict[Any, Any] = {}

    def get_client(self, key: Any = None, *, write: bool = False) -> Any:
        pool = self._get_connection_pool(write)  # type: ignore[attr-defined]
        owner = pool, os.getpid()  # two processes on one connection would read each other's answers
        if owner not in self._clients:
            self._clients[owner] = self._client(  # type: ignore[attr-defined]
                connection_pool=pool, single_connection_client=True
            )
        return self._clients[owner]


class RedisCache(redis.RedisCache):
    """Each thread has its own, as Django sees to."""

    def __init__(self, server: str, params: dict[str, Any]) -> None:
        super().__init__(server, params)
        self._class = _Clients

    def validate_key(self, key: str) -> None:
        """Redis takes any; what memcached would mind is looked for character by character."""
