"""
Finished copies in the database: a worker puts them there, any process of the web takes them out.

In parts, of which one is in memory at a time. Those of an attempt that is not its export's last
count for nothing, so a worker that lost its lease half-way has stored nothing.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Final

from django.db import connection, transaction
from django.db.models import Exists, OuterRef, Q, QuerySet

from hospital import statements
from hospital.audit.exports import Export, ExportPart

PART: Final = 1 << 20  # bytes
_AT_ONCE: Final = 256  # parts removed in one statement

State = Export.State
# Whose parts are kept: of what is being made, waits to be fetched, or is on its way out.
_KEPT: Final = (State.RUNNING, State.READY)


def put(path: Path, *, export: Export, renew: Callable[[], None]) -> str:
    """
    Store a file as this attempt's; return the SHA-256 of what was stored.

    :param renew: make sure that the attempt still counts, and raise if it does not: the part it is
        asked for is not stored then
    :raises OSError: the file cannot be read
    """
    digest = hashlib.sha256()
    with path.open("rb") as file:
        for place, content in enumerate(iter(partial(file.read, PART), b"")):
            with transaction.atomic():
                renew()
                # Not by save(): a connection remembers the last hundred statements, values and all.
                statements.insert(
                    ExportPart(
                        export=export.pk, attempt=export.attempts, place=place, content=content
                    )
                )
            digest.update(content)
    return digest.hexdigest()


def parts(export: Export) -> Iterator[bytes]:
    """
    Yield what is stored of the last attempt, in order, and hold no connection in between.

    Whoever sends it waits for the network, and a pool of connections is everybody's.
    """
    place = 0
    while (content := _part(export, place)) is not None:
        yield content
        place += 1


def remove(export: Export) -> None:
    """Remove the parts of its last attempt."""
    _remove(_of(export))


def remove_left(*, at: datetime) -> None:
    """Remove parts no export answers to: of lost leases, ended attempts, broken downloads."""
    sent = Q(state=State.TAKEN, lease_until__gt=at)
    whose = Export.objects.filter(
        Q(state__in=_KEPT) | sent, pk=OuterRef("export"), attempts=OuterRef("attempt")
    )
    _remove(ExportPart.objects.filter(~Exists(whose)))


def _remove(parts_: QuerySet[ExportPart]) -> None:
    """Remove some at a time: of however many, what was removed stays so if this is stopped."""
    while pks := list(parts_.values_list("pk", flat=True)[:_AT_ONCE]):
        ExportPart.objects.filter(pk__in=pks).delete()


def _of(export: Export) -> QuerySet[ExportPart]:
    return ExportPart.objects.filter(export=export.pk, attempt=export.attempts)


def _part(export: Export, place: int) -> bytes | None:
    content = _of(export).filter(place=place).values_list("content", flat=True).first()
    if not connection.in_atomic_block:
        connection.close()
    return None if content is None else bytes(content)
