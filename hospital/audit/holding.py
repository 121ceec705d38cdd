"""There is one of a kind: who holds its lock. It ends with its process, whatever ends that."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Protocol

from django.db import Error, connection

from hospital import direct


class Hold(Protocol):
    def take(self) -> bool:
        """Return whether it is ours, without waiting."""

    def is_ours(self) -> bool:
        """Return whether it still is."""

    def release(self) -> None: ...


def hold(directory: Path, *, of: str = "notary") -> Hold:
    """
    Return the lock of this database; with SQLite, whose file is here, a file in `directory`.

    :param of: who holds it: a name of at most seven letters
    """
    if connection.vendor == "postgresql":
        return AdvisoryLock(of)
    return LockFile(directory / f"{of}.lock")


@contextmanager
def alone(one: Hold, *, refusal: Exception) -> Iterator[None]:
    """Do what nobody else of its kind is doing; raise `refusal` if somebody is."""
    if not one.take():
        raise refusal
    try:
        yield
    finally:
        one.release()


class AdvisoryLock:
    """PostgreSQL's, bound to the session of a connection that does nothing else."""

    def __init__(self, of: str) -> None:
        self._connection = direct.connect()
        self._number = int.from_bytes(of.encode())  # of the advisory lock, in this database

    def take(self) -> bool:
        is_taken = False
        try:
            is_taken = self._ask("SELECT pg_try_advisory_lock(%s)")
        finally:
            if not is_taken:  # who waits keeps no session
                self._connection.close()
        return is_taken

    def is_ours(self) -> bool:
        """Return whether the session that took it is alive: with a new one it would be gone."""
        if self._connection.connection is None:
            return False
        try:
            return self._ask("SELECT %s IS NOT NULL")
        except Error:
            return False

    def release(self) -> None:
        if self._connection.connection is None:  # who waited has none, and would make one for it
            return
        with suppress(Error):
            self._ask("SELECT pg_advisory_unlock(%s)")
        self._connection.close()

    def _ask(self, question: str) -> bool:
        with self._connection.cursor() as cursor:
            cursor.execute(question, [self._number])
            (answer,) = cursor.fetchone()
        return bool(answer)


class LockFile:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def take(self) -> bool:
        self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = self._path.open("ab")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return False
        self._file = file
        return True

    def is_ours(self) -> bool:
        return self._file is not None

    def release(self) -> None:
        if self._file:
            self._file.close()
            self._file = None
