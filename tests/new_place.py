"""What a hospital of a test's own has at first: a root key, its tables, somebody on record."""

from django.conf import settings
from django.core.management import call_command
from django.db import connections, transaction
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.providers.file import FileProvider
from hospital.patients import identity
from hospital.patients.enrolment import Person, enrol


def build() -> None:
    if not settings.KEY_FILE.exists():
        FileProvider.create(settings.KEY_FILE)
    for database in connections:
        call_command("migrate", database=database, verbosity=0)


def enrolled(order: str) -> str:
    """Bring somebody on record, another person for each `order`, and return their id."""
    person = Person(f"张{order}", 2, f"E{order:0>8}")
    accounts = {"wx1": f"o{order:0>27}"}
    with transaction.atomic():
        now = timezone.now()
        patient, _ = enrol(person, accounts=accounts, campus="main", at=now)
        digest = identity.commit(patient)
        record(Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=now, identity=digest)
    return str(patient.pk)
