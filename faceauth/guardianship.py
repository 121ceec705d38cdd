"""A guardian agrees for a child, at the desk; until then no camera does anything for them."""

from collections.abc import Collection
from datetime import datetime

from django.db import transaction

from faceauth.consent import demand_complete, notice_in_force
from faceauth.models import Consent
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import record
from hospital.patients import guardians
from hospital.patients.enrolment import Person
from hospital.patients.models import Guardian, Identification, Patient


class NeedsGuardian(Exception):
    """Under fourteen: nothing of a child is kept without a guardian's consent."""


def is_missing(patient: Patient, *, at: datetime) -> bool:
    """Whether they are a child for whom no guardian's consent stands."""
    if not guardians.is_child(patient, at=at):
        return False
    agreed = Consent.objects.filter(patient=patient.pk, granted=True, withdrawn_at=None)
    return not agreed.exclude(guardian=None).exists()


@transaction.atomic
def agree_for_child(
    child: Patient,
    guardian: Person,
    *,
    relation: Guardian.Relation,
    evidence: Identification.Evidence,
    purposes: Collection[str],
    by: Staff,
    at: datetime,
) -> Consent:
    """
    Note that a guardian agreed to these purposes of the notice in force, for a child.

    :raises NoNotice, UnknownPurpose, PurposesIncomplete:
    :raises NotAChild, NotOfAge, OwnGuardian, Unshown, Implausible: see `guardians.agree`
    """
    notice = notice_in_force(at=at)
    demand_complete(notice, purposes)
    who = guardians.agree(child, guardian, relation=relation, evidence=evidence, by=by, at=at)
    consent = Consent.objects.create(
        notice=notice,
        notice_digest=notice.digest,
        granted=True,
        purposes=sorted(purposes),
        by=by.pk,
        at=at,
        patient=child.pk,
        guardian=who.pk,
    )
    record(
        Action.CONSENT_GUARDIAN,
        by=by,
        on=consent,
        at=at,
        patient=child.pk,
        guardian=who.pk,
        evidence=evidence.value,
        notice_version=notice.version,
        notice_digest=notice.digest,
        purposes=set(purposes),
    )
    return consent
