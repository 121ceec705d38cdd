"""
A small house with one of everything, at two campuses, and somebody of every kind before its doors.

What is of the other campus belongs to people whose names and numbers are here to be looked for.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any, Final

from django.apps import apps
from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction
from django.utils import timezone
from uuid6 import uuid7

from devices.models import Store, Terminal, TerminalKey
from faceauth.models import Consent, FaceSession, Merchant, Notice
from hospital.accounts import granting
from hospital.accounts.models import Emergency, Staff
from hospital.audit.actions import Action
from hospital.audit.exports import Export
from hospital.audit.findings import Finding, Review
from hospital.audit.proposals import Proposal
from hospital.audit.recording import SYSTEM, record
from hospital.crypto.models import Job, KeyEpoch
from hospital.labels import Label
from hospital.patients.documents import DocumentType
from hospital.patients.models import (
    Attendance,
    Correction,
    HandOff,
    Identification,
    Likeness,
    Patient,
    Registration,
)
from hospital.privacy.models import (
    Affected,
    Assessment,
    Disclosure,
    Erasure,
    Incident,
    LegalHold,
    Notification,
    RetentionRun,
    RightsRequest,
)
from hospital.roles import Role

HERE: Final = "main"
ELSEWHERE: Final = "east"
Person = Staff | AnonymousUser
HALF: Final = "ban"  # who has shown a password only

# Of the other campus: what nobody of this one is to read anywhere.
STRANGERS: Final = ("欧阳娜娜", "司马相如")
STRANGE_DOCUMENTS: Final = ("110101199003072211", "110101199003078672")
STRANGE_NUMBERS: Final = ("P1000000008", "P1000000016")


@dataclass
class World:
    """Who is there, and per campus one of each kind of thing."""

    people: dict[str, Person] = field(default_factory=dict)
    logins: dict[str, str] = field(default_factory=dict)  # username → key of a session
    things: dict[str, dict[type[models.Model], models.Model]] = field(default_factory=dict)

    def thing(self, model: type[models.Model], campus: str) -> models.Model:
        """Return the one of this campus; of what has no campus there is but one."""
        return self.things[campus].get(model) or self.things[HERE][model]

    def is_of_a_campus(self, model: type[models.Model]) -> bool:
        return model in self.things[ELSEWHERE]


def build() -> World:
    """Make it all in an empty database."""
    world = World(people=_people())
    notice = Notice.objects.create(
        version=1,
        title="告知书",
        text="……",
        purposes=[{"code": "onboarding", "label": "建档", "required": True}],
        fallback="请到人工窗口",
        in_force_from=timezone.now(),
    )
    by = world.people["安全"]
    assert isinstance(by, Staff)
    here = [
        ("王小明", "110101199003078899", "P1000000024"),
        ("李小红", "110101199003071972", "P1000000032"),
    ]
    there = [*zip(STRANGERS, STRANGE_DOCUMENTS, STRANGE_NUMBERS, strict=True)]
    world.things[HERE] = _campus(HERE, here, notice) | _of_all(by, notice)
    world.things[ELSEWHERE] = _campus(ELSEWHERE, there, notice)
    return world


def _people() -> dict[str, Person]:
    """Return one of each kind, by what the table calls them."""
    soon = timezone.now() + timedelta(days=7)
    people: dict[str, Person] = {
        "系统": _staff("lin", Role.SYSTEM),
        "安全": _staff("mei", Role.SECURITY),
        "审计": _staff("zhou", Role.AUDITOR),
        "登记": _staff("chen", Role.REGISTRAR, campus=HERE, clearance=Label.IDENTIFYING),
        "个保": _staff("gu", Role.PRIVACY, clearance=Label.SENSITIVE),
        "应急": _staff(
            "yingji", Role.EMERGENCY, campus=HERE, clearance=Label.IDENTIFYING, valid_until=soon
        ),
        "厂商": _staff("qian", Role.SYSTEM, is_vendor=True, valid_until=soon),
        "无角色": _staff("xin", ""),
        "仅密码": _staff(HALF, Role.REGISTRAR, campus=HERE, clearance=Label.IDENTIFYING),
    }
    return {**people, "未登录": AnonymousUser()}


def _staff(username: str, role: str, **fields: Any) -> Staff:
    return Staff.objects.create_user(
        username,
        "correct horse battery staple",
        display_name=username,
        person_id=f"E-{username}",
        role=role,
        **fields,
    )


def _campus(
    campus: str, people: list[tuple[str, str, str]], notice: Notice
) -> dict[type[models.Model], models.Model]:
    now = timezone.now()
    store = Store.objects.create(code=f"store-{campus}", name="门诊楼", campus=campus)
    terminal = Terminal.objects.create(serial=f"T-{campus}", name="大厅", store=store)
    key = TerminalKey.objects.create(
        id=f"{campus:_<43}", terminal=terminal, algorithm="ed25519", public_key="", created_at=now
    )
    first, second = (_patient(*one, campus=campus) for one in people)
    consent = Consent.objects.create(
        notice=notice,
        granted=True,
        purposes=["onboarding"],
        terminal=terminal,
        at=now,
        patient=first.pk,
    )
    session = FaceSession.objects.create(
        terminal=terminal,
        consent=consent,
        state=FaceSession.State.FAILED,
        patient=first,
        opened_at=now,
        finished_at=now,
    )
    colleague = _staff(f"colleague-{campus}", Role.REGISTRAR, campus=campus,
                       clearance=Label.IDENTIFYING)  # fmt: skip
    typed = {
        "document_type": DocumentType.RESIDENT,
        "real_name": people[1][0],
        "evidence": Identification.Evidence.ORIGINAL,
    }
    registration = Registration.objects.create(
        **typed,
        document_number=people[1][1],
        state=Registration.State.WAITING,
        cause=Registration.Cause.UNABLE,
        campus=campus,
        entered_by=colleague.pk,
        entered_at=now,
    )
    correction = Correction.objects.create(
        **typed,
        document_number=people[0][1],
        patient=first,
        reason="同音字",
        asked_by=colleague.pk,
        asked_at=now,
    )
    likeness = Likeness.objects.create(
        kind=Likeness.Kind.EXACT, first=first, second=second, found_at=now
    )
    handoff = HandOff.objects.create(
        patient=first, state=HandOff.State.DEAD, created_at=now, code="invalid"
    )
    request = RightsRequest.objects.create(
        kind=RightsRequest.Kind.COPY,
        patient=first.pk,
        campus=campus,
        applicant=RightsRequest.Applicant.SELF,
        opened_by=colleague.pk,
        opened_at=now,
        due_on=timezone.localdate(now) + timedelta(days=15),
    )
    found: list[models.Model] = [
        store, terminal, key, first, consent, session, registration, correction, likeness,
        request, handoff,
    ]  # fmt: skip
    return {type(one): one for one in found}


def _patient(name: str, document: str, number: str, *, campus: str) -> Patient:
    now = timezone.now()
    patient = Patient.objects.create(
        number=number,
        real_name=name,
        document_type=DocumentType.RESIDENT,
        document_number=document,
        created_at=now,
    )
    Attendance.objects.create(patient=patient, campus=campus, since=now)
    method = Identification.Method.WECHAT_FACE
    Identification.objects.create(patient=patient, method=method, at=now)
    return patient


def _of_all(by: Staff, notice: Notice) -> dict[type[models.Model], models.Model]:
    """Make one of each kind of thing that no campus has."""
    now, newcomer = timezone.now(), _staff("newcomer", "")
    with transaction.atomic():
        event = record(Action.STAFF_CREATE, by=SYSTEM, on=newcomer, at=now, role="")
    facts = {
        "staff": str(newcomer.pk),
        "role": Role.AUDITOR,
        "campus": "",
        "clearance": Label.INTERNAL,
    }
    found: list[models.Model] = [
        newcomer,
        notice,
        event,
        Merchant.objects.create(appid="wx1", mch_id="1900000001", merchant_serial="A1"),
        Export.objects.create(
            kind=Export.Kind.RANGE,
            purpose=Export.Purpose.REVIEW,
            reason="抽查",
            requested_by=by.pk,
            requested_at=now,
        ),
        Finding.objects.create(
            kind="access-denials",
            key="1",
            severity=Finding.Severity.NOTICE,
            at=now,
            facts={"actor_type": "staff", "actor_id": str(by.pk), "since": 0, "until": 1},
        ),
        Review.objects.create(week=date(2026, 1, 5), made_at=now),
        Proposal.objects.create(
            kind=granting.KIND.tag,
            facts=facts,
            reason="入职",
            asked_by=by.pk,
            asked_at=now,
            expires_at=now + timedelta(days=1),
        ),
        Emergency.objects.create(
            campus=HERE, ticket="IT-1", reason="系统故障", asked_by=by.pk, asked_at=now
        ),
        Disclosure.objects.create(
            recipient=Disclosure.Recipient.HIS, purpose="handoff", subject=None, at=now
        ),
        Erasure.objects.create(
            subject=uuid7(), cause=Erasure.Cause.REQUEST, decided_at=now, due_at=now
        ),
        Assessment.objects.create(
            reference="PIA-1",
            digest="0" * 64,
            notice_version=notice.version,
            purposes=[{"code": "onboarding", "label": "建档"}],
            approved_at=now,
            review_on=timezone.localdate(now) + timedelta(days=90),
        ),
        _incident(by),
        RetentionRun.objects.create(is_dry=True, state="done", started_at=now, finished_at=now),
        LegalHold.objects.create(
            patient=Patient.objects.order_by("pk")[0],
            until=timezone.localdate(now) + timedelta(days=30),
            placed_at=now,
            proposal=event.uid,
        ),
        Job.objects.create(kind=Job.Kind.CHECK, target="patients"),
        KeyEpoch.objects.order_by("pk")[0],
    ]  # fmt: skip
    return {type(one): one for one in found}


def _incident(by: Staff) -> Incident:
    now = timezone.now()
    incident = Incident.objects.create(
        number="IR-20260101-01",
        kind=Incident.Kind.LEAK,
        summary="有人拍摄屏幕",
        found_at=now,
        opened_by=by.pk,
        opened_at=now,
        affected=1,
    )
    patient = Patient.objects.order_by("pk")[0]
    Affected.objects.create(incident=incident, subject=patient.pk, action="patient.view")
    Notification.objects.create(
        incident=incident, recipient=Notification.Recipient.MANAGEMENT, due_at=now
    )
    return incident


_KNOWN: Final = {(one._meta.app_label, one._meta.model_name) for one in apps.get_models()}
# What an address names is a thing of which model: by the name of the page, or the admin's own.
_OF_DESK: Final[Mapping[str, type[models.Model]]] = {
    "session": FaceSession,
    "registration": Registration,
    "likeness": Likeness,
    "correction": Correction,
    "patient": Patient,
    "reveal": Patient,
    "slip": Patient,
    "correct": Patient,
    "right": RightsRequest,
    "handoff": HandOff,
    "erase": Patient,
    "rights": Patient,
    "restriction": Patient,
    "consents": Patient,
    "guardian": Patient,
}


def model_of(namespace: str, name: str, route: str) -> type[models.Model] | None:
    """Return what kind of thing the page of this name is about."""
    if namespace == "desk":
        return _OF_DESK.get(name) or _OF_DESK.get(name.split("-", maxsplit=1)[0])
    match route.split("/"):
        case ["admin", app, model, *_] if (app, model) in _KNOWN:
            return apps.get_model(app, model)
    return None


def words(
    world: World, model: type[models.Model] | None, wanted: set[str], campus: str
) -> dict[str, Any]:
    """Return what fills the places of an address that is about one of `model`."""
    patient = world.thing(Patient, campus)
    said: dict[str, Any] = {
        "app_label": "accounts",
        "url": "nowhere",
        "content_type_id": "1",
        "key_id": world.thing(TerminalKey, campus).pk,
        "key": "SESSION_IDLE_MINUTES",
        "category": "session",
        "recipient": "management",
        "object_id": patient.pk,
        "pk": 1,
    }
    if model is not None and not wanted.isdisjoint({"pk", "object_id"}):
        said["pk"] = said["object_id"] = world.thing(model, campus).pk
    return {name: said[name] for name in wanted}
