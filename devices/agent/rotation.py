"""
A new key in the old one's place: the old one vouches for it, and it retires the old one.

Whatever is interrupted is taken up again: a key that was made and perhaps registered is tried
again rather than replaced (the server takes two, not three), an old one is retired at last.
"""

import base64
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from devices.agent import activation, keys
from devices.agent.activation import Identity
from devices.agent.api import Presence, Problem, Server, Unreachable
from devices.agent.signing import TerminalAuth
from devices.agent.upkeep import describe
from devices.agent.visit import Say

CONTEXT = "face-terminal-key-v1"
DAY = 86_400.0  # seconds
RETRY = 3600.0  # seconds between two attempts
NOT_FOUND = 404


class Rotation:
    """
    The key of this box, and when it is due to be changed.

    Its age is counted in the server's time: the box's own clock may be anything.

    :param every: days between two keys; 0 for never
    """

    def __init__(
        self,
        state: Path,
        server: Server,
        auth: TerminalAuth,
        *,
        every: float,
        say: Say,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._state = state
        self._server = server
        self._auth = auth
        self._every = every * DAY
        self._say = say
        self._clock = clock
        self._retry_at = clock()

    def consider(self, presence: Presence) -> None:
        """Change the key if it is due; a failure is told, and tried again in an hour."""
        if presence.suspension or self._clock() < self._retry_at:
            return
        identity = activation.recall(self._state)
        is_old = 0 < self._every <= presence.server_time - identity.registered_at
        if not is_old and not identity.retiring:
            return
        self._retry_at = self._clock() + RETRY
        try:
            rotate(self._state, self._server, self._auth) if is_old else self._retire(identity)
        except (Problem, Unreachable) as exc:
            self._say(f"密钥未能更换：{describe(exc)}")
        else:
            self._say("已更换终端密钥")

    def _retire(self, identity: Identity) -> None:
        _retire(self._state, self._server, identity)


def rotate(state: Path, server: Server, auth: TerminalAuth) -> Identity:
    """
    Make a new key of the same kind, register it, sign with it, and retire the old one.

    :raises Problem, Unreachable: `state` holds a pair that works; call again
    :raises NotActivated: there is nothing to change
    """
    old = activation.recall(state)
    if old.retiring:
        old = _retire(state, server, old)
    key = activation.unregistered(state, but=old) or activation.keep(
        state, keys.make(keys.algorithm(old.key))
    )
    new_id = keys.key_id(key)
    statement = f"{CONTEXT}\n{old.id}\n{new_id}\n{old.key_id}".encode()
    proof = base64.b64encode(sign(key, statement)).decode()
    try:
        registered_at = server.add_key(keys.public_pem(key), proof=proof)
    except Problem as exc:
        if exc.code == "key_in_use":  # staff have cut off the one we had begun with
            activation.drop(state, new_id)
        raise
    new = activation.replace_key(state, new_id, registered_at=registered_at, retiring=old.key_id)
    auth.use(new.key, new.key_id)
    return _retire(state, server, new)


def sign(key: keys.PrivateKey, message: bytes) -> bytes:
    """Return a signature in the form HTTP signatures have: 64 bytes, r and s for P-256."""
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def _retire(state: Path, server: Server, identity: Identity) -> Identity:
    try:
        server.retire_key(identity.retiring)
    except Problem as exc:
        if exc.status != NOT_FOUND:
            raise
    return activation.retired(state)
