"""
Finding patients by what they carry, or by their name and birth date together.

Only equality is asked, of blind indexes. No index finds part of a name: one that could would be
read back by counting surnames.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from typing import Final

from django.core.cache import cache
from django.db import transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from hospital.accounts.models import Staff
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.facts import Shown
from hospital.audit.models import Event, PayloadText
from hospital.audit.recording import record
from hospital.audit.times import micros
from hospital.errors import Refusal
from hospital.patients import documents, viewing
from hospital.patients.asked import Asked, ByDocument, ByNameAndBirth, ByNumber
from hospital.patients.documents import DocumentType
from hospital.patients.models import Patient, PatientQuerySet

SHOWN: Final = 20  # patients of one name and birth date
PER_MINUTE: Final = 60  # searches of one person; faster is no typing and no scanning
MISSES_PER_HOUR: Final = 120  # searches that found nobody; more is guessing
_MINUTE: Final = 60  # seconds
_HOUR: Final = timedelta(hours=1)


class TooOften(Refusal):
    """Somebody tries numbers faster than a person can; nothing was looked for."""

    code = "too_often"
    message = "查找过于频繁，请一分钟后再试"


class TooManyMisses(TooOften):
    """Somebody finds nobody again and again: they are guessing; nothing was looked for."""

    code = "too_many_misses"
    message = "一小时内查找落空次数过多，暂停查找；已通知审计管理员"


@dataclass(frozen=True)
class Found:
    """
    Whom a search found.

    :param elsewhere: by what ("document" or "number") only other campuses know somebody; nothing
        of them is shown
    """

    patients: list[Patient] = field(repr=False)
    elsewhere: str = ""


def find(asked: Asked, *, by: Staff, at: datetime) -> Found:
    """
    Return those at the campus of `by` who are what was asked for; the search is on record.

    The event names whose records answered, what is shown of those here, and by what kind of
    question they were found; never what was typed.

    :raises NotCleared: `by` is not cleared for patients at all
    :raises TooOften, TooManyMisses: see `take_turn`
    :raises KeyUnavailable: nothing can be looked for now
    """
    seen = Patient.objects.seen_by(by)
    take_turn(by, at)
    carried = _carrying(asked)
    matching = carried
    if isinstance(asked, ByNameAndBirth):
        matching = carried | Patient.objects.named(asked.name, born=asked.born)
    here = seen.filter(pk__in=matching.values("pk"))
    patients = list(here.prefetch_related("attendances", "identifications")[:SHOWN])
    ours = {patient.pk for patient in patients}
    # Whose name and birth date these are elsewhere is no business of this campus.
    numbers = dict(carried.values_list("pk", "number")[:SHOWN])
    elsewhere = {pk: number for pk, number in numbers.items() if pk not in ours}
    with transaction.atomic():
        record(
            Action.PATIENT_SEARCH,
            by=by,
            on=None,
            at=at,
            kind=asked.kind,
            count=len(patients),
            subjects=ours | elsewhere.keys(),
            shown={*viewing.MASKED, Shown.HISTORY} if ours else [],
        )
    return Found(patients, elsewhere=_how(asked, set(elsewhere.values())))


def take_turn(by: Staff, at: datetime) -> None:
    """
    Count one search of `by` before it is made; who is turned away is on record.

    Minutes are those of the clock: across the turn of one, twice `PER_MINUTE` may pass.

    :raises TooOften: none is left in this minute
    :raises TooManyMisses: within the last hour too many found nobody
    """
    window = f"find:{by.pk}:{int(at.timestamp()) // _MINUTE}"
    with transaction.atomic():
        # Counting is not atomic in every kind of cache: one person's questions wait here in line.
        Staff.objects.select_for_update(no_key=True).get(pk=by.pk)
        cache.add(window, 0, 2 * _MINUTE)
        turn = cache.incr(window)
    if turn > PER_MINUTE:
        _tell_of(by, at)
        raise TooOften
    if _is_guessing(by, at):
        _tell_of(by, at)
        raise TooManyMisses


def _is_guessing(by: Staff, at: datetime) -> bool:
    """Whether within the hour `by` found nobody too often, wherever they looked: by the trail."""
    # As text: SQLite reads a number out of the line, PostgreSQL its digits.
    count = Cast(PayloadText("facts", "count", output_field=TextField()), TextField())
    searches = Event.objects.filter(
        actor_id=str(by.pk),
        at_us__gt=micros(at - _HOUR),
        action=Action.PATIENT_SEARCH.value.tag,
        outcome="success",
    )
    misses = searches.alias(count=count).filter(count="0").order_by("-at_us")
    return misses[MISSES_PER_HOUR - 1 : MISSES_PER_HOUR].exists()


def _tell_of(by: Staff, at: datetime) -> None:
    missed = flood.admit(f"find:{by.pk}", Action.PATIENT_SEARCH, by=by, count=0)
    if missed is None:
        return
    with transaction.atomic():
        record(
            Action.PATIENT_SEARCH,
            by=by,
            on=None,
            at=at,
            outcome="denied",
            count=0,
            suppressed=missed,
        )


def _carrying(asked: Asked) -> PatientQuerySet:
    """Return those whose patient number or document number it is."""
    match asked:
        case ByNumber(number, also):
            return Patient.objects.filter(number=number) | _with_document(also)
        case ByNameAndBirth(also=also):
            return _with_document(also)
        case ByDocument(number, also):
            found = _with_document(number)
            return found | _with_document(also) if also else found


def _with_document(number: str) -> PatientQuerySet:
    # The box does not ask of what type it is: a number is looked for in every family.
    kinds = {documents.family(kind): kind for kind in DocumentType}
    families = (Patient.objects.with_document(kind, number) for kind in kinds.values())
    return reduce(or_, families)


def _how(asked: Asked, elsewhere: set[str]) -> str:
    if not elsewhere:
        return ""
    return "number" if isinstance(asked, ByNumber) and asked.number in elsewhere else "document"
