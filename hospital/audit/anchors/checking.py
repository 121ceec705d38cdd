"""Whether the receipts that are kept are what others gave for these checkpoints."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from django.conf import settings
from django.db.models import QuerySet

from hospital.audit import reading
from hospital.audit.anchors import BadReceipt, countersigning, rfc3161
from hospital.audit.checkpoint import BadNote, Note
from hospital.audit.log import Anchor

_WITNESS: Final = "witness"
# A process of its own for each, so the last day's. Older ones were verified when they came.
LATEST_SIGNATURES: Final = 144

Verify = Callable[[str, Note], object]


class Unusable(Exception):
    """A certificate or key of the settings cannot be used; the text says which, in Chinese."""


def faults(*, after: int = 0) -> Iterator[tuple[str, int]]:
    """
    Yield what is wrong with receipts for checkpoints over more than `after` events.

    Yields a sentence in Chinese, and the id of the anchor. Only what the settings have a
    certificate or key for is verified.

    :raises Unusable:
    """
    rows = Anchor.objects.filter(size__gt=after).order_by("pk")
    if settings.TIMESTAMP_CA:
        try:
            roots = rfc3161.certificates(Path(settings.TIMESTAMP_CA))
        except (OSError, ValueError):
            raise Unusable("TIMESTAMP_CA 不是可读的证书，时间戳未核验") from None
        stamps = rows.filter(sink=rfc3161.NAME)
        yield from _faults(stamps, "时间戳", lambda receipt, note: _stamped(receipt, note, roots))
    if settings.COUNTERSIGN_PUBLIC_KEY:
        key = Path(settings.COUNTERSIGN_PUBLIC_KEY)
        if not key.is_file():
            raise Unusable("COUNTERSIGN_PUBLIC_KEY 不是可读的公钥，SM2 副署未核验")
        signatures = rows.filter(sink=countersigning.NAME).order_by("-pk")[:LATEST_SIGNATURES]
        yield from _faults(
            signatures,
            "SM2 副署",
            lambda receipt, note: countersigning.verify(receipt, note, key),
        )


def unverified(*, after: int = 0) -> dict[str, int]:
    """Return of which kind how many receipts there are that `faults` has nothing to verify with."""
    lacking = {
        rfc3161.NAME: ("时间戳", settings.TIMESTAMP_CA),
        countersigning.NAME: ("副署", settings.COUNTERSIGN_PUBLIC_KEY),
    }
    rows = Anchor.objects.filter(size__gt=after)
    counted = {
        what: rows.filter(sink=sink).count() for sink, (what, known) in lacking.items() if not known
    }
    return {what: count for what, count in counted.items() if count}


def _faults(rows: QuerySet[Anchor], what: str, verify: Verify) -> Iterator[tuple[str, int]]:
    # Not the time, which may be infinite.
    for row in rows.only("size", "receipt").iterator(chunk_size=reading.CHUNK):
        note = _note(row.size)
        said = f"{what}（{row.size} 条）"
        if note is None:
            yield f"{said}没有对应的检查点", row.pk
            continue
        try:
            verify(row.receipt, note)
        except BadReceipt:
            yield f"{said}不是对该检查点出具的，或签名无效", row.pk


def _note(size: int) -> Note | None:
    """Return the checkpoint's note as it is stored."""
    checkpoint = next(reading.checkpoints(after=size - 1, up_to=size), None)
    try:
        return Note.parse(checkpoint.note) if checkpoint else None
    except BadNote:
        return None


def _stamped(receipt: str, note: Note, roots: rfc3161.Certificates) -> None:
    """
    Verify a time-stamp over a note, or over it with what a witness signed later.

    :raises BadReceipt:
    """
    for stage in _stages(note):
        try:
            rfc3161.verify(receipt, stage, roots)
        except BadReceipt:
            continue
        return
    raise BadReceipt("of no stage of the note")


def _stages(note: Note) -> Iterator[Note]:
    """Yield the note with all that a witness signed later, then with each alone, as one may lie."""
    size = note.checkpoint.size
    rows = Anchor.objects.filter(size=size, sink=_WITNESS).order_by("pk")
    late = [text.splitlines(keepends=True) for text in rows.values_list("receipt", flat=True)]
    yield note.with_lines(line for lines in late for line in lines)
    for lines in late:
        yield note.with_lines(lines)
