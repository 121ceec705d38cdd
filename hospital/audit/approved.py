"""
What the trail itself says of a proposal: that one person asked for it, and another allowed it.

The proposal's row is anybody's word who may write it. These are events: genuine, sealed, and
before what was done.
"""

from typing import Any, Final

from hospital.audit import lines, reading, stated
from hospital.audit.actions import Action
from hospital.audit.merkle import leaf_hash
from hospital.audit.reading import Line, Sealed

_ASK: Final = Action.PROPOSAL_ASK.value.tag
_DECIDE: Final = Action.PROPOSAL_DECIDE.value.tag
_PROPOSAL: Final = "audit.proposal"  # what both are about


def by_two(proposal: str, kind: str, facts: dict[str, Any], *, before: int | None) -> bool:
    """
    Return whether two people wanted exactly this, and nobody took it back.

    :param proposal: its id, with dashes
    :param kind: of the act
    :param facts: what was to be done
    :param before: the place of the event that says it was done; None if it has none yet
    """
    asked = {"kind": kind, **facts}
    decided = {"kind": kind, "decision": "approved"}
    askers: set[str] = set()
    is_allowed = False
    for leaf in reading.about(_PROPOSAL, proposal):
        line = leaf.line
        if (before is not None and leaf.place >= before) or not _is_genuine(leaf):
            continue
        if line.action == _ASK and _states(line, asked):
            askers.add(line.actor_id)
        elif line.action == _DECIDE:
            if stated.facts(line.payload).get("decision") not in {"approved", "done"}:
                return False  # refused, withdrawn, expired, or tried in vain
            is_allowed |= _states(line, decided) and bool(askers - {line.actor_id})
    return is_allowed


def _is_genuine(leaf: Sealed) -> bool:
    is_sealed_so = leaf.hash == leaf_hash(reading.encoded(leaf.line.payload))
    return is_sealed_so and not any(lines.faults(leaf.line))


def _states(line: Line, facts: dict[str, Any]) -> bool:
    return (
        (line.outcome, line.actor_type) == ("success", "staff")
        and bool(line.actor_id)
        and stated.facts(line.payload) == facts
    )
