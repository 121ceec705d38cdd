"""Liveness and readiness, for a load balancer. Neither says anything about a person."""

from collections.abc import Callable
from functools import partial
from typing import Final

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connections
from django.http import HttpRequest, JsonResponse
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from faceauth.models import Merchant
from hospital.celery import app
from hospital.crypto import keyring
from hospital.crypto.sealing import Unopenable
from hospital.errors import Unavailable

_NAMES: Final = {"default": "database", "keys": "key_database"}


def healthz(_request: HttpRequest) -> JsonResponse:
    """The process answers."""
    return JsonResponse({"status": "ok"})


def readyz(_request: HttpRequest) -> JsonResponse:
    """Every part a terminal's request needs answers; 503 names those that do not."""
    checks: dict[str, Callable[[], bool]] = {
        # One each for the patients' and, where they live apart, the keys'.
        **{_NAMES[alias]: partial(_database, alias) for alias in connections},
        "cache": _cache,
        "broker": _broker,
        "keys": _keys,
        "merchant": _merchant,
    }
    failed = [name for name, works in checks.items() if not works()]
    body = {"status": "unready" if failed else "ok", "failed": failed}
    return JsonResponse(body, status=503 if failed else 200)


def _database(alias: str) -> bool:
    try:
        with connections[alias].cursor() as cursor:
            cursor.execute("SELECT 1")
    except DatabaseError:
        return False
    return True


def _cache() -> bool:
    try:
        cache.set("readyz", 1, 10)
        return bool(cache.get("readyz") == 1)
    except (DatabaseError, OSError, RedisError):
        return False


def _broker() -> bool:
    try:
        with app.connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=1)
    except (OSError, OperationalError):
        return False
    return True


def _merchant() -> bool:
    """None yet is fine, since it is set up through this very process; a simulator's is not."""
    try:
        merchant = Merchant.objects.filter(is_active=True).first()
    except DatabaseError:
        return False
    return merchant is None or merchant.is_official or settings.DEPLOY_LEVEL == "demo"


def _keys() -> bool:
    try:
        keyring.data_key(keyring.SYSTEM_SUBJECT)
    except (Unavailable, Unopenable, DatabaseError):
        return False
    return True
