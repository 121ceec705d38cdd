"""
更正: a name, number or birth date that was wrong becomes right, once a second person looked.

So do a newborn's and an emergency's, who had none. The old values are kept nowhere in clear: the
trail has the digest of what they were.
"""

from hospital.patients.correcting.asking import AlreadyAsked, NothingToCorrect, ask
from hospital.patients.correcting.comparing import Change, changes
from hospital.patients.correcting.counting import ASKS, TooManyAsked
from hospital.patients.correcting.deciding import (
    Doubtful,
    NotAsker,
    SamePerson,
    Taken,
    approve,
    refuse,
    withdraw,
)
from hospital.patients.correcting.holding import NotOpen
from hospital.patients.correcting.judging import NoReason, Numbered, TellsWho
from hospital.patients.correcting.likening import Anothers
from hospital.patients.correcting.seeing import demand_cleared, seen_by

__all__ = [
    "ASKS",
    "AlreadyAsked",
    "Anothers",
    "Change",
    "Doubtful",
    "NoReason",
    "NotAsker",
    "NotOpen",
    "NothingToCorrect",
    "Numbered",
    "SamePerson",
    "Taken",
    "TellsWho",
    "TooManyAsked",
    "approve",
    "ask",
    "changes",
    "demand_cleared",
    "refuse",
    "seen_by",
    "withdraw",
]
