"""
What shows that lines are in the log: the hashes of everything that is not copied.

Of a tree only some leaves are given. The rest is cut into subtrees as large as fit, in order; with
the given leaves in between they make the root (RFC 9162 2.1). So one form serves for a stretch of
the log and for single lines, and no place in the log is passed over unseen. Pure.
"""

from collections.abc import Iterator

from hospital.audit.merkle import Subtree, node_hash

Hashed = tuple[int, int, bytes]  # the subtree over the leaves from … to before …, and its hash


def aligned(start: int, end: int) -> Iterator[Subtree]:
    """Yield the fewest full subtrees of the log that lie side by side from `start` to `end`."""
    while start < end:
        fits = 1 << (end - start).bit_length() - 1
        width = min(start & -start, fits) if start else fits
        yield start, start + width
        start += width


class Gap:
    """Leaves side by side that are not copied: of them only the hashes of their subtrees stay."""

    def __init__(self) -> None:
        self._subtrees: list[Hashed] = []

    def add(self, place: int, hash_: bytes) -> None:
        """Add the leaf behind those that are here."""
        start, end = place, place + 1
        while self._subtrees:
            before, middle, left = self._subtrees[-1]
            width = end - start
            if middle - before != width or before % (2 * width):
                break
            self._subtrees.pop()
            start, hash_ = before, node_hash(left, hash_)
        self._subtrees.append((start, end, hash_))

    def take(self) -> list[Hashed]:
        """Return the subtrees, and begin anew."""
        taken, self._subtrees = self._subtrees, []
        return taken
