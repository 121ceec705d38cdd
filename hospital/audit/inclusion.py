"""That one event is in the log as it was sealed, shown so that anybody can check it."""

import base64
import enum
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from hospital.audit import merkle, standing, trail
from hospital.audit.checkpoint import BadNote, Note
from hospital.audit.kept import Redacted
from hospital.audit.log import Anchor, Checkpoint, Leaf
from hospital.audit.models import Event
from hospital.audit.reading import encoded
from hospital.audit.tree import Incomplete, Tree

_HEADER: Final = "c2sp.org/tlog-proof@v1"


class State(enum.Enum):
    """How far the log vouches for an event."""

    PENDING = "待签名"
    UNSETTLED = "签名未核验"  # there is no key to verify it with
    NOTARISED = "已签名"
    WITNESSED = "已见证"
    BROKEN = "核验不通过"


@dataclass(frozen=True)
class Proof:
    """
    The audit path of one leaf to a signed checkpoint (RFC 9162 2.1.3).

    :param index: of the leaf
    :param hashes: from the leaf upwards
    """

    index: int
    leaf: bytes
    hashes: tuple[bytes, ...]
    note: Note

    def __str__(self) -> str:
        """Return it as text: https://c2sp.org/tlog-proof."""
        path = "".join(f"{base64.b64encode(one).decode()}\n" for one in self.hashes)
        return f"{_HEADER}\nindex {self.index}\n{path}\n{self.note}"

    def verify(self) -> None:
        """:raises BadProof: the path does not lead to the checkpoint's root"""
        checkpoint = self.note.checkpoint
        merkle.verify_range(
            [self.leaf],
            first=self.index,
            size=checkpoint.size,
            proof=self.hashes,
            root=checkpoint.root,
        )


@dataclass(frozen=True)
class Inclusion:
    """
    Where an event is in the log.

    :param faults: what is not as it should be, each a Chinese sentence
    """

    state: State
    index: int | None = None
    leaf: bytes = b""
    is_redacted: bool = False
    proof: Proof | None = None
    faults: tuple[str, ...] = ()


def inclusion(event: Event) -> Inclusion:
    """
    Return how far the log vouches for an event, proved anew.

    :raises NotConfigured: `TRAIL_VERIFIERS` holds what is no public key
    """
    leaf = Leaf.objects.filter(event_id=event.pk).first()
    if leaf is None:
        return Inclusion(State.PENDING)
    hash_, is_redacted = bytes(leaf.hash), Redacted.objects.filter(index=leaf.index).exists()
    faults = []
    if not is_redacted and merkle.leaf_hash(encoded(event.payload)) != hash_:
        faults.append("内容与封存时不同")
    row = _checkpoint(leaf.index)
    proof = None
    state = State.PENDING
    if row:
        state, proof = _proved(row, leaf.index, hash_, faults)
    if faults:
        state = State.BROKEN
    return Inclusion(state, leaf.index, hash_, is_redacted, proof, tuple(faults))


def states(events: Iterable[Event]) -> dict[int, tuple[int, State]]:
    """
    Return event id → (index of the leaf, how far the log vouches), as the tables say it.

    For a list; `inclusion` proves it.

    :raises NotConfigured: `TRAIL_VERIFIERS` holds what is no public key
    """
    size, witnessed = standing.reached()
    leaves = Leaf.objects.filter(event_id__in=[event.pk for event in events])
    found = {}
    for event_id, index in leaves.values_list("event_id", "index"):
        if index < witnessed:
            found[event_id] = index, State.WITNESSED
        else:
            found[event_id] = index, State.NOTARISED if index < size else State.PENDING
    return found


def _checkpoint(index: int) -> Checkpoint | None:
    """Return the first checkpoint over a leaf, or the last cosigned one if that is not."""
    rows = Checkpoint.objects.filter(size__gt=index).order_by("size")
    first = rows.first()
    if first is None or _is_witnessed(_note(first)):
        return first
    witnessed = standing.witnessed([one for one in trail.verifiers() if one.is_witness])
    return rows.filter(size=witnessed).first() or first


def _proved(
    row: Checkpoint, index: int, leaf: bytes, faults: list[str]
) -> tuple[State, Proof | None]:
    note = _note(row)
    if note is None:
        faults.append(f"检查点（{row.size} 条）不是签名文本")
        return State.BROKEN, None
    tree = Tree()
    try:
        path = merkle.range_proof(index, index + 1, size=row.size)
        proof = Proof(index, leaf, tuple(tree.subtree(one) for one in path), note)
        proof.verify()
    except (Incomplete, merkle.BadProof, ValueError):
        faults.append(f"封存的散列与检查点（{row.size} 条）的根不符")
        return State.BROKEN, None
    logs = [one for one in trail.verifiers() if not one.is_witness]
    if not logs:
        return State.UNSETTLED, proof
    if not any(one.name == note.checkpoint.origin and note.is_signed_by(one) for one in logs):
        faults.append(f"检查点（{row.size} 条）没有有效签名")
    return State.WITNESSED if _is_witnessed(note) else State.NOTARISED, proof


def _note(row: Checkpoint) -> Note | None:
    """Return the checkpoint's note, with what a witness added later; None if it is none."""
    late = Anchor.objects.filter(size=row.size, sink=standing.WITNESS)
    lines = [line for one in late for line in one.receipt.splitlines(keepends=True)]
    try:
        note = Note.parse(row.note)
        note.checkpoint  # noqa: B018 (raises)
        return Note.parse(str(note.with_lines(lines)))
    except BadNote:
        return None


def _is_witnessed(note: Note | None) -> bool:
    witnesses = (one for one in trail.verifiers() if one.is_witness)
    return note is not None and any(map(note.is_signed_by, witnesses))
