"""The log's tree as it is stored: leaves in rows, and above them tiles of 256 hashes."""

from collections.abc import Iterable
from typing import Final, Self

from django.db import connection
from django.db.models import Max

from hospital.audit.log import Leaf, Tile
from hospital.audit.merkle import (
    HASH_SIZE,
    Frontier,
    Subtree,
    consistency_proof,
    full_subtrees,
    root_of,
)
from hospital.audit.reading import octets

WIDTH: Final = 256  # hashes in a tile
_COLUMNS: Final = 'audit_leaf ("index", event_id, hash)'
_BITS: Final = 8  # two to the … is the width
_PAGE: Final = 5_000  # places looked at together


class Incomplete(Exception):
    """A leaf within the log is not there."""


class Tree:
    """
    What is stored, and in memory what growing it takes.

    After a transaction that was rolled back it is of no use: `load` another.
    """

    def __init__(self) -> None:
        self.frontier = Frontier()
        # (level, place) → root over 256**level leaves, as far as somebody asked for it.
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._within = 0  # how many leaves there are at least: what tiles can be full

    @classmethod
    def load(cls, *, signed: int = 0) -> Self:
        """
        Return the tree over all leaves that are stored.

        :param signed: how many there are at least, if nothing was removed
        :raises Incomplete:
        """
        tree = cls()
        size = tree.stored(after=signed)
        tree._within = size
        hashes = [tree._full(start, end) for start, end in full_subtrees(size)]
        tree.frontier = Frontier(size, hashes)
        return tree

    @property
    def size(self) -> int:
        return self.frontier.size

    def stored(self, *, after: int) -> int:
        """
        Return how many leaves there are, one behind the other: what lies apart is no log's.

        :param after: how many need not be counted; if the last of them is missing, the answer is
            where the leaves before it end
        """
        if after and not Leaf.objects.filter(index=after - 1).exists():
            last = Leaf.objects.filter(index__lt=after).aggregate(last=Max("index"))["last"]
            return 0 if last is None else int(last) + 1
        size = after
        while True:
            later = Leaf.objects.filter(index__gte=size).order_by("index")
            page = list(later.values_list("index", flat=True)[:_PAGE])
            for index in page:
                if index != size:
                    return size
                size += 1
            if len(page) < _PAGE:
                return size

    def append(self, leaves: Iterable[tuple[int, bytes]]) -> None:
        """
        Add leaves, and the tiles that are full with them, in the caller's transaction.

        :param leaves: event ids, each with the hash of its leaf
        :raises IntegrityError: there is a row already where one of these belongs
        """
        before, rows = self.size, []
        for event_id, hash_ in leaves:
            rows.append((self.size, event_id, hash_))
            self.frontier.append(hash_)
        _insert(rows)
        level, bits = 1, 2 * _BITS
        while full := range(before >> bits, self.size >> bits):
            Tile.objects.bulk_create(
                Tile(level=level, n=n, hashes=b"".join(self._tile(level, n))) for n in full
            )
            level, bits = level + 1, bits + _BITS

    def root_at(self, size: int) -> bytes:
        """
        Return the root over the first `size` leaves, as they are stored now.

        :raises Incomplete:
        """
        return self.subtree((0, size))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """
        Return the hashes that show the first `old` leaves to be a prefix of the first `new`.

        :raises Incomplete:
        """
        return [self.subtree(one) for one in consistency_proof(old, new)] if old else []

    def subtree(self, subtree: Subtree) -> bytes:
        """
        Return the hash over a subtree of the log, one of a proof's.

        :raises Incomplete:
        """
        start, end = subtree
        full = [(start + low, start + high) for low, high in full_subtrees(end - start)]
        self._within = max(self._within, end, self.size)
        return Frontier(end - start, [self._full(*one) for one in full]).root()

    def _full(self, start: int, end: int) -> bytes:
        level = ((end - start).bit_length() - 1) // _BITS
        if not level:
            return root_of(_leaves(start, end))
        width = 1 << _BITS * level
        return root_of(self._node(level, place) for place in range(start // width, end // width))

    def _node(self, level: int, place: int) -> bytes:
        if (level, place) not in self._nodes:
            n = place // WIDTH
            if hashes := self._kept(level, n):
                self._nodes |= {(level, n * WIDTH + at): one for at, one in enumerate(hashes)}
            else:
                self._nodes[level, place] = root_of(self._tile(level - 1, place))
        return self._nodes[level, place]

    def _kept(self, level: int, n: int) -> list[bytes]:
        """Return the hashes of a tile; none if it cannot be full yet, whatever is stored."""
        if (n + 1) << _BITS * (level + 1) > self._within:
            return []
        row = Tile.objects.filter(level=level, n=n).values_list("hashes", flat=True).first()
        kept = octets(row)
        if len(kept) != WIDTH * HASH_SIZE:
            return []
        return [kept[at : at + HASH_SIZE] for at in range(0, len(kept), HASH_SIZE)]

    def _tile(self, level: int, n: int) -> list[bytes]:
        first = n * WIDTH
        if not level:
            return _leaves(first, first + WIDTH)
        return [self._node(level, place) for place in range(first, first + WIDTH)]


def _insert(rows: list[tuple[int, int, bytes]]) -> None:
    """Insert leaves as fast as the database can: a backlog may be a day's."""
    # COPY is the driver's own: its errors would not be Django's.
    with connection.cursor() as cursor, connection.wrap_database_errors:
        if connection.vendor == "postgresql":
            with cursor.copy(f"COPY {_COLUMNS} FROM STDIN") as copy:
                for row in rows:
                    copy.write_row(row)
        else:
            cursor.executemany(f"INSERT INTO {_COLUMNS} VALUES (%s, %s, %s)", rows)  # noqa: S608


def _leaves(start: int, end: int) -> list[bytes]:
    rows = Leaf.objects.filter(index__gte=start, index__lt=end).order_by("index")
    hashes = [octets(one) for one in rows.values_list("hash", flat=True)]
    if len(hashes) != end - start:
        raise Incomplete
    return hashes
