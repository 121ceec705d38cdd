"""Pages that show several patients: whoever reads them is on record, also when they tick."""

import hashlib
from collections.abc import Collection, Iterable
from typing import Final
from uuid import UUID

import structlog
from django.core.cache import cache
from django.db import Error
from django.http import HttpRequest
from django.utils import timezone
from redis.exceptions import RedisError

from hospital.accounts.models import staff_of
from hospital.audit.facts import Shown
from hospital.patients import viewing
from hospital.patients.models import Patient

REMEMBERED: Final = 3600  # seconds a session's list of people already recorded is kept
AWAY: Final = (RedisError, Error)  # what either kind of cache says when it cannot be reached

log = structlog.get_logger(__name__)


def show(
    request: HttpRequest,
    patients: Iterable[Patient | None],
    *,
    classes: Collection[Shown],
    ticks: bool = False,
) -> None:
    """
    Record that whoever asks is shown these patients, before anything is rendered.

    :param classes: what of them, by class of field
    :param ticks: the page asked for itself: of those it showed already, nothing is recorded
    """
    shown = {patient.pk: patient for patient in patients if patient}
    if not shown:
        return
    viewing.prepare(list(shown.values()))
    # A page that ticks shows the same people again: of those, only who is new is recorded. The
    # header that says so is the client's, so it may not spare anybody's first time.
    session = hashlib.sha256(str(request.session.session_key).encode()).hexdigest()
    before = _remembered(session)
    new = shown.keys() - before if ticks else shown.keys()
    if new:
        people = [shown[pk] for pk in new]
        viewing.looked(people, shown=classes, by=staff_of(request), at=timezone.now())
        _remember(session, before | new)


def _remembered(session: str) -> set[UUID]:
    try:
        return cache.get(f"shown:{session}") or set()
    except AWAY as exc:  # the desk goes on, and what it shows is recorded each time
        log.warning("cache", exc_info=exc)
        return set()


def _remember(session: str, people: set[UUID]) -> None:
    try:
        cache.set(f"shown:{session}", people, REMEMBERED)
    except AWAY as exc:
        log.warning("cache", exc_info=exc)
