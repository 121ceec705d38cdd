"""What a notary that starts again asks the database about the time before it: when, never what."""

import hmac
from datetime import datetime
from typing import Final

from hospital.audit import reading
from hospital.audit.actions import Action
from hospital.audit.checkpoint import BadNote, Note
from hospital.audit.cosigned import Late
from hospital.audit.log import Checkpoint
from hospital.audit.recording import mac
from hospital.audit.times import micros
from hospital.audit.witnessing import Witness

_ALARMS: Final = (
    "SELECT payload, mac FROM audit_event WHERE action = %s AND at_us >= %s AND at_us <= %s"
    " ORDER BY at_us DESC LIMIT %s"
)
LOOKED_AT: Final = 2_000  # checkpoints: half an hour's at least, and nobody is late before that


def anchored_at(sink: str, *, now: datetime) -> datetime:
    """Return when a note last went there; with none, since when one could have."""
    last = reading.anchored_at(sink, until=now)
    if last:
        return last
    first = next(reading.checkpoints(after=0, up_to=2**62), None)
    return min(first.created_at or now, now) if first else now


def unwitnessed_since(witness: Witness, *, now: datetime) -> datetime | None:
    """Return when the oldest checkpoint was made that a witness should have signed by now."""
    since = None
    newest = Checkpoint.objects.order_by("-size").values_list("size", flat=True)[:LOOKED_AT]
    sizes = list(newest)
    if not sizes:
        return None
    late = Late(since=sizes[-1])
    for row in reversed(list(reading.checkpoints(after=sizes[-1] - 1, up_to=sizes[0]))):
        if _is_witnessed(row, witness, late):
            break
        since = row.created_at or since
    return min(since, now) if since else None


def is_alarmed(*, since: datetime | None, now: datetime) -> bool:
    """Return whether it is on record already that nobody has witnessed since then."""
    if since is None:
        return False
    given = [Action.NOTARY_UNWITNESSED.value.tag, micros(since), micros(now)]
    alarms = reading.rows(_ALARMS, [*given, LOOKED_AT])
    # What somebody forged keeps no alarm from being raised.
    return any(
        hmac.compare_digest(mac(reading.encoded(payload)), reading.octets(code))
        for payload, code in alarms
    )


def _is_witnessed(row: reading.Signed, witness: Witness, late: Late) -> bool:
    try:
        return any(map(witness.has_signed, late.with_each(Note.parse(row.note))))
    except BadNote:
        return False
