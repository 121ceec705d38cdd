"""The buttons of a visit: retry, take over, give back, close. Each is one verb."""

from datetime import datetime
from functools import partial
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import path, reverse
from django.utils import timezone
from django.views.decorators.http import require_POST

from faceauth import handling, tasks
from faceauth.models import FaceSession
from hospital.accounts.models import Staff, staff_of
from hospital.admin import refusals_told
from hospital.desk.doors import needs
from hospital.errors import Refusal
from hospital.patients import finding
from hospital.patients.asked import ByNumber
from hospital.patients.models import Patient
from hospital.roles import May

ASKED_FROM_BOARD: Final = "board"  # the page whose button it was, in `back`


class UnknownPatient(Refusal):
    code = "patient_unknown"
    message = "没有这个患者编号，请核对；本院区的患者可以在“查找患者”中找到"


class Closing(forms.Form):
    """What became of it; the number of whoever it was, where they had a record already."""

    settlement = forms.ChoiceField(choices=[(one.value, one.label) for one in handling.CLOSED_WITH])
    number = forms.CharField(max_length=16, required=False)


@needs(May.HANDLE_SESSIONS)
@require_POST
def requeue(request: HttpRequest, pk: UUID) -> HttpResponse:
    session, staff = _session(request, pk), staff_of(request)
    with refusals_told(request), transaction.atomic():
        handling.requeue(session, by=staff, at=timezone.now())
        # robust: without a broker the sweeper finds the session
        transaction.on_commit(partial(tasks.onboard.delay, session_id=str(session.pk)), robust=True)
        messages.success(request, "已安排立即重试")
    return _back(request, session)


@needs(May.HANDLE_SESSIONS)
@require_POST
def take(request: HttpRequest, pk: UUID) -> HttpResponse:
    session = _session(request, pk)
    try:
        handling.take(session, by=staff_of(request), at=timezone.now())
    except Refusal as exc:
        messages.error(request, str(exc))
        return _back(request, session)
    return redirect(f"{reverse('desk:register')}?{urlencode({'session': session.pk})}")


@needs(May.HANDLE_SESSIONS)
@require_POST
def leave(request: HttpRequest, pk: UUID) -> HttpResponse:
    session = _session(request, pk)
    with refusals_told(request):
        handling.leave(session, by=staff_of(request), at=timezone.now())
        messages.success(request, "已放回，同事可以接手")
    return _back(request, session)


@needs(May.HANDLE_SESSIONS)
@require_POST
def settle(request: HttpRequest, pk: UUID) -> HttpResponse:
    session, staff, form = _session(request, pk), staff_of(request), Closing(request.POST)
    if not form.is_valid():
        messages.error(request, "请选择办理结果")
        return _back(request, session)
    now, number = timezone.now(), form.cleaned_data["number"].strip().upper()
    settlement = FaceSession.Settlement(form.cleaned_data["settlement"])
    with refusals_told(request):
        handling.demand_fits(settlement, has_patient=bool(number))
        patient = _patient(number, by=staff, at=now) if number else None
        handling.settle(session, settlement, patient=patient, by=staff, at=now)
        messages.success(request, "已办结")
    return _back(request, session)


def _session(request: HttpRequest, pk: UUID) -> FaceSession:
    return get_object_or_404(FaceSession.objects.seen_by(staff_of(request)), pk=pk)


def _patient(number: str, *, by: Staff, at: datetime) -> Patient:
    """A search like any other: counted, and on record."""
    found = finding.find(ByNumber(number), by=by, at=at).patients
    if not found:
        raise UnknownPatient
    return found[0]


def _back(request: HttpRequest, session: FaceSession) -> HttpResponse:
    if request.POST.get("back") == ASKED_FROM_BOARD:
        return redirect("admin:index")
    return redirect("admin:faceauth_facesession_change", session.pk)


urls = [
    path("sessions/<uuid:pk>/requeue/", requeue, name="session-requeue"),
    path("sessions/<uuid:pk>/take/", take, name="session-take"),
    path("sessions/<uuid:pk>/leave/", leave, name="session-leave"),
    path("sessions/<uuid:pk>/settle/", settle, name="session-settle"),
]
