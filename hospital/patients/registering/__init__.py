"""
人工建档: who does not, cannot or must not use the face becomes a patient at the desk.

What somebody enters is on record as a registration. Where the policy wants a second look, a
colleague enters the number once more from the original, and only then is there a patient.
"""

from hospital.patients.registering.attending import Unknown, attend_known
from hospital.patients.registering.deciding import (
    DoesNotRepeat,
    NoNote,
    OwnEntry,
    TellsWho,
    confirm,
    send_back,
)
from hospital.patients.registering.entering import Used, enter
from hospital.patients.registering.entry import Cause, Entry, Evidence
from hospital.patients.registering.holding import NotWaiting
from hospital.patients.registering.judging import (
    GuardianNeeded,
    Implausible,
    NoCampus,
    Unsuited,
    judge,
    judge_cause,
    needs_guardian,
)
from hospital.patients.registering.looking import look, seen_by
from hospital.patients.registering.looking_up import look_up
from hospital.patients.registering.onboarding import Alike, Known
from hospital.patients.registering.repeating import repeated, repeats_birth
from hospital.patients.registering.suitable import SUITABLE

__all__ = [
    "SUITABLE",
    "Alike",
    "Cause",
    "DoesNotRepeat",
    "Entry",
    "Evidence",
    "GuardianNeeded",
    "Implausible",
    "Known",
    "NoCampus",
    "NoNote",
    "NotWaiting",
    "OwnEntry",
    "TellsWho",
    "Unknown",
    "Unsuited",
    "Used",
    "attend_known",
    "confirm",
    "enter",
    "judge",
    "judge_cause",
    "look",
    "look_up",
    "needs_guardian",
    "repeated",
    "repeats_birth",
    "seen_by",
    "send_back",
]
