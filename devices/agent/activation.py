"""
A one-time code and a new key become this terminal; the state directory remembers both.

`terminal.json` names its key file, so replacing that one file changes terminal and key
together: a crash in between leaves the old pair whole.
"""

import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx

from devices.agent import keys
from devices.agent.api import Server
from devices.agent.signing import TerminalAuth
from devices.agent.wire import Wire

RECORD = "terminal.json"
Connect = Callable[[TerminalAuth], Wire]


class NotActivated(Exception):
    """The state directory holds no terminal."""


@dataclass(frozen=True)
class Identity:
    """This box: the key it signs with, and what the server calls it."""

    serial: str
    store: str
    key_id: str
    key: keys.PrivateKey = field(repr=False)

    def auth(self) -> TerminalAuth:
        return TerminalAuth(self.key, self.key_id)


def activate(
    state: Path,
    code: str,
    *,
    connect: Connect,
    algorithm: keys.Algorithm,
    sdk_version: str,
) -> Identity:
    """
    Make a key, have it registered, and keep it. The previous key is then gone.

    :raises Problem, Unreachable: nothing in `state` has changed
    """
    key = keys.make(algorithm)
    key_id = keys.key_id(key)
    wire = connect(TerminalAuth(key, key_id))
    try:
        registration = Server(wire).activate(
            code,
            public_key=keys.public_pem(key),
            model=f"{platform.system()} {platform.machine()}"[:64],
            sdk_version=sdk_version,
        )
    finally:
        wire.close()
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(state / f"{key_id}.pem", keys.to_pem(key))
    record = json.dumps(asdict(registration), ensure_ascii=False, indent=2)
    _write(state / RECORD, record.encode())
    for old in state.glob("*.pem"):
        if old.stem != key_id:
            old.unlink()
    return recall(state)


def recall(state: Path) -> Identity:
    """
    Return the terminal that `state` holds.

    :raises NotActivated: none, or one whose key is gone
    :raises keys.UnusableKey: the key file is damaged
    """
    try:
        record = json.loads((state / RECORD).read_bytes())
        key = keys.from_pem((state / f"{record['key_id']}.pem").read_bytes())
        serial, store = record["terminal"]["serial"], record["store"]["name"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        raise NotActivated from None
    return Identity(serial=serial, store=store, key_id=record["key_id"], key=key)


def connector(server: str, *, transport: httpx.BaseTransport | None = None) -> Connect:
    """Return what opens a connection to `server` for a given signature."""
    return lambda auth: Wire(server, auth, transport=transport)


def _write(path: Path, content: bytes) -> None:
    """Replace `path` as a whole, readable by its owner only (mkstemp's mode is 0600)."""
    handle, name = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    Path(name).replace(path)
