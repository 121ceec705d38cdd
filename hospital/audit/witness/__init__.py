"""
Who remembers how far a log went, and signs nothing that does not continue it.

Runs elsewhere, for somebody else, without database and without Django: `python -m
hospital.audit.witness`. The protocol is https://c2sp.org/tlog-witness; this is its decision, pure.
"""

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from hospital.audit.checkpoint import BadNote, Checkpoint, Note, Verifier
from hospital.audit.merkle import EMPTY_ROOT, HASH_SIZE, BadProof, verify_consistency

_OLD: Final = re.compile(r"old (0|[1-9][0-9]{0,18})")
_LONGEST_PROOF: Final = 63  # hashes; the protocol's


class BadRequest(Exception):
    """Not a request of the protocol."""


class UnknownOrigin(Exception):
    """Nobody told this witness of such a log."""


class UnknownKey(Exception):
    """It is not signed by the log."""


class Elsewhere(Exception):
    """The question begins at another size than this witness has signed, or at another root."""

    def __init__(self, size: int) -> None:
        super().__init__(str(size))
        self.size = size


class Inconsistent(Exception):
    """What was signed before is not shown to be a prefix of this."""


@dataclass(frozen=True)
class Question:
    """The body of `add-checkpoint`."""

    old: int
    proof: tuple[bytes, ...]
    note: Note

    @classmethod
    def parse(cls, body: bytes) -> "Question":
        """:raises BadRequest:"""
        try:
            head, separator, note = body.decode().partition("\n\n")
            old, *hashes = head.split("\n")
            size = _OLD.fullmatch(old)
            proof = tuple(base64.b64decode(one, validate=True) for one in hashes)
            question = cls(int(size[1]) if size else -1, proof, Note.parse(note))
            checkpoint = question.note.checkpoint
        except (ValueError, BadNote):  # not UTF-8, not base64, not even ASCII
            raise BadRequest from None
        if not separator or not 0 <= question.old <= checkpoint.size:
            raise BadRequest
        if len(proof) > _LONGEST_PROOF or any(len(one) != HASH_SIZE for one in proof):
            raise BadRequest
        return question


def judge(question: Question, *, logs: Sequence[Verifier], signed: Checkpoint | None) -> Checkpoint:
    """
    Return the checkpoint to sign, and to remember instead of `signed`.

    :param logs: the keys this witness was told of
    :param signed: what it signed last of the question's log
    :raises UnknownOrigin, UnknownKey, Elsewhere, BadRequest, Inconsistent:
    """
    checkpoint = question.note.checkpoint
    theirs = [log for log in logs if log.name == checkpoint.origin]
    if not theirs:
        raise UnknownOrigin
    if not any(map(question.note.is_signed_by, theirs)):
        raise UnknownKey
    before = signed or Checkpoint(checkpoint.origin, 0, EMPTY_ROOT)
    if question.old != before.size:
        raise Elsewhere(before.size)
    if not before.size and question.proof:
        raise BadRequest
    if checkpoint.size == before.size and checkpoint.root != before.root:
        raise Elsewhere(before.size)
    try:
        verify_consistency(
            before.size,
            checkpoint.size,
            old_root=before.root,
            new_root=checkpoint.root,
            proof=question.proof,
        )
    except BadProof:
        raise Inconsistent from None
    return checkpoint
