"""
The receipt of a backup, in clear beside it: which files, their digests, and who can open them.

It is written last: without one there is no backup. Anybody can seal something to public keys, so
it carries a code under a key derived from the trail's: what somebody put there is not restored.
"""

import hashlib
import hmac
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from hospital import durable
from hospital.audit.exporting.checking import digests
from hospital.audit.recording import mac
from hospital.backup.envelopes import HEADER, Damaged
from hospital.backup.identities import Groups

_VERSION: Final = 1
_KEY: Final = b"hospital.backup/receipt/v1\0"
ENDING: Final = ".receipt.json"


class Forged(Exception):
    """The receipt is not one that an installation with our AUDIT_MAC_KEY wrote."""


@dataclass(frozen=True)
class Sealed:
    """A file of a backup, as it lies there."""

    name: str
    size: int
    sha256: str
    sm3: str


@dataclass(frozen=True)
class Receipt:
    """
    :param files: by what is in them: `data`, and `keys` where these are apart
    :param has_keys: whether the keys are in with the data
    """

    id: str
    made_at: datetime
    files: dict[str, Sealed]
    groups: Groups
    has_keys: bool

    @property
    def body(self) -> bytes:
        body = {
            "v": _VERSION,
            "id": self.id,
            "made_at": self.made_at.isoformat(),
            "files": {kind: vars(one) for kind, one in self.files.items()},
            "first": list(self.groups.first),
            "second": list(self.groups.second),
            "has_keys": self.has_keys,
        }
        return json.dumps(body, sort_keys=True, separators=(",", ":")).encode()

    @property
    def digest(self) -> str:
        """SHA-256 by which two people, and the trail, name this backup."""
        return hashlib.sha256(self.body).hexdigest()

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(one.size for one in self.files.values())

    def path(self, directory: Path) -> Path:
        return directory / f"{self.id}{ENDING}"


def write(receipt: Receipt, directory: Path) -> Path:
    body = json.loads(receipt.body)
    text = json.dumps({**body, "mac": _code(receipt.body)}, indent=1, ensure_ascii=False)
    path = receipt.path(directory)
    durable.replace(path, text.encode() + b"\n")
    return path


def read(path: Path) -> Receipt:
    """
    :raises Forged: nobody with our key wrote this
    :raises OSError: it cannot be read
    """
    try:
        body: dict[str, Any] = json.loads(path.read_bytes())
        code = str(body.pop("mac"))
        receipt = Receipt(
            str(body["id"]),
            datetime.fromisoformat(body["made_at"]),
            {str(kind): Sealed(**one) for kind, one in body["files"].items()},
            Groups(tuple(body["first"]), tuple(body["second"])),
            bool(body["has_keys"]),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Forged from None
    names = [Path(one.name).name for one in receipt.files.values()]
    is_flat = names == [one.name for one in receipt.files.values()]
    if not is_flat or not hmac.compare_digest(code.encode(), _code(receipt.body).encode()):
        raise Forged
    return receipt


def demand_whole(receipt: Receipt, directory: Path, *, only: Collection[str] | None = None) -> None:
    """
    Read every file, and compare it with what the receipt says.

    :param only: of these kinds
    :raises Damaged: cut off, changed, or no file of age
    :raises OSError: one cannot be read
    """
    for kind, one in receipt.files.items():
        if only is not None and kind not in only:
            continue
        path = directory / one.name
        with path.open("rb") as file:
            is_age = file.read(len(HEADER)) == HEADER
        found = digests(path)
        if not is_age or found.size != one.size or found.hex() != (one.sha256, one.sm3):
            raise Damaged


def kept(directory: Path) -> Iterator[Receipt]:
    """Yield the receipts that are there and ours, the newest first."""
    for path in sorted(directory.glob(f"*{ENDING}"), reverse=True):
        try:
            yield read(path)
        except (Forged, OSError):
            continue


def strange(directory: Path) -> list[Path]:
    """Return the receipts that nobody with our key wrote: what they name never ends by itself."""
    ours = {receipt.path(directory) for receipt in kept(directory)}
    return sorted({*directory.glob(f"*{ENDING}")} - ours)


def _code(body: bytes) -> str:
    return hmac.new(mac(_KEY), body, hashlib.sha256).hexdigest()
