"""人工建档, and the second look at it. What is typed travels by POST only."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.contrib import admin, messages
from django.core.exceptions import BadRequest, ValidationError
from django.core.signing import Signer
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404, redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.crypto import constant_time_compare
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods

from faceauth import handling
from faceauth.models import FaceSession
from hospital.accounts.models import Staff, staff_of
from hospital.audit.admin import people
from hospital.desk.doors import needs
from hospital.desk.forms import CHECK, RegisterForm, SecondLookForm, SendBackForm, first_error
from hospital.errors import Refusal
from hospital.patients import asked, guardians, registering, viewing
from hospital.patients.models import Patient, Registration
from hospital.patients.registering import Cause
from hospital.patients.viewing import Masked
from hospital.roles import May

SHOWN: Final = 100  # nobody reads further before some of it is done

State = FaceSession.State
# Why somebody whose visit ended so is at the desk now.
CAUSES: Final = {
    State.REFUSED: Cause.REFUSED,
    State.DECLINED: Cause.REFUSED,
    State.GUARDIAN_REQUIRED: Cause.CHILD,
    State.FAILED: Cause.FAILED,
}


_SHOWN_TO: Final = Signer(salt="desk.registering.shown")


@dataclass(frozen=True)
class Candidate:
    """Somebody on record who has the document that was entered."""

    shown: Masked
    is_here: bool  # known at this campus


@needs(May.REGISTER_PATIENTS)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("number", "name", "born", "prefill")
def register(request: HttpRequest) -> HttpResponse:
    today = timezone.localdate()
    if request.method != "POST":
        return _page(request, RegisterForm(initial=_of_session(request), today=today))
    if "prefill" in request.POST:
        return _page(request, RegisterForm(initial=_found_nobody(request), today=today))
    form = RegisterForm(request.POST, today=today)
    is_valid = form.is_valid()
    if CHECK in request.headers:
        return JsonResponse(form.checked())
    return _entered(request, form) if is_valid else _page(request, form)


@needs(May.REGISTER_PATIENTS)
@require_http_methods(["GET", "HEAD"])
def registrations(request: HttpRequest) -> HttpResponse:
    staff = staff_of(request)
    waiting = registering.seen_by(staff).filter(state=Registration.State.WAITING)
    rows = list(waiting.order_by("id")[:SHOWN])
    names = people.names(one.entered_by for one in rows)
    return TemplateResponse(
        request,
        "desk/registrations.html",
        {
            **admin.site.each_context(request),
            "title": "待复核的人工建档",
            "rows": [(one, names.get(str(one.entered_by), "")) for one in rows],
            "staff": staff,
        },
    )


@needs(May.REGISTER_PATIENTS)
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("again", "born", "note")
def registration(request: HttpRequest, pk: UUID) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    one = get_object_or_404(registering.seen_by(staff), pk=pk)
    if request.method == "POST":
        try:
            return _looked(request, one, by=staff, at=now)
        except Refusal as exc:
            messages.error(request, str(exc))
        return redirect("desk:registration", pk)
    names = people.names([one.entered_by, one.looked_by])
    is_waiting = one.state == Registration.State.WAITING
    return TemplateResponse(
        request,
        "desk/registration.html",
        {
            **admin.site.each_context(request),
            "title": "人工建档",
            "registration": one,
            "shown": registering.look(one, by=staff, at=now) if is_waiting else None,
            "entered_by": names.get(str(one.entered_by), ""),
            "looked_by": names.get(str(one.looked_by), ""),
            "repeated": registering.repeated(one) if is_waiting else "",
            "repeats_birth": is_waiting and registering.repeats_birth(one),
            "may_look": is_waiting and one.entered_by != staff.pk,
            "may_settle": _may_settle(one, by=staff, at=now),
        },
    )


def _page(request: HttpRequest, form: RegisterForm, **shown: Any) -> HttpResponse:
    return TemplateResponse(
        request,
        "desk/register.html",
        {**admin.site.each_context(request), "title": "人工建档", "form": form, **shown},
    )


def _of_session(request: HttpRequest) -> dict[str, Any]:
    """Return what is known of somebody whose visit is taken over."""
    if not (asked_for := request.GET.get("session")):
        return {}
    session = _session(staff_of(request), asked_for)
    return {"session": session.pk, "cause": CAUSES.get(State(session.state), "")}


def _found_nobody(request: HttpRequest) -> dict[str, Any]:
    """Return what was looked for in vain, each in its box."""
    try:
        wanted = asked.read(request.POST["prefill"], today=timezone.localdate())
    except asked.Unclear:
        return {}
    match wanted:
        case asked.ByDocument(number=number):
            return {"number": number}
        case asked.ByNameAndBirth(name=name, born=born):
            return {"name": name, "born": born}
    return {}


def _session(staff: Staff, pk: object) -> FaceSession:
    try:
        return get_object_or_404(FaceSession.objects.seen_by(staff), pk=pk)
    except ValidationError:
        raise Http404 from None


def _entered(request: HttpRequest, form: RegisterForm) -> HttpResponse:
    staff, now = staff_of(request), timezone.now()
    act = ACTS.get(request.POST.get("then", ""))
    if act is None:
        raise BadRequest
    try:
        found = registering.look_up(form.entry.person, by=staff, at=now)
        return act(request, form, found, by=staff, at=now)
    except registering.Known as exc:
        return _page(request, form, known=_candidate(exc.patient, by=staff, at=now))
    except registering.Alike as exc:
        return _page(request, form, **_alike(exc.patients, form, by=staff, at=now))
    except Refusal as exc:
        form.add_error(None, str(exc))
    return _page(request, form)


def _enter(
    request: HttpRequest, form: RegisterForm, found: list[Patient], *, by: Staff, at: datetime
) -> HttpResponse:
    pk = form.cleaned_data["session"]
    # Of those somebody says it is not, each was on their screen: not others, typed since.
    were_shown = constant_time_compare(request.POST.get("shown", ""), _signed(found, form))
    with transaction.atomic():
        registration = registering.enter(
            form.entry,
            by=by,
            at=at,
            today=form.today,
            session=pk,
            anyway=request.POST.get("then") == "anyway" and were_shown,
        )
        if pk:
            _settle(_session(by, pk), registration, by=by, at=at)
    if registration.patient_id is None:
        messages.success(request, "已登记，请另一位同事对照原件复核")
        return redirect("desk:registration", registration.pk)
    messages.success(request, "已建档")
    return redirect(_onward(registration, at=at), registration.patient_id)


def _onward(registration: Registration, *, at: datetime) -> str:
    """Return the page that follows: for a child, whatever brought them, where a guardian agrees."""
    patient = registration.patient
    is_child = patient is not None and guardians.is_child(patient, at=at)
    return "desk:guardian" if is_child else "desk:patient"


def _attend(
    request: HttpRequest, form: RegisterForm, _found: list[Patient], *, by: Staff, at: datetime
) -> HttpResponse:
    pk = form.cleaned_data["session"]
    with transaction.atomic():
        patient = registering.attend_known(form.entry, by=by, at=at, today=form.today)
        if pk:
            known = FaceSession.Settlement.KNOWN
            handling.settle(_session(by, pk), known, patient=patient, by=by, at=at)
    messages.success(request, "已在本院区登记，没有新建档案")
    return redirect("desk:patient", patient.pk)


def _settle(session: FaceSession, registration: Registration, *, by: Staff, at: datetime) -> None:
    """Close the visit with the patient; until a colleague has looked, it stays with who took it."""
    if registration.patient is None:
        handling.take(session, by=by, at=at)
    elif handling.is_unsettled(session):  # the same form twice: the first has closed it
        registered = FaceSession.Settlement.REGISTERED
        handling.settle(session, registered, patient=registration.patient, by=by, at=at)


def _candidate(patient: Patient, *, by: Staff, at: datetime) -> Candidate:
    """Return them masked; that they were shown is on record."""
    viewing.looked([patient], shown=viewing.MASKED, by=by, at=at)
    is_here = Patient.objects.seen_by(by).filter(pk=patient.pk).exists()
    return Candidate(viewing.masked(patient), is_here)


def _alike(
    patients: list[Patient], form: RegisterForm, *, by: Staff, at: datetime
) -> dict[str, Any]:
    """Return those of this campus masked, on record; of others only that there are some."""
    keys = [patient.pk for patient in patients]
    here = list(Patient.objects.seen_by(by).filter(pk__in=keys))
    viewing.prepare(here)
    viewing.looked(here, shown=viewing.MASKED, by=by, at=at)
    return {
        "alike": [viewing.masked(patient) for patient in here],
        "is_elsewhere": len(here) < len(patients),
        "shown": _signed(patients, form),
    }


def _signed(patients: list[Patient], form: RegisterForm) -> str:
    """Return what says that this form was answered with these candidates; it names nobody."""
    keys = sorted(str(patient.pk) for patient in patients)
    return _SHOWN_TO.signature(":".join([str(form.cleaned_data["token"]), *keys]))


def _looked(request: HttpRequest, one: Registration, *, by: Staff, at: datetime) -> HttpResponse:
    match request.POST.get("decision"):
        case "confirm":
            return _confirmed(request, one, by=by, at=at)
        case "return":
            return _sent_back(request, one, by=by, at=at)
        case "settle" if one.patient_id:
            _settle(_session(by, one.session), one, by=by, at=at)
            messages.success(request, "已办结刷脸会话")
            return redirect("desk:registration", one.pk)
    raise BadRequest


def _confirmed(request: HttpRequest, one: Registration, *, by: Staff, at: datetime) -> HttpResponse:
    form = SecondLookForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("desk:registration", one.pk)
    with transaction.atomic():
        patient = registering.confirm(one, **form.cleaned_data, by=by, at=at)
        one.refresh_from_db()
        # Who took the visit over is still at it, and closes it from this page.
        if _may_settle(one, by=by, at=at):
            _settle(_session(by, one.session), one, by=by, at=at)
    messages.success(request, "已复核，已建档")
    return redirect(_onward(one, at=at), patient.pk)


def _sent_back(request: HttpRequest, one: Registration, *, by: Staff, at: datetime) -> HttpResponse:
    form = SendBackForm(request.POST)
    if not form.is_valid():
        messages.error(request, first_error(form))
        return redirect("desk:registration", one.pk)
    registering.send_back(one, note=form.cleaned_data["note"], by=by, at=at)
    messages.success(request, "已退回，登记内容已清除")
    return redirect("desk:registrations")


def _may_settle(one: Registration, *, by: Staff, at: datetime) -> bool:
    if one.session is None or one.patient_id is None:
        return False
    session = FaceSession.objects.seen_by(by).filter(pk=one.session).first()
    return session is not None and handling.is_free(session, by=by, at=at)


# What the button that was pressed asks for.
ACTS: Final = {"": _enter, "anyway": _enter, "attend": _attend}

urls: list[URLPattern] = [
    path("register/", register, name="register"),
    path("registrations/", registrations, name="registrations"),
    path("registrations/<uuid:pk>/", registration, name="registration"),
]
