"""
The notary: every second, what happened becomes leaves, and the log's new root is signed.

In two phases, each complete before the next begins, so that it may be killed anywhere. First the
order is on disk, then it is signed, cosigned, stored, and remembered apart from the database.
Where the database is not what was signed before, nothing is ever signed again.
"""

import hashlib
import time
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import structlog
from django.db import Error, IntegrityError, transaction

from hospital.audit import canonical, history, log, sequencing
from hospital.audit.actions import Action
from hospital.audit.anchoring import AnchorFile
from hospital.audit.anchors import Errands, Sink
from hospital.audit.checkpoint import BadNote, Checkpoint, Note, Signer
from hospital.audit.marking import Mark, WentBack
from hospital.audit.reading import octets
from hospital.audit.recording import SYSTEM, record
from hospital.audit.tree import Incomplete, Tree
from hospital.audit.witnessing import Away, Contradicted, Witness

ANCHORED: Final = timedelta(minutes=10)  # how often a note goes to the anchor
ASKED_AGAIN: Final = timedelta(seconds=10)  # after a witness was away
ALARMED: Final = timedelta(minutes=15)  # without a witness
SETTLED: Final = 6.0  # seconds for a sink at the end

_FILE, _WITNESS = "file", "witness"  # where an anchor went

logger = structlog.get_logger(__name__)


class Refused(Exception):
    """
    What is stored does not continue what was signed: somebody has to look, and nothing is signed.

    :param code: no_mark, bad_mark, overtaken, gap, smaller, different, occupied, or witness
    :param size: how many leaves were signed
    :param found: how many there are
    """

    def __init__(self, code: str, *, size: int, found: int) -> None:
        super().__init__(f"{code}: signed {size}, found {found}")
        self.code, self.size, self.found = code, size, found


