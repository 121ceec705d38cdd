"""What is typed about somebody and outlives them, in the trail or on paper, says not who it is."""

from uuid import UUID

from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.patients import plausible
from hospital.patients.correcting import TellsWho
from hospital.patients.models import Patient


def demand(text: str, subject: UUID) -> None:
    """:raises TellsWho: it has the name of this patient in it, or what may be a number"""
    if plausible.tells_who(text, _name(subject)):
        raise TellsWho


def _name(subject: UUID) -> str:
    known = Patient.objects.filter(pk=subject).first()
    try:
        return (known.real_name or "") if known else ""
    except (SubjectForgotten, Unopenable):
        return ""
