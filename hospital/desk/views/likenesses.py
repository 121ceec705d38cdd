"""疑似重复: the pairs that wait for somebody, and each pair side by side."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from hospital.accounts.models import Staff, staff_of
from hospital.admin import refusals_told
from hospital.audit.admin import people
from hospital.audit.facts import Shown
from hospital.desk.doors import needs
from hospital.patients import likenesses as pairs
from hospital.patients import viewing
from hospital.patients.documents import WITHOUT_NUMBER
from hospital.patients.models import Identification, Likeness, Patient
from hospital.patients.viewing import Masked
from hospital.roles import May

SHOWN: Final = 100  # nobody reads further before some of it is done
DONE: Final[dict[str, tuple[Callable[..., None], str]]] = {
    "link": (pairs.link, "已关联，两份档案都保留"),
    "unlink": (pairs.unlink, "已解除关联，两份档案都没有改变"),
    "apart": (pairs.apart, "已记为不是同一人"),
}


@dataclass(frozen=True)
class Half:
    """One of the two records; of one that is not known here, the name and kind of document."""

    shown: Masked
    is_here: bool
    since: datetime
    methods: list[str]


@needs(May.LINK_PATIENTS)
@require_http_methods(["GET", "HEAD"])
def likenesses(request: HttpRequest) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    waiting = pairs.seen_by(staff).filter(state=Likeness.State.OPEN)
    rows = list(waiting.order_by("id")[:SHOWN])
    both = [patient for row in rows for patient in (row.first, row.second)]
    viewing.prepare(both)
    shown = {Shown.NAME_MASKED, Shown.DOCUMENT_MASKED, Shown.LIKENESSES}
    viewing.looked(both, shown=shown, by=staff, at=now)
    here = _here(both, staff)
    return TemplateResponse(
        request,
        "desk/likenesses.html",
        {
            **admin.site.each_context(request),
            "title": "疑似重复",
            "rows": [(row, _listed(row.first, here), _listed(row.second, here)) for row in rows],
        },
    )


@needs(May.LINK_PATIENTS)
@require_http_methods(["GET", "HEAD", "POST"])
def likeness(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    pair = get_object_or_404(pairs.seen_by(staff), pk=pk)
    if request.method == "POST":
        decide, said = _decision(request)
        with refusals_told(request):
            decide(pair, by=staff, at=now)
            messages.success(request, said)
        return redirect("desk:likeness", pk)
    return TemplateResponse(
        request,
        "desk/likeness.html",
        {
            **admin.site.each_context(request),
            "title": "疑似重复",
            "pair": pair,
            "is_without_number": not WITHOUT_NUMBER.isdisjoint(
                {pair.first.document_type, pair.second.document_type}
            ),
            "halves": _halves(pair, by=staff, at=now),
            "decided_by": people.names([pair.decided_by]).get(str(pair.decided_by), ""),
        },
    )


def _decision(request: HttpRequest) -> tuple[Callable[..., None], str]:
    done = DONE.get(request.POST.get("decision", ""))
    if done is None:
        raise BadRequest
    return done


def _halves(pair: Likeness, *, by: Staff, at: datetime) -> list[Half]:
    both = [pair.first, pair.second]
    viewing.prepare(both)
    shown = {*viewing.MASKED, Shown.HISTORY, Shown.LIKENESSES}
    viewing.looked(both, shown=shown, by=by, at=at)
    here = _here(both, by)
    return [_half(one, is_here=one.pk in here) for one in both]


def _here(patients: list[Patient], staff: Staff) -> set[UUID]:
    keys = [one.pk for one in patients]
    return set(Patient.objects.seen_by(staff).filter(pk__in=keys).values_list("pk", flat=True))


def _listed(patient: Patient, here: set[UUID]) -> tuple[str, str]:
    """Return the name and the document as the list shows them; only ours have a number."""
    shown = viewing.masked(patient)
    return shown.name, shown.document if patient.pk in here else "其他院区"


def _half(patient: Patient, *, is_here: bool) -> Half:
    found = patient.identifications.order_by().values_list("method", flat=True).distinct()
    methods = sorted(Identification.Method(one).label for one in found)
    return Half(viewing.masked(patient), is_here, patient.created_at, methods)


urls: list[URLPattern] = [
    path("likenesses/", likenesses, name="likenesses"),
    path("likenesses/<uuid:pk>/", likeness, name="likeness"),
]
