"""Files that must survive the power: on disk, under their name, before the call returns."""

import os
from pathlib import Path

PRIVATE = 0o600


def create(path: Path, content: bytes, *, mode: int = PRIVATE) -> None:
    """
    Write a new file, which only its owner can read unless `mode` says otherwise.

    :raises FileExistsError: there is one, which is not touched
    :raises OSError: nothing was made
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        _write(descriptor, content)
        sync(path.parent)
    except OSError:
        path.unlink()  # half a key would stand in the way of a whole one
        raise


def replace(path: Path, content: bytes) -> None:
    """Let the file have this content: whoever reads it sees the old one whole, or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    unfinished = path.with_name(f".{path.name}.new")
    _write(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, PRIVATE), content)
    unfinished.replace(path)
    sync(path.parent)


def append(path: Path, content: bytes) -> None:
    """Add to the end of a file, which is made if it is not there."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    _write(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE), content)
    sync(path.parent)


def _write(descriptor: int, content: bytes) -> None:
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync(directory: Path) -> None:
    """Let the names in a directory survive the power."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
