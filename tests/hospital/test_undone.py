"""What cannot be recorded does not happen, and what was undone is on record."""

import json
from uuid import uuid4

import pytest
from django.contrib.auth import SESSION_KEY
from django.core.management import BaseCommand, CommandError, get_commands
from django.db import connection, transaction
from django.http import Http404, HttpResponse
from django.test import Client
from django.urls import path, reverse
from django.utils import timezone

from faceauth.models import FaceSession
from hospital.accounts.models import Staff
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.celery import app
from hospital.errors import TrailUnavailable
from hospital.operations import beginning
from hospital.patients import enrolment
from hospital.urls import urlpatterns as ours
from tests import minutes
from tests.conftest import PASSWORD
from tests.hospital.notarised import BOTH

MERCHANT = "/admin/faceauth/merchant/add/"


@pytest.fixture(autouse=True, params=BOTH)
def database(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


BLOCK = {
    "sqlite": (
        "CREATE TRIGGER blocked BEFORE INSERT ON audit_event"
        " BEGIN SELECT RAISE(ABORT, 'disk full'); END"
    ),
    "postgresql": (
        "CREATE FUNCTION blocking() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN RAISE EXCEPTION 'full' USING ERRCODE = 'disk_full'; END$$;"
        "CREATE TRIGGER blocked BEFORE INSERT ON audit_event"
        " FOR EACH ROW EXECUTE FUNCTION blocking()"
    ),
}
FREE = {
    "sqlite": "DROP TRIGGER IF EXISTS blocked",
    "postgresql": "DROP FUNCTION IF EXISTS blocking() CASCADE",
}


@pytest.fixture
def blocked(transactional_db):
    """Have the database refuse every event, as it would with its disk full; return how."""

    def block():
        with connection.cursor() as cursor:
            cursor.execute(BLOCK[connection.vendor])

    yield block
    with connection.cursor() as cursor:
        cursor.execute(FREE[connection.vendor])


def events(action):
    rows = Event.objects.filter(action=action).order_by("id")
    return [json.loads(one) for one in rows.values_list("payload", flat=True)]


def test_a_terminal_is_told_to_come_again_and_nothing_is_changed(blocked, kiosk, notice, merchant):
    blocked()

    answer = kiosk.post(
        "face-sessions/", {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}
    )

    assert (answer.status_code, answer.json()["code"]) == (503, "trail_unavailable")
    assert answer.headers["Retry-After"] == "5"
    assert "审计记录" in answer.json()["detail"]
    assert not FaceSession.objects.exists()


def test_nobody_is_turned_away_off_the_record(blocked, kiosk):
    blocked()

    answer = kiosk.get(f"face-sessions/{uuid4()}/")

    assert (answer.status_code, answer.json()["code"]) == (503, "trail_unavailable")


def test_nobody_looks_at_a_patient_off_the_record(blocked, client, chen):
    known = enrolment.Person("张三", 2, "E1")
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())
    client.force_login(chen)
    page = reverse("desk:patient", args=[patient.pk])
    assert client.get(page).status_code == 200
    blocked()

    answer = client.get(page)

    assert answer.status_code == 503
    assert "审计记录暂时无法写入" in answer.text
    assert "张" not in answer.text


def test_nobody_comes_in_off_the_record(blocked, client, chen):
    blocked()

    answer = client.post(
        reverse("admin:login"), {"username": "chen", "password": PASSWORD, "next": "/admin/"}
    )

    assert answer.status_code == 503
    assert SESSION_KEY not in client.session


def test_a_shut_door_stays_shut_where_trying_it_cannot_be_recorded(blocked, client, chen):
    client.force_login(chen)
    blocked()

    assert client.get(MERCHANT).status_code == 503


def test_a_change_that_cannot_be_recorded_is_not_made(blocked, client, mei, chen):
    client.force_login(mei)
    blocked()
    page = reverse("admin:accounts_staff_change", args=[chen.pk])

    answer = client.post(page, {"role": "privacy"})

    assert answer.status_code == 503
    assert Staff.objects.get(pk=chen.pk).role == "registrar"


