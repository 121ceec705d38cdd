"""
A copy on its way out, in pieces, for as long as whoever fetches it takes to read.

It counts as fetched before its first byte, so that what is left of it in the database is kept by a
lease: it goes when it was sent, when the line breaks, or minutes after its process was killed.
"""

import hashlib
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Final

import structlog
from django.db import Error

from hospital.audit.exporting import storing
from hospital.audit.exports import Export
from hospital.errors import Refusal

# So long a reader may take over a piece. Renewed when half of it is over.
LEASE: Final = timedelta(minutes=5)

logger = structlog.get_logger(__name__)


class Lost(Refusal):
    code = "lost"
    message = "导出的内容不在了，或被换过：请重新申请；没有恢复过备份的，请告知系统管理员"


def examined(export: Export) -> list[bytes]:
    """
    Return the digest of each piece of a copy, which together are the one that was made.

    :raises Lost:
    """
    whole, each = hashlib.sha256(), list[bytes]()
    for content in storing.parts(export):
        whole.update(content)
        each.append(hashlib.sha256(content).digest())
    if whole.hexdigest() != export.sha256:
        raise Lost
    return each


class Sending:
    """
    The pieces of a copy, for a response, which closes it.

    :ivar size: bytes in all
    """

    def __init__(
        self, export: Export, pieces: list[bytes], *, clock: Callable[[], datetime]
    ) -> None:
        """:param pieces: their digests, as `examined` found them"""
        self.size = export.size
        self._export, self._pieces, self._clock = export, pieces, clock
        self._renewed = clock()

    def __iter__(self) -> Iterator[bytes]:
        """
        Yield them.

        :raises Lost: one is not there any more, or is another than before; the line is to break
        """
        stored = storing.parts(self._export)
        for digest in self._pieces:
            self._renew()
            content = next(stored, b"")
            if hashlib.sha256(content).digest() != digest:
                logger.error("export.swapped", export=str(self._export.pk))
                raise Lost
            yield content

    def close(self) -> None:
        """Remove what was sent, or will not be any more."""
        try:
            storing.remove(self._export)
        except Error as exc:  # the sweep does, when the lease has run out
            logger.warning("export.not_removed", export=str(self._export.pk), exc_info=exc)

    def _renew(self) -> None:
        now = self._clock()
        if now - self._renewed >= LEASE / 2:
            Export.objects.filter(pk=self._export.pk).update(lease_until=now + LEASE)
            self._renewed = now
