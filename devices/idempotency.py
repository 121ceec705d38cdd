"""
`Idempotency-Key`: the same key and body answers the first answer again.

The stored answer commits with what the request did, so there is no moment in which one
exists without the other. Two at once: the second waits on the unique key, then replays.
"""

import hashlib
import json
import re
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from django.db import IntegrityError, transaction
from rest_framework import exceptions, status
from rest_framework.request import Request
from rest_framework.response import Response

from devices.models import StoredAnswer, Terminal
from hospital import statements
from hospital.crypto.indexes import token_digests

KEY = re.compile(r"[\x21-\x7e]{8,64}")


class KeyMalformed(exceptions.APIException):
    status_code = status.HTTP_400_BAD_REQUEST
    default_detail = "Idempotency-Key 须为 8–64 个可见 ASCII 字符"
    default_code = "idempotency_key_malformed"


class KeyReused(exceptions.APIException):
    status_code = status.HTTP_422_UNPROCESSABLE_ENTITY
    default_detail = "同一 Idempotency-Key 不能用于不同的请求"
    default_code = "idempotency_key_reused"


class _Claimed(Exception):
    """Somebody answered this key first."""


def named_key(request: Request) -> tuple[str, ...]:
    """
    Return what the request's `Idempotency-Key` is kept under, or () without one.

    The first is what to keep it under now; the others are from before the last rotation.

    Not the key itself: what is natural to choose, a `face_sid` say, must not be kept in clear.

    :raises KeyMalformed:
    """
    key = request.headers.get("Idempotency-Key", "")
    if key and not KEY.fullmatch(key):
        raise KeyMalformed
    return token_digests("devices.stored_answer", key) if key else ()


def once(
    request: Request, terminal: Terminal, answer: Callable[[], Response], *, at: datetime
) -> Response:
    """
    Return `answer()`, or what it returned to the first request with this key.

    :raises KeyMalformed:
    :raises KeyReused: the key came with another path or body before
    """
    names = named_key(request)
    if not names:
        return answer()
    print_ = fingerprint(request)
    try:
        with transaction.atomic():
            stored = _claim(terminal, names, print_, at=at)
            response = answer()
            stored.status = response.status_code
            stored.body = json.dumps(response.data, default=str)
            stored.save(update_fields=["status", "body"])
    except _Claimed:
        return replay(terminal, names, print_)
    return response


def took_effect(request: Request, terminal: Terminal) -> bool:
    """
    Whether this very request was noted before; for a call with no answer to keep.

    :raises KeyMalformed:
    :raises KeyReused: the key came with another path or body before
    """
    stored = StoredAnswer.objects.filter(terminal=terminal, key__in=named_key(request)).first()
    if stored is not None and stored.fingerprint != fingerprint(request):
        raise KeyReused
    return stored is not None


def note(request: Request, terminal: Terminal, *, at: datetime) -> None:
    """Note under its key, if it has one, that this request took effect."""
    if names := named_key(request):
        with suppress(_Claimed):
            _claim(terminal, names, fingerprint(request), at=at)


def replay(terminal: Terminal, names: tuple[str, ...], print_: str) -> Response:
    """
    Give the stored answer again.

    :raises KeyReused: it was to another request
    """
    stored = StoredAnswer.objects.filter(terminal=terminal, key__in=names).latest("pk")
    if stored.fingerprint != print_:
        raise KeyReused
    response = Response(json.loads(stored.body or "{}"), status=stored.status)
    response["Idempotency-Replayed"] = "true"
    return response


def fingerprint(request: Request) -> str:
    """Return SHA-256 over the path and the exact body."""
    return hashlib.sha256(request.path.encode() + b"\0" + request.body).hexdigest()


def _claim(
    terminal: Terminal, names: tuple[str, ...], print_: str, *, at: datetime
) -> StoredAnswer:
    newest, *older = names
    if older and StoredAnswer.objects.filter(terminal=terminal, key__in=older).exists():
        raise _Claimed
    stored = StoredAnswer(terminal=terminal, key=newest, fingerprint=print_, created_at=at)
    try:
        with transaction.atomic():
            statements.insert(stored)
    except IntegrityError:
        raise _Claimed from None
    return stored
