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
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import httpx

from devices.agent import keys
from devices.agent.api import Problem, Server
from devices.agent.signing import TerminalAuth
from devices.agent.wire import Wire

RECORD = "terminal.json"
BEGUN = "activation.key"  # of an activation whose answer has not come
CONFLICT = 409
Connect = Callable[[TerminalAuth], Wire]


class NotActivated(Exception):
    """The state directory holds no terminal."""


@dataclass(frozen=True)
class Identity:
    """
    This box: the key it signs with, and what the server calls it.

    :ivar registered_at: when the key was, unix seconds of the server's
    :ivar retiring: the id of the key before, as long as the server may still take it
    """

    id: str
    serial: str
    store: str
    key_id: str
    key: keys.PrivateKey = field(repr=False)
    registered_at: float
    retiring: str = ""

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

    Without an answer the code may be used up all the same, and for that one key: called again,
    it goes on with it.

    :raises Problem, Unreachable: the terminal that `state` holds, if any, is still there
    """
    key = _begin(state, algorithm)
    key_id = keys.key_id(key)
    wire = connect(TerminalAuth(key, key_id))
    try:
        registration = Server(wire).activate(
            code,
            public_key=keys.public_pem(key),
            model=f"{platform.system()} {platform.machine()}"[:64],
            sdk_version=sdk_version,
        )
    except Problem as exc:
        if exc.status == CONFLICT:  # it knows neither the code nor this key
            (state / BEGUN).unlink()
        raise
    finally:
        wire.close()
    keep(state, key)
    identity = _settle(state, asdict(registration))
    (state / BEGUN).unlink()
    return identity


def recall(state: Path) -> Identity:
    """
    Return the terminal that `state` holds.

    :raises NotActivated: none, or one whose key is gone
    :raises keys.UnusableKey: the key file is damaged
    """
    try:
        record = _read(state)
        key = keys.from_pem((state / f"{record['key_id']}.pem").read_bytes())
        return Identity(
            id=record["terminal"]["id"],
            serial=record["terminal"]["serial"],
            store=record["store"]["name"],
            key_id=record["key_id"],
            key=key,
            registered_at=float(record["server_time"]),
            retiring=record.get("retiring", ""),
        )
    except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
        raise NotActivated from None


def keep(state: Path, key: keys.PrivateKey) -> keys.PrivateKey:
    """Write a key to its file; it is this terminal's once the record names it."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(state / f"{keys.key_id(key)}.pem", keys.to_pem(key))
    return key


def unregistered(state: Path, *, but: Identity) -> keys.PrivateKey | None:
    """Return a key that was made for `replace_key` before, and not heard of since."""
    for path in state.glob("*.pem"):
        if path.stem != but.key_id:
            with suppress(keys.UnusableKey):
                return keys.from_pem(path.read_bytes())
    return None


def drop(state: Path, key_id: str) -> None:
    """Forget a key that never came to be this terminal's."""
    (state / f"{key_id}.pem").unlink()


def replace_key(state: Path, key_id: str, *, registered_at: float, retiring: str) -> Identity:
    """Sign with `key_id` from now on; the key before is kept until `retired`."""
    changed = {"key_id": key_id, "server_time": registered_at, "retiring": retiring}
    _write(state / RECORD, _json(_read(state) | changed))
    return recall(state)


def retired(state: Path) -> Identity:
    """Forget the key before: the server has cut it off."""
    return _settle(state, {**_read(state), "retiring": ""})


def _begin(state: Path, algorithm: keys.Algorithm) -> keys.PrivateKey:
    path = state / BEGUN
    with suppress(FileNotFoundError, keys.UnusableKey):
        begun = keys.from_pem(path.read_bytes())
        if keys.algorithm(begun) == algorithm:
            return begun
    key = keys.make(algorithm)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(path, keys.to_pem(key))
    return key


def _settle(state: Path, record: dict[str, Any]) -> Identity:
    """Write the record, and keep no key but the one it names."""
    _write(state / RECORD, _json(record))
    for path in state.glob("*.pem"):
        if path.stem != record["key_id"]:
            path.unlink()
    return recall(state)


def _read(state: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((state / RECORD).read_bytes())
    return record


def _json(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False, indent=2).encode()


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
