"""What a notary that starts again asks the database about the time before it: when, never what."""

from datetime import datetime
from typing import Final

from hospital.audit import reading
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note
from hospital.audit.log import Anchor, Checkpoint
from hospital.audit.models import Event
from hospital.audit.recording import EPOCH
from hospital.audit.witnessing import Witness

LOOKED_AT: Final = 2_000  # checkpoints: half an hour's at least, and nobody is late before that


def anchored_at(sink: str, *, now: datetime) -> datetime:
    """Return when a note last went there; with none, since when one could have."""
    last = Anchor.objects.filter(sink=sink, at__range=(EPOCH, now)).order_by("-at").first()
    if last:
        return last.at
    first = next(reading.checkpoints(after=0, up_to=2**62), None)
    return min(first.created_at or now, now) if first else now


def unwitnessed_since(witness: Witness, *, now: datetime) -> datetime | None:
    """Return when the oldest checkpoint was made that a witness should have signed by now."""
    since = None
    newest = Checkpoint.objects.order_by("-size").values_list("size", flat=True)[:LOOKED_AT]
    sizes = list(newest)
    if not sizes:
        return None
    late = dict(
        Anchor.objects.filter(sink="witness", size__gte=sizes[-1]).values_list("size", "receipt")
    )
    for row in reversed(list(reading.checkpoints(after=sizes[-1] - 1, up_to=sizes[0]))):
        if _is_witnessed(row, witness, late.get(row.size, "")):
            break
        since = row.created_at or since
    return min(since, now) if since else None


def is_alarmed(*, since: datetime | None) -> bool:
    """Return whether it is on record already that nobody has witnessed since then."""
    if since is None:
        return False
    tag = Action.NOTARY_UNWITNESSED.value.tag
    from_then = (since - EPOCH).total_seconds() * 1_000_000
    return Event.objects.filter(action=tag, at_us__gte=int(from_then)).exists()


def _is_witnessed(row: reading.Signed, witness: Witness, late: object) -> bool:
    lines = reading.encoded(late).decode(errors="replace").splitlines(keepends=True)
    try:
        note = Note.parse(row.note).with_lines(lines)
    except BadNote:
        return False
    return witness.has_signed(note)
