"""患者凭条: a number a patient can carry, and nothing that says who they are."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db.models import TextChoices
from django.utils.safestring import SafeString

from devices import qr
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients.models import Patient

_CENTIMETRE: Final = 10  # millimetres
_HALF: Final = 5


class NothingToPrint(Refusal):
    code = "nothing_to_print"


class Erased(NothingToPrint):
    message = "该患者的信息已依法删除，不能打印凭条"


class NotNow(NothingToPrint):
    message = "该患者的信息已限制处理，不能打印凭条，请联系个保负责人"


class Unreadable(NothingToPrint):
    message = "该患者的信息无法打开，不能打印凭条，请告诉安全管理员"


class Paper(TextChoices):
    RECEIPT = "receipt", "80 毫米凭条"
    A4 = "a4", "A4 纸"

    @property
    def printable(self) -> int:
        """Return the width, in millimetres, that a printer of this paper reaches."""
        return 72 if self is Paper.RECEIPT else 180


@dataclass(frozen=True)
class Slip:
    """
    What is printed. The code says the number, so that the desk's one box can read it back.

    :param name: masked
    """

    number: str
    name: str
    campus: str
    at: datetime
    code: SafeString


@dataclass(frozen=True)
class Mark:
    """A line of a ruler: where, and how long; millimetres."""

    x: int
    length: int


def make(patient: Patient, *, campus: str, at: datetime) -> Slip:
    """
    Return what is printed for a patient.

    :param campus: where it is printed, a code of `settings.CAMPUSES`
    :raises Erased, Unreadable: there is no name to print
    :raises NotNow: nothing may be done with this record
    """
    if patient.restricted_at is not None:
        raise NotNow
    return Slip(
        number=patient.number,
        name=_name(patient),
        campus=settings.CAMPUSES.get(campus, campus),
        at=at,
        code=qr.svg(patient.number, title="患者编号二维码"),
    )


def specimen(*, at: datetime) -> Slip:
    """Return a slip of nobody, to try a printer with."""
    return Slip("P0000000000", "测*页", "测试", at, qr.svg("P0000000000", title="测试二维码"))


def ruler(paper: Paper) -> Iterator[Mark]:
    """Yield the marks of a ruler as wide as the printer reaches: what is missing is cut off."""
    for x in range(paper.printable + 1):
        yield Mark(x, 5 if x % _CENTIMETRE == 0 else 3 if x % _HALF == 0 else 2)


def _name(patient: Patient) -> str:
    try:
        return patient.masked_name
    except SubjectForgotten:
        raise Erased from None
    except Unopenable:
        raise Unreadable from None
