"""Asking a witness to cosign: the log's side of https://c2sp.org/tlog-witness."""

import base64
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import httpx

from hospital.audit.checkpoint import BadNote, Note, Verifier

PATIENCE: Final = 10.0  # seconds for one answer, from the first byte sent to the last received
LARGEST: Final = 64 * 1024  # bytes of an answer; one has a few lines
_TRIES: Final = 3  # how often it may say that it is elsewhere


class Away(Exception):
    """It did not cosign, for a reason that says nothing about the log; the text says which."""


class Contradicted(Exception):
    """It has cosigned something this log does not continue; `size` is how far that went."""

    def __init__(self, size: int) -> None:
        super().__init__(str(size))
        self.size = size


@dataclass
class Witness:
    """
    Who cosigns, as somebody over HTTP.

    :param http: its base URL is the witness's submission prefix
    :param verifiers: its keys; what anybody else signed is dropped
    :param patience: seconds for an answer; a timeout of `http` begins anew with each byte
    """

    http: httpx.Client
    verifiers: Sequence[Verifier]
    cosigned: int = 0  # the size it is believed to have cosigned last
    patience: float = PATIENCE
    _asking: threading.Thread | None = field(default=None, init=False, repr=False)

    def cosign(self, note: Note, *, proof: Callable[[int], list[bytes]]) -> tuple[str, ...]:
        """
        Return its signature lines on a note.

        :param proof: gives the consistency proof from a size to the note's
        :raises Away: unreachable, or not set up for this log; ask again later
        :raises Contradicted: what it saw before is not a prefix of this
        """
        size = note.checkpoint.size
        self.cosigned = min(self.cosigned, size)
        for _ in range(_TRIES):
            answer = self._asked(note, proof(self.cosigned))
            if answer.status_code == httpx.codes.CONFLICT:
                self.cosigned = self._elsewhere(answer, at_most=size)
                continue
            if answer.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
                raise Contradicted(self.cosigned)
            if answer.status_code != httpx.codes.OK:
                raise Away(f"HTTP {answer.status_code}")
            lines = self._theirs(note, answer.text)
            self.cosigned = size
            return lines
        raise Away("it is elsewhere each time")

    def has_signed(self, note: Note) -> bool:
        """Return whether a note carries a signature of this witness."""
        return any(map(note.is_signed_by, self.verifiers))

    def _asked(self, note: Note, proof: list[bytes]) -> httpx.Response:
        hashes = "".join(f"{base64.b64encode(one).decode()}\n" for one in proof)
        body = f"old {self.cosigned}\n{hashes}\n{note}".encode()
        if self._asking and self._asking.is_alive():  # never more than one that is not listened to
            raise Away("still answering")
        answers: queue.SimpleQueue[httpx.Response | Exception] = queue.SimpleQueue()
        # In a thread, because nothing else bounds how slowly the head of an answer may come.
        self._asking = threading.Thread(target=self._ask, args=(body, answers), daemon=True)
        self._asking.start()
        try:
            answer = answers.get(timeout=self.patience)
        except queue.Empty:
            raise Away("too slow") from None
        if isinstance(answer, httpx.HTTPError):
            raise Away(type(answer).__name__)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _ask(self, body: bytes, answers: "queue.SimpleQueue[httpx.Response | Exception]") -> None:
        try:
            answers.put(self._answer(body))
        except Exception as exc:  # noqa: BLE001 (raised in the thread that waits)
            answers.put(exc)

    def _answer(self, body: bytes) -> httpx.Response:
        until = time.monotonic() + self.patience
        content = b""
        plain = {"Accept-Encoding": "identity"}
        with self.http.stream("POST", "add-checkpoint", content=body, headers=plain) as answer:
            for part in answer.iter_bytes():
                content += part
                if len(content) > LARGEST or time.monotonic() > until:
                    raise Away("too much, or too slow")
        return httpx.Response(answer.status_code, content=content)

    def _elsewhere(self, answer: httpx.Response, *, at_most: int) -> int:
        try:
            size = int(answer.text)
        except ValueError:
            raise Away("HTTP 409 without a size") from None
        # Where we thought it was, and yet a conflict: it saw another root of that size.
        if size == self.cosigned or not 0 <= size <= at_most:
            raise Contradicted(size)
        return size

    def _theirs(self, note: Note, text: str) -> tuple[str, ...]:
        try:
            lines = Note.parse(f"{note.body}\n{text}").signatures
        except BadNote:
            raise Away("no signature lines") from None
        signed = [
            line
            for line in lines
            if any(map(Note(note.body, (line,)).is_signed_by, self.verifiers))
        ]
        if not signed:
            raise Away("not signed by a key we know")
        return tuple(signed)
