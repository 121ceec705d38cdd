"""
The Merkle tree of RFC 6962 and RFC 9162 2.1 over leaf hashes: roots and proofs.

Pure: bytes to bytes. A subtree is named by the half-open range of leaves under it. Proofs are
first lists of such ranges, since whoever stores the tree decides how to find their hashes.
"""

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

HASH_SIZE: Final = 32  # bytes
EMPTY_ROOT: Final = hashlib.sha256(b"").digest()

Subtree = tuple[int, int]  # the leaves start … end-1


class BadProof(Exception):
    """The hashes do not lead to the root."""


def leaf_hash(data: bytes) -> bytes:
    """Return the hash of one leaf (RFC 9162 2.1.1)."""
    return hashlib.sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """
    A tree that is only appended to, kept as the roots of its full subtrees, the largest first.

    That is all that is needed to grow it: one hash for each bit set in its size.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self.hashes = list(hashes)
        if len(self.hashes) != size.bit_count():
            raise ValueError("a frontier has as many hashes as its size has bits set")

    def append(self, leaf: bytes) -> None:
        """Add the hash of the next leaf."""
        size, hashes = self.size, self.hashes
        while size & 1:
            leaf = hashlib.sha256(b"\x01" + hashes.pop() + leaf).digest()
            size >>= 1
        hashes.append(leaf)
        self.size += 1

    def root(self) -> bytes:
        """Return the root of all leaves so far."""
        if not self.hashes:
            return EMPTY_ROOT
        *larger, root = self.hashes
        for left in reversed(larger):
            root = hashlib.sha256(b"\x01" + left + root).digest()
        return root

    def copy(self) -> "Frontier":
        return Frontier(self.size, self.hashes)


def root_of(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaf hashes."""
    tree = Frontier()
    for leaf in leaves:
        tree.append(leaf)
    return tree.root()


def full_subtrees(size: int) -> Iterator[Subtree]:
    """Yield what a `Frontier` of this size has the hashes of, in its order."""
    start = 0
    while start < size:
        width = 1 << ((size - start).bit_length() - 1)
        yield start, start + width
        start += width


def range_proof(first: int, end: int, *, size: int) -> list[Subtree]:
    """
    Return the subtrees whose hashes, with the leaves `first` … `end`-1, give the root.

    For one leaf it is the audit path of RFC 9162 2.1.3.1, in its order.

    :raises ValueError: not a range within the tree
    """
    if not 0 <= first < end <= size:
        raise ValueError("not a range within the tree")
    needed: list[Subtree] = []

    def note(start: int, stop: int) -> bytes:
        needed.append((start, stop))
        return b""

    _walk(0, size, first, end, leaf=lambda _: b"", beside=note)
    return needed


def verify_range(
    leaves: Sequence[bytes], *, first: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """
    Verify that these are the hashes of the leaves from `first` on, none left out.

    :raises BadProof:
    """
    if not leaves or not 0 <= first <= size - len(leaves):
        raise BadProof
    hashes = iter(proof)
    found = _walk(
        0,
        size,
        first,
        first + len(leaves),
        leaf=lambda index: leaves[index - first],
        beside=lambda _start, _end: _next(hashes),
    )
    if found != root or next(hashes, None) is not None:
        raise BadProof


def consistency_proof(old: int, new: int) -> list[Subtree]:
    """
    Return the subtrees that show the tree of `old` leaves to be a prefix of `new` (2.1.4.1).

    :raises ValueError: not 0 < old <= new
    """
    if not 0 < old <= new:
        raise ValueError("not 0 < old <= new")
    start, end, beside = 0, new, list[Subtree]()
    while old != end:
        middle = start + _split(end - start)
        if old <= middle:
            beside.append((middle, end))
            end = middle
        else:
            beside.append((start, middle))
            start = middle
    # Without a step to the right it is the old root itself, which the verifier holds.
    return ([(start, end)] if start else []) + beside[::-1]


def verify_consistency(
    old: int, new: int, *, old_root: bytes, new_root: bytes, proof: Sequence[bytes]
) -> None:
    """
    Verify that the tree of `old` leaves is a prefix of that of `new`.

    Both roots are built from the same hashes. The empty tree is a prefix of any, for which
    nothing has to be shown.

    :raises BadProof:
    """
    if not 0 <= old <= new:
        raise BadProof
    needed = consistency_proof(old, new) if old else []
    if len(needed) != len(proof):
        raise BadProof
    known = dict(zip(needed, proof, strict=True))
    if not old:
        return
    if not needed or needed[0][1] != old:  # the old tree is one subtree: we hold its hash
        known[0, old] = old_root
    if (_assembled(0, old, known), _assembled(0, new, known)) != (old_root, new_root):
        raise BadProof


def _assembled(start: int, end: int, known: dict[Subtree, bytes]) -> bytes:
    if (start, end) in known:
        return known[start, end]
    if end - start < 2:  # noqa: PLR2004 (one leaf has no halves)
        raise BadProof
    middle = start + _split(end - start)
    return node_hash(_assembled(start, middle, known), _assembled(middle, end, known))


def _walk(
    start: int,
    end: int,
    first: int,
    stop: int,
    *,
    leaf: Callable[[int], bytes],
    beside: Callable[[int, int], bytes],
) -> bytes:
    """Return the hash over start … end-1, asking `leaf` within first … stop-1, else `beside`."""
    if end - start == 1:
        return leaf(start)
    middle = start + _split(end - start)

    def half(low: int, high: int) -> bytes:
        return _walk(low, high, first, stop, leaf=leaf, beside=beside)

    if stop <= middle:
        left = half(start, middle)
        return node_hash(left, beside(middle, end))
    if first >= middle:
        right = half(middle, end)
        return node_hash(beside(start, middle), right)
    left = half(start, middle)
    return node_hash(left, half(middle, end))


def _split(width: int) -> int:
    """Return the largest power of two below `width` (2.1.1)."""
    return 1 << ((width - 1).bit_length() - 1)


def _next(hashes: Iterator[bytes]) -> bytes:
    try:
        return next(hashes)
    except StopIteration:
        raise BadProof from None