class Notary:
    """
    Who signs. Only who holds the lock may make one (`hospital.audit.holding`).

    After an error of the database it is of no use: make another.
    """

    def __init__(
        self,
        signer: Signer,
        mark: Mark,
        *,
        now: datetime,
        witness: Witness | None = None,
        anchor: AnchorFile | None = None,
        sinks: Sequence[Sink] = (),
    ) -> None:
        """:raises Refused:"""
        self._signer, self._mark, self._witness, self._anchor = signer, mark, witness, anchor
        self._errands = Errands(sinks)
        self._anchored = 0  # by this notary; what a row says would be somebody's word
        self._anchored_at = history.anchored_at(_FILE, now=now)
        self._ask_from = now
        self._unwitnessed_since: datetime | None = None
        self._is_alarmed = False
        signed = self._marked()
        size = signed.checkpoint.size if signed else 0
        try:
            self.tree = Tree.load(signed=size)
        except Incomplete:
            raise Refused("gap", size=size, found=0) from None
        self._note = self._continued(signed, now)
        if witness:
            self._unwitnessed_since = history.unwitnessed_since(witness, now=now)
            self._is_alarmed = history.is_alarmed(since=self._unwitnessed_since, now=now)

    def step(self, *, now: datetime) -> bool:
        """
        Do one second's work; return whether more is waiting.

        :raises Refused: what is stored does not continue what was signed
        """
        self._compare()
        taken = self._sequence(now)
        if self.tree.size > self._note.checkpoint.size:
            self._publish(now)
        elif self._witness and not self._witness.has_signed(self._note):
            self._have_witnessed_late(self._witness, now)
        if now - self._anchored_at >= ANCHORED:
            self.anchor(now=now)
        self._keep_receipts(now)
        return taken == sequencing.BATCH

    def anchor(self, *, now: datetime) -> None:
        """Write the last note to the anchor, unless it is there, and take it to the sinks."""
        self._anchored_at = now
        self._errands.start(self._note, now=now)
        size = self._note.checkpoint.size
        if not self._anchor or size <= self._anchored:
            return
        try:
            self._anchor.add(self._note)
        except OSError as exc:
            logger.error("notary.unanchored", reason=exc.strerror)  # noqa: TRY400 (no frames)
            return
        digest = hashlib.sha256(str(self._note).encode()).hexdigest()
        log.Anchor.objects.create(size=size, sink=_FILE, at=now, receipt=digest)
        self._anchored = size

    def settle(self, *, now: datetime) -> None:
        """Before the end: wait a little for the sinks that are asked now."""
        self._errands.wait(SETTLED)
        self._keep_receipts(now)

    def _keep_receipts(self, now: datetime) -> None:
        for size, sink, receipt in self._errands.collect(now=now):
            log.Anchor.objects.create(size=size, sink=sink, at=now, receipt=receipt)

    def _marked(self) -> Note | None:
        try:
            return self._mark.read()
        except BadNote:
            raise Refused("bad_mark", size=0, found=0) from None

    def _continued(self, signed: Note | None, now: datetime) -> Note:
        """Return the note to go on from. The very first of an origin is over what is there."""
        before = signed.checkpoint if signed else None
        if signed and before and before.origin == self._signer.name:
            return signed
        if before:
            _record(
                Action.NOTARY_BEGIN,
                now,
                origin=self._signer.name,
                before=before.origin,
                size=before.size,
                root=before.root.hex(),
            )
        elif self.tree.size:
            raise Refused("no_mark", size=0, found=self.tree.size)
        note = self._signed()
        self._remember(note)
        return note

    def _sequence(self, now: datetime) -> int:
        """Phase 1: what is pending gets its place."""
        try:
            return sequencing.sequence(self.tree, at=now)
        except IntegrityError:
            # Of a leaf or a tile that somebody put where ours belong; every try would meet it.
            size = self._note.checkpoint.size
            raise Refused("occupied", size=size, found=self.tree.size) from None

    def _compare(self) -> None:
        """Phase 0: the beginning of what is stored is what was signed."""
        stored, note = self.tree.stored(after=self.tree.size), self._marked()
        if note is None:
            raise Refused("no_mark", size=0, found=stored)
        signed = note.checkpoint
        if stored < signed.size:
            raise Refused("smaller", size=signed.size, found=stored)
        try:
            is_ours = stored == self.tree.size and self.tree.root_at(signed.size) == signed.root
        except Incomplete:
            raise Refused("gap", size=signed.size, found=stored) from None
        if not is_ours or signed.origin != self._signer.name:
            raise Refused("different", size=signed.size, found=stored)

    def _publish(self, now: datetime) -> None:
        """Phase 2: sign what is in order."""
        note = self._signed()
        if self._witness:
            note = note.with_lines(self._cosigned(self._witness, note, now))
        self._keep(note, now)
        self._remember(note)
        self._note = note

    def _remember(self, note: Note) -> None:
        try:
            self._mark.advance(note)
        except WentBack:
            # Another notary with this mark, after this one's session ended.
            size = note.checkpoint.size
            raise Refused("overtaken", size=size, found=self.tree.size) from None
        except BadNote:
            raise Refused("bad_mark", size=0, found=self.tree.size) from None

    def _signed(self) -> Note:
        body = Checkpoint(self._signer.name, self.tree.size, self.tree.frontier.root()).body()
        return Note(body, (self._signer.line(body),))

    def _keep(self, note: Note, now: datetime) -> None:
        checkpoint = note.checkpoint
        there = log.Checkpoint.objects.filter(size=checkpoint.size)
        root = there.values_list("root", flat=True).first()
        if root is None:
            log.Checkpoint.objects.create(
                size=checkpoint.size, root=checkpoint.root, note=str(note), created_at=now
            )
        elif octets(root) != checkpoint.root:  # somebody else's; ours is in the mark
            _record(Action.AUDIT_FINDING, now, kind="checkpoint", count=1)

    def _have_witnessed_late(self, witness: Witness, now: datetime) -> None:
        lines = self._cosigned(witness, self._note, now)
        if not lines:
            return
        size = self._note.checkpoint.size
        log.Anchor.objects.create(size=size, sink=_WITNESS, at=now, receipt="".join(lines))
        self._note = self._note.with_lines(lines)
        self._remember(self._note)

    def _cosigned(self, witness: Witness, note: Note, now: datetime) -> tuple[str, ...]:
        """Return the witness's lines; none if it is away, which must not hold up the log."""
        if now < self._ask_from:
            return ()
        size, began = note.checkpoint.size, time.monotonic()
        try:
            lines = witness.cosign(note, proof=lambda old: self.tree.consistency(old, size))
        except Contradicted as exc:
            raise Refused("witness", size=exc.size, found=size) from None
        except Away as exc:
            logger.warning("notary.witness_away", reason=str(exc))
            # From now on, not from when it was asked: it may have taken as long as it could.
            took = timedelta(seconds=int(time.monotonic() - began))
            self._ask_from = now + took + ASKED_AGAIN
            self._alarm(now, size)
            return ()
        self._unwitnessed_since, self._is_alarmed = None, False
        return lines

    def _alarm(self, now: datetime, size: int) -> None:
        self._unwitnessed_since = self._unwitnessed_since or now
        away = now - self._unwitnessed_since
        if away < ALARMED or self._is_alarmed:
            return
        self._is_alarmed = True
        seconds = int(away.total_seconds())
        logger.error("notary.unwitnessed", seconds=seconds)
        _record(Action.NOTARY_UNWITNESSED, now, seconds=seconds, size=size)


def note_refusal(refused: Refused, *, now: datetime) -> None:
    """Say in the trail and in the log why nothing is signed any more."""
    logger.error("notary.refused", code=refused.code, size=refused.size, found=refused.found)
    size, found = _stated(refused.size), _stated(refused.found)
    try:
        _record(Action.NOTARY_REFUSE, now, code=refused.code, size=size, found=found)
    except Error as exc:  # the refusal stands all the same
        logger.error("notary.unrecorded", reason=type(exc).__name__)  # noqa: TRY400 (no frames)


def _stated(number: int) -> int:
    """Return a number as large as the trail can state: a witness may claim to have seen 10**18."""
    return min(number, canonical.LARGEST - 1)


def _record(action: Action, now: datetime, **facts: Any) -> None:
    with transaction.atomic():
        record(action, by=SYSTEM, on=None, at=now, **facts)
