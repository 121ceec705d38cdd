"""
The ledger in a file, for one host: on a disk that is not restored together with a database.

What is behind the last end of line was being written when the power went: nobody built on it.
"""

from dataclasses import dataclass
from pathlib import Path

from hospital import durable
from hospital.privacy.erasing.ledger import BEGIN, Broken, Lost, Mark


@dataclass(frozen=True)
class File:
    """A file that is not there yet is an empty one."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    def behind(self, mark: Mark) -> list[bytes]:
        try:
            content = self.path.read_bytes() if mark == BEGIN else self._from(mark)
        except FileNotFoundError:
            if mark == BEGIN:
                return []
            raise Lost from None
        *whole, _unfinished = content.split(b"\n")
        return [line + b"\n" for line in whole]

    def add(self, text: bytes, *, after: Mark) -> None:
        if self.path.exists() and self.path.stat().st_size > after.end:
            durable.replace(self.path, self.path.read_bytes()[: after.end])  # never finished
        durable.append(self.path, text)

    def _from(self, mark: Mark) -> bytes:
        with self.path.open("rb") as file:
            file.seek(max(0, mark.end - len(mark.ending)))
            content = file.read()
        if len(content) < len(mark.ending):
            raise Lost
        if not content.startswith(mark.ending):
            raise Broken
        return content[len(mark.ending) :]
