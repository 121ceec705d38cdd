"""What there is to forward: the leaves a checkpoint covers, each with what is left of its event."""

import hmac
import re
from bisect import bisect_right
from itertools import takewhile
from typing import Final

from django.db.models import Max

from hospital.audit import reading
from hospital.audit.actions import BY_TAG, Severity
from hospital.audit.forwarding.syslog import Entry
from hospital.audit.kept import Pruned, Redacted
from hospital.audit.log import Checkpoint
from hospital.audit.merkle import leaf_hash
from hospital.audit.reading import Sealed
from hospital.audit.sequencing import tombstone

PRUNED: Final = "pruned"
REDACTED: Final = "redacted"
MISSING: Final = "missing"
ALTERED: Final = "altered"

# No canonical line holds one: who reads a file line by line would take the rest for a message.
_CONTROL: Final = re.compile("[\\x00-\\x1f]")


class Damaged(Exception):
    """
    The log is not what it was, and nothing is sent as if it were.

    :param code: gap (leaf `index` is missing), or shrunk (`acknowledged` were read, `found` exist)
    """

    def __init__(self, code: str, **numbers: int) -> None:
        super().__init__(code)
        self.code, self.numbers = code, numbers


def signed() -> int:
    """
    Return how many leaves there are that a checkpoint covers.

    A row that claims more than there is does not keep back what there is.
    """
    covered = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
    return min(covered, reading.last() + 1)


def entries(start: int, end: int) -> list[Entry]:
    """
    Return the leaves from `start` to before `end`, in order; fewer if one is missing among them.

    :param end: at most `signed()`
    :raises Damaged: the first is missing
    """
    found = (leaf for chunk in reading.sealed(start=start, last=end - 1) for leaf in chunk)
    leaves = [leaf for index, leaf in takewhile(_is_in_place, enumerate(found, start))]
    if not leaves:
        raise Damaged("gap", index=start)
    end = start + len(leaves)
    sizes = list(
        Checkpoint.objects.filter(size__gt=start)
        .order_by("size")
        .values_list("size", flat=True)[: end - start]  # each covers at least one leaf
    )
    pruned = Pruned.objects.filter(start__lt=end, end__gt=start)
    gone = {index for one in pruned for index in range(max(start, one.start), min(end, one.end))}
    redacted = Redacted.objects.filter(index__gte=start, index__lt=end)
    covered = set(redacted.values_list("index", flat=True))
    return [
        entry(
            leaf,
            sizes[bisect_right(sizes, leaf.place)],
            is_pruned=leaf.place in gone,
            is_redacted=leaf.place in covered,
        )
        for leaf in leaves
    ]


def entry(leaf: Sealed, size: int, *, is_pruned: bool, is_redacted: bool) -> Entry:
    """Return what is sent of a leaf. Where its text is not what was sealed, it says why."""
    line = leaf.line
    if line.id is None:
        sealed = tombstone(leaf.event_id)
        if _is_of(leaf, sealed):  # removed before it was sealed: this is what was sealed
            return Entry(leaf.place, leaf.hash, size, text=sealed.decode(), severity=Severity.ALERT)
        if is_pruned:
            return Entry(leaf.place, leaf.hash, size, mark=PRUNED)
        return Entry(leaf.place, leaf.hash, size, mark=MISSING, severity=Severity.ALERT)
    stored = reading.encoded(line.payload)
    text: str | None = stored.decode(errors="replace")
    mark = ""
    if not _is_of(leaf, stored):
        mark = REDACTED if is_redacted else ALTERED
    if _CONTROL.search(text or ""):
        text, mark = None, ALTERED
    known = BY_TAG.get(line.action)
    severity = known.value.severity if known else Severity.NOTICE
    return Entry(
        leaf.place,
        leaf.hash,
        size,
        at_us=line.at_us if isinstance(line.at_us, int) else None,
        action=_word(line.action),
        outcome=_word(line.outcome),
        severity=Severity.ALERT if mark == ALTERED else severity,
        text=text,
        mark=mark,
    )


def _is_in_place(numbered: tuple[int, Sealed]) -> bool:
    index, leaf = numbered
    return leaf.place == index


def _is_of(leaf: Sealed, sealed: bytes) -> bool:
    return hmac.compare_digest(leaf.hash, leaf_hash(sealed))


def _word(column: object) -> str:
    """Return what a generated column shows: nothing of a redacted event, anything of a forged."""
    return column if isinstance(column, str) else ""
