"""What a kind of act is, which there are, and who may ask for them or decide."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from hospital import roles
from hospital.audit.proposals import Proposal
from hospital.roles import GRANTS, May


def _nothing(_facts: Mapping[str, Any]) -> None:
    pass


def _nobody(_facts: Mapping[str, Any]) -> frozenset[str]:
    return frozenset()


def _always() -> bool:
    return True


@dataclass(frozen=True)
class Kind:
    """
    An act that takes two people.

    :param facts: the names of what a request states, all of them required
    :param check: whether it may be asked for; raises the Refusal that says why not
    :param prepare: what is slow and changes nothing, before the transaction; may refuse as well
    :param carry_out: does it, in a transaction; may refuse
    :param concerned: ids of those who may neither ask for it nor approve it: it is about them
    :param is_ours: whether the database's account in use may do it
    :param told: what a request states, in words, given the names of staff by id; where none is
        given each fact by its name
    :param is_final: what was done stays done; people are told before they approve it
    :param command: what a person runs to do it; then nobody else ever does
    """

    tag: str
    label: str
    asks: May
    decides: May
    facts: frozenset[str]
    check: Callable[[Mapping[str, Any], datetime], None]
    carry_out: Callable[[Proposal, datetime], None]
    prepare: Callable[[Mapping[str, Any]], None] = _nothing
    concerned: Callable[[Mapping[str, Any]], frozenset[str]] = _nobody
    is_ours: Callable[[], bool] = _always
    told: Callable[[Mapping[str, Any], Mapping[str, str]], str] | None = None
    is_final: bool = True
    command: str = ""


KINDS: Final[dict[str, Kind]] = {}


def register(kind: Kind) -> None:
    """
    Make this kind known.

    :raises ValueError: somebody could ask and decide, or it is known already
    """
    if kind.asks == kind.decides or any(
        {kind.asks, kind.decides} <= held for held in GRANTS.values()
    ):
        raise ValueError(f"{kind.tag}: one role could ask and decide")
    if KINDS.setdefault(kind.tag, kind) != kind:
        raise ValueError(f"{kind.tag} is registered already")


def kinds() -> list[Kind]:
    return list(KINDS.values())


def kinds_for(person: object) -> list[Kind]:
    """Return those this person may ask for, or decide on."""
    return [
        kind
        for kind in KINDS.values()
        if roles.may(person, kind.asks) or roles.may(person, kind.decides)
    ]


def kind_of(proposal: Proposal) -> Kind:
    """:raises KeyError: this version knows no such act"""
    return KINDS[proposal.kind]
