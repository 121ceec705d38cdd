"""A one-time code becomes a terminal's key."""

import base64
import hashlib
import secrets
from datetime import datetime, timedelta

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from django.db import transaction

from devices.another_way import demand_fallback
from devices.models import Activation, Terminal, TerminalKey
from hospital.audit.actions import Action
from hospital.audit.recording import Actor, HasActor, record
from hospital.errors import Refusal

LIFETIME = timedelta(minutes=15)
# No 0/O, 1/I: somebody reads this aloud from a screen. 12 of 32 symbols: 60 bits.
ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
LENGTH = 12
LIVELY = timedelta(days=1)  # heard from within it, a terminal is somebody's place

PublicKey = ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class WrongCode(Refusal):
    code = "activation_code_invalid"
    message = "激活码无效、已使用或已过期，请在后台重新生成"


class KeyInUse(Refusal):
    code = "key_in_use"
    message = "该公钥已登记过，请在设备上重新生成密钥"


class UnusableKey(ValueError):
    """Not a PEM public key of P-256 or Ed25519."""


@transaction.atomic
def issue(terminal: Terminal, *, by: HasActor | Actor, at: datetime) -> str:
    """
    Return a new one-time code for `terminal`; the previous one stops working.

    :raises NoFallback: at its store there is no other way in
    """
    demand_fallback(terminal.store)
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    Activation.objects.update_or_create(
        terminal=terminal,
        defaults={"code_digest": _digest(code), "expires_at": at + LIFETIME},
    )
    record(Action.TERMINAL_ACTIVATION, by=by, on=terminal, at=at)
    return "-".join(code[i : i + 4] for i in range(0, LENGTH, 4))


def invitation(code: str, *, server: str) -> str:
    """Return what a QR code says to a terminal with a scanner: where, and with which code."""
    return f"face-terminal:{server.rstrip('/')}#{code}"


@transaction.atomic
def activate(code: str, *, public_key: str, at: datetime, **seen: str) -> TerminalKey:
    """
    Register the key of the box that knows `code`; the code and earlier keys stop working.

    The caller has verified that the request was signed with that key.

    :param seen: what the box says of itself (`model`, `sdk_version`, `agent_version`)
    Asking again with a key that is registered returns that registration.

    :raises WrongCode: unknown, used or expired
    :raises KeyInUse: the key belongs to a terminal already
    :raises NoFallback: at its store there is no other way in
    :raises UnusableKey: no public key we accept
    """
    algorithm, key_id = fingerprint(public_key)
    offered = Activation.objects.select_related("terminal__store").filter(
        code_digest=_digest(code), expires_at__gt=at
    )
    activation = offered.first()
    if activation is None or not offered.delete()[0]:
        # The answer to the first time may have been lost; the key proves who asks again.
        registered = TerminalKey.objects.in_force().filter(pk=key_id)
        if again := registered.select_related("terminal__store").first():
            return again
        raise WrongCode
    # Locked: the old box must not add a key of its own while it is being replaced.
    terminal = Terminal.objects.select_for_update(of=("self",)).get(pk=activation.terminal_id)
    demand_fallback(activation.terminal.store)
    if TerminalKey.objects.filter(pk=key_id).exists():
        raise KeyInUse
    key = TerminalKey.objects.create(
        id=key_id, terminal=terminal, algorithm=algorithm, public_key=public_key, created_at=at
    )
    _replace(key, at=at)
    Terminal.objects.filter(pk=terminal.pk).update(**seen)
    record(
        Action.TERMINAL_ACTIVATE,
        by=terminal,
        on=terminal,
        at=at,
        key_id=key_id,
        algorithm=algorithm,
    )
    return key


def revoke(
    key: TerminalKey,
    *,
    by: HasActor | Actor,
    at: datetime,
    ending: TerminalKey.Ending = TerminalKey.Ending.REVOKED,
) -> None:
    """Cut a key off, on its next request. Revoking it again changes nothing."""
    with transaction.atomic():
        if end(key, ending, at=at):
            record(Action.KEY_REVOKE, by=by, on=key.terminal, at=at, key_id=key.pk)


def end(key: TerminalKey, ending: TerminalKey.Ending, *, at: datetime) -> bool:
    """Return whether it was `key`'s end; what is said of it is the caller's to record."""
    in_force = TerminalKey.objects.in_force().filter(pk=key.pk)
    return bool(in_force.update(revoked_at=at, ending=ending))


def is_live(terminal: Terminal, *, at: datetime) -> bool:
    """Whether a box stands there as `terminal`, whose place a new one would take."""
    heard = terminal.last_seen_at is not None and at - terminal.last_seen_at <= LIVELY
    return heard and terminal.keys.in_force().exists()


def _replace(key: TerminalKey, *, at: datetime) -> None:
    """A new box takes the place of the old one, whose key may be in anybody's hands."""
    terminal = key.terminal
    was_live = is_live(terminal, at=at)
    others = TerminalKey.objects.in_force().filter(terminal=terminal).exclude(pk=key.pk)
    replaced = list(others.order_by("created_at"))
    for old in replaced:
        revoke(old, by=terminal, at=at, ending=TerminalKey.Ending.REPLACED)
    if not was_live or not replaced:
        return
    Terminal.objects.filter(pk=terminal.pk).update(replaced_at=at)
    record(
        Action.TERMINAL_REPLACE,
        by=terminal,
        on=terminal,
        at=at,
        key_id=key.pk,
        key_ids=[old.pk for old in replaced],
    )


def fingerprint(pem: str) -> tuple[TerminalKey.Algorithm, str]:
    """
    Return the algorithm and the key id of a PEM public key.

    :raises UnusableKey: not P-256 or Ed25519
    """
    key = load(pem)
    kind = (
        TerminalKey.Algorithm.P256
        if isinstance(key, ec.EllipticCurvePublicKey)
        else TerminalKey.Algorithm.ED25519
    )
    der = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return kind, base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()


def load(pem: str) -> PublicKey:
    """
    Parse a PEM SubjectPublicKeyInfo.

    :raises UnusableKey: not P-256 or Ed25519
    """
    try:
        key = load_pem_public_key(pem.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise UnusableKey from None
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()) | ed25519.Ed25519PublicKey():
            return key
    raise UnusableKey


def _digest(code: str) -> str:
    return hashlib.sha256(code.upper().replace("-", "").strip().encode()).hexdigest()
