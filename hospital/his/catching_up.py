"""Patients registered before there was a system to tell: it is told of them as well."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Exists, OuterRef, QuerySet

from hospital.patients import handing_off
from hospital.patients.models import HandOff, Patient
from hospital.privacy.models import Erasure

BATCH: Final = 500  # patients in one transaction


def missing() -> QuerySet[Patient]:
    """Return whom no hand-off was ever made of, and may be told of."""
    made = HandOff.objects.filter(patient=OuterRef("pk"))
    decided = Erasure.objects.filter(subject=OuterRef("pk"))
    forgotten = decided.exclude(state=Erasure.State.CANCELLED)
    known = Patient.objects.filter(~Exists(made), ~Exists(forgotten), thinned_at=None)
    return handing_off.grounded(known)


def catch_up(*, rate: int, at: datetime) -> Iterator[int]:
    """
    Owe a hand-off of each of them; yield how many, batch by batch. Killed, it is begun anew.

    :param rate: how many of them are due in a second
    """
    apart, owed = timedelta(seconds=1) / rate, 0
    while True:
        with transaction.atomic():
            some = list(missing().select_for_update(of=("self",)).order_by("pk")[:BATCH])
            owed += handing_off.owe_earlier(some, first=at + owed * apart, apart=apart)
        if not some:
            return
        yield len(some)
