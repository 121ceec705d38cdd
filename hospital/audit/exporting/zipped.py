"""A zip file written as a stream, which remembers of every file how long it is and its digests."""

import io
import os
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final, Self

from hospital.audit.exporting.checking import Digests
from hospital.durable import PRIVATE

SCRATCH: Final = ".scratch"
_BUFFER: Final = 1 << 16  # bytes
_LEVEL: Final = 1  # of compression: higher ones take twice as long for a tenth less


class Archive:
    def __init__(self, zipped: zipfile.ZipFile, path: Path) -> None:
        self._zipped, self._path = zipped, path
        self.files: dict[str, Any] = {}

    @classmethod
    @contextmanager
    def created(cls, path: Path) -> Iterator[Self]:
        """
        Write a file that only its owner can read, from its beginning; on disk in the end.

        :raises OSError: there is no room
        """
        path.unlink(missing_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE)
        with os.fdopen(descriptor, "w+b") as file:
            with zipfile.ZipFile(
                file, "w", zipfile.ZIP_DEFLATED, allowZip64=True, compresslevel=_LEVEL
            ) as zipped:
                yield cls(zipped, path)
            file.flush()
            os.fsync(file.fileno())

    def add(self, name: str, content: bytes) -> None:
        with self.entry(name) as file:
            file.write(content)

    @contextmanager
    def entry(self, name: str) -> Iterator[IO[bytes]]:
        """Write one file; no other can be written meanwhile."""
        with self._zipped.open(name, "w", force_zip64=True) as member:
            counted = _Counted(member)
            with io.BufferedWriter(counted, _BUFFER) as file:
                yield file
        sha256, sm3 = counted.digests.hex()
        self.files[name] = {"size": counted.digests.size, "sha256": sha256, "sm3": sm3}

    @contextmanager
    def later(self, name: str) -> Iterator[IO[bytes]]:
        """Write one file beside the zip, to be moved into it when it is complete."""
        path = self._path.with_name(f"{self._path.name}.{Path(name).name}")
        path.unlink(missing_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE)
            with os.fdopen(descriptor, "w+b") as file:
                yield file
            with path.open("rb") as file, self.entry(name) as target:
                shutil.copyfileobj(file, target, _BUFFER)
        finally:
            path.unlink(missing_ok=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Make a directory beside the zip for whoever needs several files; it goes afterwards."""
        path = self._path.with_name(f"{self._path.name}{SCRATCH}")
        shutil.rmtree(path, ignore_errors=True)
        path.mkdir(mode=0o700)
        try:
            yield path
        finally:
            shutil.rmtree(path, ignore_errors=True)


class _Counted(io.RawIOBase):
    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self.digests = Digests()

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        self.digests.update(data)
        return self._target.write(data)
