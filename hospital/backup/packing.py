"""
What is inside a backup: a tar of parts, each cut into pieces, and at its end what they are.

Nobody knows how long a dump will be, and a tar states lengths first: so each piece is one that
fits into memory. `cat database/*` puts one together again.
"""

import io
import json
import tarfile
from collections.abc import Callable, Mapping
from typing import IO, Any, Final

from hospital.audit.exporting.checking import Digests
from hospital.backup.envelopes import Damaged

PIECE: Final = 4 << 20  # bytes
MANIFEST: Final = "manifest.json"
_LONGEST: Final = 16 << 20  # bytes of a manifest

Sink = Callable[[bytes], object]


class Packer:
    """Writes to a stream that cannot go back."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._tar = tarfile.open(fileobj=stream, mode="w|")  # noqa: SIM115 (`end` closes it)
        self._parts: dict[str, dict[str, Any]] = {}

    def add(self, name: str, source: IO[bytes]) -> None:
        digests, number = Digests(), 0
        while piece := source.read(PIECE):
            self._put(f"{name}/{number:08}", piece)
            digests.update(piece)
            number += 1
        sha256, sm3 = digests.hex()
        self._parts[name] = {"size": digests.size, "sha256": sha256, "sm3": sm3}

    def end(self, manifest: Mapping[str, Any]) -> None:
        """Write what this is, and the digests of its parts."""
        text = json.dumps({**manifest, "parts": self._parts}, ensure_ascii=False)
        self._put(MANIFEST, text.encode())
        self._tar.close()

    def _put(self, name: str, content: bytes) -> None:
        entry = tarfile.TarInfo(name)
        entry.size, entry.mode = len(content), 0o600
        self._tar.addfile(entry, io.BytesIO(content))


def unpack(stream: IO[bytes], sinks: Mapping[str, Sink]) -> dict[str, Any]:
    """
    Give the pieces of each part to its sink; return the manifest, which they agree with.

    :raises Damaged: they do not, or this is no backup
    """
    found: dict[str, Digests] = {}
    manifest: dict[str, Any] | None = None
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for entry in tar:
                if manifest is not None:
                    raise Damaged  # nothing comes after it
                limit = _LONGEST if entry.name == MANIFEST else PIECE
                file = tar.extractfile(entry) if entry.size <= limit else None
                if file is None:
                    raise Damaged
                content = file.read()
                if entry.name == MANIFEST:
                    manifest = json.loads(content)
                    continue
                name = entry.name.partition("/")[0]
                found.setdefault(name, Digests()).update(content)
                if sink := sinks.get(name):
                    sink(content)
    except (tarfile.TarError, ValueError):
        raise Damaged from None
    if manifest is None or manifest.get("parts") != {k: _told(v) for k, v in found.items()}:
        raise Damaged
    return manifest


def _told(digests: Digests) -> dict[str, Any]:
    size = digests.size
    sha256, sm3 = digests.hex()
    return {"size": size, "sha256": sha256, "sm3": sm3}
