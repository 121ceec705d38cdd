"""What is entered of somebody at the desk."""

from dataclasses import dataclass
from uuid import UUID

from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Registration

Cause = Registration.Cause
Evidence = Identification.Evidence


@dataclass(frozen=True)
class Entry:
    """
    What one submission says.

    :param token: names it: sent twice, it is one
    """

    token: UUID
    person: Person
    cause: Cause
    evidence: Evidence
    guardian_agrees: bool = False
