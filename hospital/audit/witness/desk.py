"""A witness's directory: its key, the logs it was told of, and what it signed of each last."""

import fcntl
import hashlib
import os
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from hospital import durable
from hospital.audit import log_key
from hospital.audit.checkpoint import Checkpoint, Signer, Verifier
from hospital.audit.witness import Question, judge


@dataclass(frozen=True)
class Desk:
    """Where questions are answered, one by one. To lose the directory is to forget every log."""

    directory: Path
    signer: Signer
    _one: threading.Lock = field(default_factory=threading.Lock, repr=False)

    @classmethod
    def at(cls, directory: Path, *, name: str) -> Self:
        """
        Return the desk in this directory; with a new key, if there is none.

        :raises Unusable: the key is not one
        :raises OSError:
        """
        path = directory / "key.pem"
        if not path.exists():
            return cls(directory, log_key.create(path, name=name, is_witness=True))
        return cls(directory, log_key.load(path, name=name, is_witness=True))

    def trust(self, log: Verifier) -> None:
        """Answer the log that signs with this key, from now on."""
        if log not in self.logs():
            durable.append(self._logs, f"{log}\n".encode())

    def logs(self) -> list[Verifier]:
        """
        Return the keys of the logs that are answered.

        :raises BadNote: the file says something else
        """
        lines = self._logs.read_text().splitlines() if self._logs.exists() else []
        return [Verifier.parse(line) for line in lines if line]

    def answer(self, body: bytes, *, at: int) -> str:
        """
        Return the signature line for a question; what it is about is on disk by then.

        :param at: seconds since 1970
        :raises BadRequest, UnknownOrigin, UnknownKey, Elsewhere, Inconsistent:
        """
        question = Question.parse(body)
        handle = os.open(self.directory / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        with self._one, os.fdopen(handle, "rb") as lock:
            # Another process on this directory would sign what contradicts this.
            fcntl.flock(lock, fcntl.LOCK_EX)
            path = self._signed(question.note.checkpoint.origin)
            checkpoint = judge(question, logs=self.logs(), signed=_read(path))
            durable.replace(path, checkpoint.body().encode())
        return self.signer.line(question.note.body, at=at)

    @property
    def _logs(self) -> Path:
        return self.directory / "logs"

    def _signed(self, origin: str) -> Path:
        return self.directory / "signed" / hashlib.sha256(origin.encode()).hexdigest()


def _read(path: Path) -> Checkpoint | None:
    try:
        return Checkpoint.parse(path.read_text())
    except FileNotFoundError:
        return None
