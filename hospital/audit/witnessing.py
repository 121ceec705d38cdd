"""Asking a witness to cosign: the log's side of https://c2sp.org/tlog-witness."""

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import httpx

from hospital.audit.checkpoint import BadNote, Note, Verifier

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
    """

    http: httpx.Client
    verifiers: Sequence[Verifier]
    cosigned: int = 0  # the size it is believed to have cosigned last

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
        body = f"old {self.cosigned}\n{hashes}\n{note}"
        try:
            return self.http.post("add-checkpoint", content=body.encode())
        except httpx.HTTPError as exc:
            raise Away(type(exc).__name__) from None

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
