"""Whoever looks at patients, even masked ones, is on record: one event per answer."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.facts import Shown
from hospital.audit.recording import HasActor, record
from hospital.crypto import keyring
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.patients.models import Patient

# What `Masked` tells, if all of it is on the page; and what a heading or a line of a list does.
MASKED: Final = frozenset(
    {Shown.NUMBER, Shown.NAME_MASKED, Shown.DOCUMENT_TYPE, Shown.DOCUMENT_MASKED}
)
NAMED: Final = frozenset({Shown.NUMBER, Shown.NAME_MASKED})


@dataclass(frozen=True)
class Masked:
    """
    What staff see of a patient before they ask for more.

    :param is_erased: nothing is left to reveal, correct or print
    :param is_restricted: nobody may reveal, correct or print it
    """

    pk: UUID
    number: str
    name: str
    document_type: str
    document: str
    is_erased: bool = False
    is_restricted: bool = False


def prepare(patients: Sequence[Patient]) -> None:
    """Fetch the keys of all these patients at once, before their names are opened one by one."""
    keyring.prefetch(patient.pk for patient in patients)


def masked(patient: Patient) -> Masked:
    """Return what staff see of `patient`; whoever calls this sees to it that it is on record."""
    return Masked(
        pk=patient.pk,
        number=patient.number,
        name=readable(lambda: patient.masked_name),
        document_type=patient.get_document_type_display(),
        document=readable(lambda: patient.masked_document),
        is_erased=_is_erased(patient),
        is_restricted=patient.restricted_at is not None,
    )


def readable(read: Callable[[], str]) -> str:
    """Return what is read; one patient who cannot be read does not take the page with them."""
    try:
        return read()
    except SubjectForgotten:
        return "已依法删除"
    except Unopenable:
        return "无法打开，请告诉安全管理员"


def _is_erased(patient: Patient) -> bool:
    try:
        patient.real_name  # noqa: B018 (opened as it is read)
    except SubjectForgotten:
        return True
    except Unopenable:
        return False
    return False


def looked(
    patients: Sequence[Patient], *, shown: Collection[Shown], by: HasActor, at: datetime
) -> None:
    """
    Record that `by` is shown these patients, before anything is rendered.

    :param shown: what of them, by class of field; all that the page has a place for
    """
    if not patients:
        return
    with transaction.atomic():
        record(
            Action.PATIENT_VIEW,
            by=by,
            on=patients[0] if len(patients) == 1 else None,
            at=at,
            count=len(patients),
            subjects={patient.pk for patient in patients},
            shown=frozenset(shown),
        )