# Acts that were undone


def undone_by(exception):
    def view(request):
        with transaction.atomic():
            record(Action.STORE_CREATE, by=SYSTEM, on=None, at=timezone.now())
            record(Action.STORE_CHANGE, by=SYSTEM, on=None, at=timezone.now())
            raise exception

    return view


def done(_request):
    with transaction.atomic():
        record(Action.STORE_CREATE, by=SYSTEM, on=None, at=timezone.now())
    return HttpResponse("")


def done_and_refused(_request):
    done(_request)
    return HttpResponse("", status=409)


urlpatterns = [
    path("bug", undone_by(ZeroDivisionError()), name="bug"),
    path("gone", undone_by(Http404()), name="gone"),
    path("done", done, name="done"),
    path("refused", done_and_refused, name="refused"),
    *ours,
]


@pytest.fixture
def desk(settings, chen, transactional_db):
    settings.ROOT_URLCONF = __name__
    client = Client(raise_request_exception=False)
    client.force_login(chen)
    return client


@pytest.mark.parametrize(("page", "code"), [("bug", "500"), ("gone", "404")])
def test_what_was_recorded_and_undone_is_on_record(desk, chen, page, code):
    desk.get(f"/{page}")

    [event] = events("request.abort")
    assert event["facts"] == {
        "route": page, "code": code, "actions": ["store.change", "store.create"], "suppressed": 0,
    }  # fmt: skip
    assert event["outcome"] == "failed"
    assert event["actor"]["id"] == str(chen.pk)
    assert not events("store.create")


@pytest.mark.parametrize("page", ["done", "refused"])
def test_what_was_committed_was_not_undone(desk, page):
    desk.get(f"/{page}")

    assert len(events("store.create")) == 1
    assert not events("request.abort")


@app.task
def breaks():
    undone_by(ZeroDivisionError())(None)


@app.task
def works_and_breaks():
    done(None)
    raise ZeroDivisionError


@pytest.mark.django_db(transaction=True)
def test_what_a_worker_recorded_and_undid_is_on_record():
    with pytest.raises(ZeroDivisionError):
        breaks()

    [event] = events("request.abort")
    assert event["facts"] == {
        "route": breaks.name,
        "code": "ZeroDivisionError",
        "actions": ["store.change", "store.create"],
        "suppressed": 0,
    }
    assert (event["outcome"], event["actor"]["type"]) == ("failed", "system")
    assert not events("store.create")


@pytest.mark.django_db(transaction=True)
def test_what_a_worker_committed_before_it_broke_was_not_undone():
    with pytest.raises(ZeroDivisionError):
        works_and_breaks()

    assert len(events("store.create")) == 1
    assert not events("request.abort")


def test_a_worker_without_a_trail_says_its_own_error(blocked):
    blocked()

    with pytest.raises(TrailUnavailable):
        breaks()


class Breaks(BaseCommand):
    requires_system_checks = ()

    def handle(self, **_options):
        with transaction.atomic():
            record(Action.STORE_CREATE, by=SYSTEM, on=None, at=timezone.now())
            raise CommandError("so")


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("name", ["breaks", "runbreaks"])
def test_what_a_command_recorded_and_undid_is_on_record(monkeypatch, name):
    monkeypatch.setitem(get_commands(), name, Breaks())

    with pytest.raises(SystemExit):
        beginning.carry_out(["manage.py", name])

    stated = [event["facts"] for event in events("request.abort")]
    if name == "runbreaks":  # each turn of what never ends is its own
        assert stated == []
    else:
        assert stated == [
            {
                "route": "manage.py:breaks",
                "code": "CommandError",
                "actions": ["store.create"],
                "suppressed": 0,
            }
        ]
    assert not events("store.create")


def test_of_many_acts_undone_by_one_person_some_are_recorded(desk, monkeypatch):
    monkeypatch.setattr(flood, "RECORDED", 2)
    minutes.stop(monkeypatch)
    for _ in range(5):
        desk.get("/bug")

    assert len(events("request.abort")) == 2
