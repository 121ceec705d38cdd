"""Where a patient was known and identified: a campus is told of itself alone, 个保负责人 of all."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings

from faceauth.models import FaceSession
from hospital.accounts.models import Staff
from hospital.patients.models import Attendance, Identification, Patient
from hospital.roles import Role

SHOWN: Final = 20  # identifications, newest first


@dataclass(frozen=True)
class Identified:
    """:param who: with their 工号; "" for a terminal"""

    at: datetime
    method: str
    evidence: str
    who: str


@dataclass(frozen=True)
class History:
    """
    What may be told to one reader.

    :param is_of_here: the record was made where its reader may know when
    :param is_elsewhere: other campuses know the patient as well; neither which nor since when
    """

    campuses: list[tuple[str, datetime]]
    identified: list[Identified]
    is_of_here: bool
    is_elsewhere: bool


def of(patient: Patient, *, seen_by: Staff) -> History:
    attended = list(patient.attendances.order_by("since"))
    rows = list(patient.identifications.order_by("-id")[:SHOWN])
    people = Staff.objects.in_bulk([one.by for one in rows if one.by])
    told = attended
    if seen_by.role != Role.PRIVACY:
        told = [one for one in attended if one.campus == seen_by.campus]
    if len(told) < len(attended):
        rows = _made_at(told, patient, rows, people)
    return History(
        campuses=[(settings.CAMPUSES.get(one.campus, one.campus), one.since) for one in told],
        identified=[_identified(one, people) for one in rows],
        is_of_here=told[:1] == attended[:1],
        is_elsewhere=len(told) < len(attended),
    )


def _made_at(
    told: list[Attendance],
    patient: Patient,
    rows: list[Identification],
    people: dict[object, Staff],
) -> list[Identification]:
    """Return those of which it is certain that they were made at one of these campuses."""
    here = {one.campus for one in told}
    visits = FaceSession.objects.filter(
        patient=patient, terminal__store__campus__in=here, finished_at__in=[one.at for one in rows]
    )
    moments = {*visits.values_list("finished_at", flat=True), *(one.since for one in told)}

    def is_here(one: Identification) -> bool:
        by = people.get(one.by)
        return one.at in moments or (by is not None and by.campus in here)

    return [one for one in rows if is_here(one)]


def _identified(one: Identification, people: dict[object, Staff]) -> Identified:
    return Identified(
        at=one.at,
        method=one.get_method_display(),
        evidence=one.get_evidence_display(),
        who=_named(people.get(one.by)) if one.by else "",
    )


def _named(staff: Staff | None) -> str:
    return f"{staff.display_name}（{staff.username}）" if staff else "已注销的账号"
