"""
安全标记: what may be seen by whom, whatever their role (GB/T 22239-2019 8.1.4.2 g).

An object's label says how sensitive it is, a person's clearance how far they are trusted. Roles
are asked first, and apart: a right does not stand in for a clearance, nor a clearance for a right.
"""

from typing import Final

from django.core.exceptions import PermissionDenied

from hospital.inventory import INVENTORY
from hospital.sensitivity import Label

__all__ = ["LABELS", "Label", "NotCleared", "demand"]

# model.field → its label; "model" alone is for what a list shows of it, masked.
LABELS: Final[dict[str, Label]] = {
    "patients.patient": Label.SENSITIVE,
    "faceauth.facesession": Label.SENSITIVE,
    **{item.field: item.label for item in INVENTORY},
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
