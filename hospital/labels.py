"""
安全标记: what may be seen by whom, whatever their role (GB/T 22239-2019 8.1.4.2 g).

An object's label says how sensitive it is, a person's clearance how far they are trusted. Roles
are asked first, and apart: a right does not stand in for a clearance, nor a clearance for a right.
"""

from typing import Final

from django.core.exceptions import PermissionDenied
from django.db.models import IntegerChoices


class Label(IntegerChoices):
    """GB/T 39725-2020 levels, from what staff may know to what names a person."""

    INTERNAL = 2, "内部"
    SENSITIVE = 3, "敏感"
    IDENTIFYING = 4, "直接标识"


# model.field → its label; "model" alone is for what a list shows of it, masked.
LABELS: Final[dict[str, Label]] = {
    "patients.patient": Label.SENSITIVE,
    "patients.patient.real_name": Label.IDENTIFYING,
    "patients.patient.document_number": Label.IDENTIFYING,
    "patients.patient.birth_date": Label.IDENTIFYING,
    "faceauth.facesession": Label.SENSITIVE,
}


class NotCleared(PermissionDenied):
    """The role would do; the clearance does not reach."""


def demand(person: object, what: str) -> None:
    """
    Demand that `person` is cleared for `what`, a key of `LABELS`.

    :raises NotCleared: their clearance is below its label
    """
    if getattr(person, "clearance", 0) < LABELS[what]:
        raise NotCleared
