"""A terminal changes its own key: the old one vouches for the new, the new one retires the old."""

import base64
import binascii
from datetime import datetime
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from django.db import transaction

from devices import activation
from devices.models import Terminal, TerminalKey
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.errors import Refusal

CONTEXT: Final = "face-terminal-key-v1"
IN_FORCE: Final = 2  # keys of a terminal at once
P256_BYTES: Final = 32  # of r, and of s


class TooManyKeys(Refusal):
    code = "too_many_keys"
    message = "本终端已有两个有效密钥，请先停用其中一个"


class KeyInHand(Refusal):
    code = "key_in_hand"
    message = "不能停用正在使用的密钥，请用另一个密钥签名"


class KeyGone(Refusal):
    code = "key_gone"
    message = "签名的密钥刚被停用，请换密钥重试"


class Unproven(ValueError):
    """The proof is not a signature by the new key over what it should be."""


def statement(terminal: Terminal, *, key_id: str, signed_by: str) -> bytes:
    """Return what the new key signs: that it becomes `terminal`'s, by the word of `signed_by`."""
    return f"{CONTEXT}\n{terminal.pk}\n{key_id}\n{signed_by}".encode()


@transaction.atomic
def add(
    terminal: Terminal, *, public_key: str, proof: str, signed_by: TerminalKey, at: datetime
) -> TerminalKey:
    """
    Register a second key of `terminal`'s. Asking again returns the same registration.

    :param proof: base64 signature by the new key over `statement`, in the form request
        signatures have: `r` and `s` of 32 bytes each for P-256, 64 bytes for Ed25519
    :raises UnusableKey: no public key we accept
    :raises Unproven: whoever asks does not hold the new key
    :raises KeyInUse: it was registered before, here or elsewhere
    :raises TooManyKeys: retire one first
    :raises KeyGone: `signed_by` was cut off in between
    """
    algorithm, key_id = activation.fingerprint(public_key)
    _prove(
        activation.load(public_key),
        proof,
        statement(terminal, key_id=key_id, signed_by=signed_by.pk),
    )
    in_force = _locked(terminal, signed_by=signed_by)
    if key_id in in_force:
        return in_force[key_id]
    if TerminalKey.objects.filter(pk=key_id).exists():
        raise activation.KeyInUse
    if len(in_force) >= IN_FORCE:
        raise TooManyKeys
    key = TerminalKey.objects.create(
        id=key_id, terminal=terminal, algorithm=algorithm, public_key=public_key, created_at=at
    )
    record(
        Action.KEY_ADD,
        by=terminal,
        on=terminal,
        at=at,
        key_id=key_id,
        algorithm=algorithm,
        signed_by=signed_by.pk,
    )
    return key


@transaction.atomic
def retire(key: TerminalKey, *, signed_by: TerminalKey, at: datetime) -> None:
    """
    Cut off `key` by the word of the terminal's other one. Doing it again changes nothing.

    :raises KeyInHand: a terminal must not lock itself out
    :raises KeyGone: `signed_by` was cut off in between
    """
    if key.pk == signed_by.pk:
        raise KeyInHand
    _locked(key.terminal, signed_by=signed_by)
    if activation.end(key, TerminalKey.Ending.ROTATED, at=at):
        record(
            Action.KEY_RETIRE,
            by=key.terminal,
            on=key.terminal,
            at=at,
            key_id=key.pk,
            signed_by=signed_by.pk,
        )


def _locked(terminal: Terminal, *, signed_by: TerminalKey) -> dict[str, TerminalKey]:
    """Return the keys in force, one change at a time: two must not retire each other."""
    Terminal.objects.select_for_update().get(pk=terminal.pk)
    in_force = {key.pk: key for key in TerminalKey.objects.in_force().filter(terminal=terminal)}
    if signed_by.pk not in in_force:
        raise KeyGone
    return in_force


def _prove(key: activation.PublicKey, proof: str, message: bytes) -> None:
    try:
        signature = base64.b64decode(proof, validate=True)
    except (binascii.Error, ValueError):
        raise Unproven from None
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(_der(signature), message, ec.ECDSA(hashes.SHA256()))
        else:
            key.verify(signature, message)
    except InvalidSignature:
        raise Unproven from None


def _der(signature: bytes) -> bytes:
    if len(signature) != 2 * P256_BYTES:
        raise Unproven
    r, s = signature[:P256_BYTES], signature[P256_BYTES:]
    return encode_dss_signature(int.from_bytes(r), int.from_bytes(s))
