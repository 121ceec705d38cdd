"""What is kept of patients and of what was done with their data, and what is past its period."""

from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Exists, OuterRef, QuerySet
from django.db.models.functions import Coalesce

from hospital.patients import lapsing
from hospital.patients.models import (
    Correction,
    HandOff,
    Likeness,
    Patient,
    Registration,
    Reveal,
    WechatAccount,
    WechatUnion,
)
from hospital.privacy import copying, thinning
from hospital.privacy.erasing import deciding
from hospital.privacy.models import (
    Assessment,
    Disclosure,
    Erasure,
    Incident,
    LegalHold,
    RetentionRun,
    RightsRequest,
)
from hospital.privacy.sweeping import Pile, Sweep, taking


def erased(whose: str = "pk", **done: datetime) -> Exists:
    """Return the condition that a patient's erasure is done; `before=`: that long ago."""
    rows = Erasure.objects.filter(subject=OuterRef(whose), state=Erasure.State.DONE)
    return Exists(rows.filter(done_at__lt=done["before"]) if done else rows)


def _unconfirmed(cutoff: datetime, _at: datetime) -> QuerySet[Registration]:
    return Registration.objects.filter(state=Registration.State.WAITING, entered_at__lt=cutoff)


def _undecided(cutoff: datetime, _at: datetime) -> QuerySet[Correction]:
    return Correction.objects.filter(state=Correction.State.ASKED, asked_at__lt=cutoff)


def _handed_off(cutoff: datetime, _at: datetime) -> QuerySet[Patient]:
    """Return whom the hospital's system acknowledged so long ago, with nothing newer to tell it."""
    rows = HandOff.objects.filter(patient=OuterRef("pk"))
    recent = rows.exclude(state=HandOff.State.DONE, acknowledged_at__lt=cutoff)
    asked = Correction.objects.filter(patient=OuterRef("pk"), state=Correction.State.ASKED)
    done = HandOff.objects.filter(state=HandOff.State.DONE, acknowledged_at__lt=cutoff)
    return Patient.objects.filter(
        ~Exists(recent),
        ~Exists(asked),
        ~Exists(_forgotten("pk")),
        pk__in=done.values("patient"),
        thinned_at=None,
        restricted_at=None,
    )


def _unvisited(cutoff: datetime, _at: datetime) -> QuerySet[Patient]:
    visited = Patient.objects.alias(seen=Coalesce("last_visit_at", "created_at"))
    return visited.filter(~Exists(_forgotten("pk")), seen__lt=cutoff)


def _forgotten(whose: str) -> QuerySet[Erasure]:
    return Erasure.objects.filter(subject=OuterRef(whose)).exclude(state=Erasure.State.CANCELLED)


def _unused_accounts(cutoff: datetime, _at: datetime) -> QuerySet[WechatAccount]:
    return _used(WechatAccount.objects.all()).filter(used__lt=cutoff)


def _unused_unions(cutoff: datetime, _at: datetime) -> QuerySet[WechatUnion]:
    """Return those of patients none of whose accounts was of use since."""
    used = _used(WechatAccount.objects.filter(patient=OuterRef("patient")))
    return WechatUnion.objects.filter(~Exists(used.filter(used__gte=cutoff)), created_at__lt=cutoff)


def _used(accounts: QuerySet[WechatAccount]) -> QuerySet[Any]:
    return accounts.alias(used=Coalesce("last_used_at", "created_at"))


def _ended_registrations(cutoff: datetime, _at: datetime) -> QuerySet[Registration]:
    ended = Registration.objects.exclude(state=Registration.State.WAITING)
    return ended.alias(ended=Coalesce("looked_at", "entered_at")).filter(ended__lt=cutoff)


def _ended_corrections(cutoff: datetime, _at: datetime) -> QuerySet[Correction]:
    return Correction.objects.exclude(state=Correction.State.ASKED).filter(decided_at__lt=cutoff)


def _likenesses(cutoff: datetime, _at: datetime) -> QuerySet[Likeness]:
    """Return pairs of which one was forgotten; while both are known, what was decided holds."""
    return Likeness.objects.filter(
        erased("first_id", before=cutoff) | erased("second_id", before=cutoff)
    )


def _answered(cutoff: datetime, _at: datetime) -> QuerySet[RightsRequest]:
    open_ = [RightsRequest.State.OPEN, RightsRequest.State.VERIFIED]
    ended = RightsRequest.objects.exclude(state__in=open_)
    when = Coalesce("answered_at", "verified_at", "opened_at")
    return ended.alias(ended=when).filter(ended__lt=cutoff)


def _copies(_cutoff: datetime, at: datetime) -> QuerySet[RightsRequest]:
    """Return those with a copy past the moment that was said when it was made."""
    return copying.due(at=at)


def _drop_copy(row: RightsRequest, at: datetime) -> None:
    copying.drop(row, code="retention", at=at)


def _erase(row: Patient, at: datetime) -> None:
    deciding.begin(row.pk, cause=Erasure.Cause.RETENTION, cooling=timedelta(), at=at)


def _thin(row: Patient, at: datetime) -> None:
    thinning.thin(row, at=at)


def _before(model: Any, column: str) -> Pile:
    """Return the rows whose moment is that long ago; of those without one, none."""
    return Pile(lambda cutoff, _at: model.objects.filter(**{f"{column}__lt": cutoff}))


def _of_patients(model: Any, column: str, *, whose: str) -> Pile:
    return Pile(_before(model, column).due, (whose,))


SWEEPS: Final = (
    Sweep(
        "draft",
        (
            Pile(_unconfirmed, take=taking(lapsing.registration)),
            Pile(_undecided, ("patient_id",), taking(lapsing.correction)),
        ),
    ),
    Sweep("identity_after_his", (Pile(_handed_off, ("pk",), taking(_thin)),)),
    Sweep("identity", (Pile(_unvisited, ("pk",), taking(_erase)),)),
    Sweep(
        "wechat_account",
        (
            Pile(_unused_accounts, ("patient_id",), taking(lapsing.wechat)),
            Pile(_unused_unions, ("patient_id",), taking(lapsing.wechat)),
        ),
    ),
    Sweep(
        "registration",
        (
            Pile(_ended_registrations, ("patient_id",)),
            Pile(_ended_corrections, ("patient_id",)),
            Pile(_likenesses, ("first_id", "second_id")),
        ),
    ),
    Sweep("rights", (Pile(_answered, ("patient",)),)),
    Sweep("rights_copy", (Pile(_copies, take=taking(_drop_copy)),)),
    Sweep("disclosure", (_of_patients(Disclosure, "at", whose="subject"),)),
    Sweep("assessment", (_before(Assessment, "ended_at"),)),
    Sweep("incident", (_before(Incident, "closed_at"),)),
    Sweep("hold", (_of_patients(LegalHold, "lifted_at", whose="patient_id"),)),
    Sweep("retention_run", (_before(RetentionRun, "finished_at"),)),
    Sweep("reveal", (_before(Reveal, "at"),)),
)
