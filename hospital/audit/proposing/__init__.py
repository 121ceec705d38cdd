"""
Acts that take two people: one asks, another decides, the log signs both, and then it is done.

Whoever adds a kind of act registers it here, with the right to ask and the right to decide; no
role may hold both. Each step is one compare-and-set and one event, so two answers at the same
moment are one answer.
"""

from hospital.audit.proposing.asking import AlreadyAsked, NoReason, NotAsker, ask, withdraw
from hospital.audit.proposing.carrying_out import carry_out, carry_out_approved, why_failed
from hospital.audit.proposing.deciding import SamePerson, decide
from hospital.audit.proposing.expiring import expire
from hospital.audit.proposing.kind import Kind, kind_of, kinds, kinds_for, register
from hospital.audit.proposing.outstanding import Expired, NotOpen, left, to_decide, undone, waiting
from hospital.audit.proposing.people import NotAllowed, OwnAct, Person
from hospital.audit.proposing.standing import (
    AskerGone,
    NotGenuine,
    NotSealed,
    demand_asker,
    demand_standing,
)

__all__ = [
    "AlreadyAsked",
    "AskerGone",
    "Expired",
    "Kind",
    "NoReason",
    "NotAllowed",
    "NotAsker",
    "NotGenuine",
    "NotOpen",
    "NotSealed",
    "OwnAct",
    "Person",
    "SamePerson",
    "ask",
    "carry_out",
    "carry_out_approved",
    "decide",
    "demand_asker",
    "demand_standing",
    "expire",
    "kind_of",
    "kinds",
    "kinds_for",
    "left",
    "register",
    "to_decide",
    "undone",
    "waiting",
    "why_failed",
    "withdraw",
]
