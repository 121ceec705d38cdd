"""The only writer of the trail."""

import base64
import binascii
import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import structlog
from cryptography.hazmat.primitives import hashes, hmac
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import Error, models, transaction
from uuid6 import uuid7

from hospital import tracing
from hospital.audit import canonical, undone
from hospital.audit.actions import Action, Kind, Severity
from hospital.audit.models import Event
from hospital.audit.times import micros
from hospital.errors import TrailUnavailable
from hospital.roles import SEALED

Outcome = Literal["success", "denied", "failed"]

MAC_KEY_ID = 1
MAC_KEY_BYTES = 32
logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Actor:
    """Who acted, as the trail names them: a kind, an opaque id, the role held at that moment."""

    type: Literal["staff", "terminal", "system", "unknown"]
    id: str = ""
    role: str = ""


SYSTEM = Actor("system")
UNKNOWN = Actor("unknown")


class HasActor(Protocol):
    @property
    def actor(self) -> Actor: ...


def record(
    action: Action,
    *,
    by: HasActor | Actor,
    on: models.Model | None,
    at: dt.datetime,
    outcome: Outcome = "success",
    reason: str = "",
    **facts: object,
) -> Event:
    """
    Write one event, in the transaction of what it records.

    A denial or a failure is recorded by its edge, in a transaction of its own, after the
    act it is about was rolled back.

    :param facts: only those the action's `Kind` lists; numbers, flags, ids and slugs
    :raises RuntimeError: outside a transaction
    :raises ValueError: a fact the action does not know, or a missing reason
    :raises NotAFact: one that is not what its name says: free text, a word where an id belongs
    :raises TrailUnavailable: and so nothing of this is to happen
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("record() belongs in the transaction of what it records")
    return _append(action, by=by, on=on, at=at, outcome=outcome, reason=reason, **facts)


def record_alone(
    action: Action,
    *,
    by: HasActor | Actor,
    on: models.Model | None,
    at: dt.datetime,
    **facts: object,
) -> Event:
    """
    Write one event about what changed nothing else; on disk when this returns.

    :raises: as `record`, but needs no transaction: one statement is one
    """
    return _append(action, by=by, on=on, at=at, outcome="success", reason="", **facts)


@contextmanager
def writing(
    action: Action,
    *,
    by: HasActor | Actor,
    on: models.Model | None,
    at: dt.datetime,
    **facts: object,
) -> Iterator[Event]:
    """
    Yield an event for who writes it in one statement with what it is about (`statements`).

    :raises: as `record`, but needs no transaction: one statement is one
    :raises RuntimeError: nobody wrote it
    """
    event = _event(action, by=by, on=on, at=at, outcome="success", reason="", **facts)
    with _demanded(action):
        yield event
    if event._state.adding:  # noqa: SLF001 (nothing else tells)
        raise RuntimeError("writing() belongs around what writes its event")
    undone.note(action.value.tag)


def mac(payload: str | bytes) -> bytes:
    """Return HMAC-SM3 over the canonical line (GB/T 39786-2021 8.4: integrity of log records)."""
    code = _keyed().copy()
    code.update(payload.encode() if isinstance(payload, str) else payload)
    return code.finalize()


def _append(
    action: Action,
    *,
    by: HasActor | Actor,
    on: models.Model | None,
    at: dt.datetime,
    outcome: Outcome,
    reason: str,
    **facts: object,
) -> Event:
    event = _event(action, by=by, on=on, at=at, outcome=outcome, reason=reason, **facts)
    with _demanded(action):
        event.save()
    if outcome == "success":  # the others speak of what was undone
        undone.note(action.value.tag)
    return event


@contextmanager
def _demanded(action: Action) -> Iterator[None]:
    """:raises TrailUnavailable:"""
    try:
        yield
    except Error as exc:
        logger.error("trail.unwritable", action=action.value.tag, exc_info=exc)  # noqa: TRY400 (our shape)
        raise TrailUnavailable from exc


def _event(
    action: Action,
    *,
    by: HasActor | Actor,
    on: models.Model | None,
    at: dt.datetime,
    outcome: Outcome,
    reason: str,
    **facts: object,
) -> Event:
    kind = action.value
    if unknown := facts.keys() - kind.facts.keys():
        raise ValueError(f"{kind.tag} knows no {', '.join(sorted(unknown))}")
    if kind.needs_reason and not reason:
        raise ValueError(f"{kind.tag} needs a reason")
    uid, actor = uuid7(), _actor(by)
    payload = canonical.line(
        {
            "v": 1,
            "uid": str(uid),
            "t": micros(at),
            "action": kind.tag,
            # Whatever the sealed account does, somebody is to look at.
            "severity": Severity.ALERT if actor["role"] in SEALED else kind.severity,
            "outcome": outcome,
            "actor": actor,
            "object": _object(on),
            "ctx": _context(),
            "facts": _stated(kind, facts),
            "reason": canonical.text(reason),
        }
    )
    return Event(uid=uid, payload=payload, mac=mac(payload), mac_key=MAC_KEY_ID)


def _stated(kind: Kind, facts: dict[str, object]) -> dict[str, canonical.Fact]:
    stated = {}
    for name, value in facts.items():
        try:
            stated[name] = kind.facts[name](value)
        except canonical.NotAFact:
            raise canonical.NotAFact(f"{kind.tag}: {name}") from None  # never the value
    return stated


@cache
def _keyed() -> hmac.HMAC:
    try:
        key = base64.b64decode(settings.AUDIT_MAC_KEY, validate=True)
    except binascii.Error:
        raise ImproperlyConfigured("AUDIT_MAC_KEY is not base64") from None
    if len(key) != MAC_KEY_BYTES:
        raise ImproperlyConfigured(f"AUDIT_MAC_KEY is not {MAC_KEY_BYTES} bytes")
    return hmac.HMAC(key, hashes.SM3())


def _actor(by: HasActor | Actor) -> dict[str, Any]:
    actor = by if isinstance(by, Actor) else by.actor
    return {"type": actor.type, "id": actor.id, "role": actor.role}


def _object(on: models.Model | None) -> dict[str, str]:
    return {"type": on._meta.label_lower, "id": str(on.pk)} if on else {"type": "", "id": ""}


def _context() -> dict[str, str]:
    trace = tracing.current()
    ip = canonical.text(trace.ip, longest=45)
    peer = canonical.text(trace.peer, longest=45)
    return {"req": trace.request_id, "ip": ip, "peer": peer}
