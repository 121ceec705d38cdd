"""Ways around a page that somebody would try: each is shut, and on record where it should be."""

import json

import pytest
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from faceauth import connection, consent
from faceauth.admin import NoticeAdmin
from faceauth.models import Merchant, Notice
from hospital.accounts import granting
from hospital.accounts.middleware import REFRESH
from hospital.accounts.models import Staff
from hospital.audit.models import Event
from hospital.patients import enrolment
from tests import minutes
from tests.conftest import PASSWORD
from tests.hospital.notarised import BOTH


@pytest.fixture(params=BOTH)
def either(request, db):
    if database.vendor != request.param:
        pytest.skip(f"this database is {database.vendor}")


def seated(person):
    client = Client()
    assert client.login(username=person.username, password=PASSWORD)
    return client


def recorded(action):
    return Event.objects.filter(action=action)


@pytest.mark.parametrize(
    "question",
    [
        "password__startswith=md5",
        "password__regex=.",
        "person_id__startswith=E",
        "last_login__gt=1",
    ],
)
def test_a_hash_cannot_be_read_out_by_asking_for_its_beginnings(mei, zhou, question):
    answer = seated(mei).get(f"/admin/accounts/staff/?username=zhou&{question}")

    assert answer.status_code in {302, 400}


def test_the_filters_of_a_page_still_work(mei, zhou):
    answer = seated(mei).get("/admin/accounts/staff/?role__exact=auditor&is_active__exact=1")

    assert answer.status_code == 200
    assert "zhou" in answer.content.decode()


def test_a_door_that_is_not_theirs_is_on_record(either, chen):
    answer = seated(chen).get("/admin/audit/event/")

    assert answer.status_code == 403
    event = recorded("access.denied").get()
    assert event.actor_id == str(chen.pk)
    assert "audit_event_changelist" in event.payload


def test_a_flood_of_wrong_passwords_does_not_fill_the_trail(chen, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("hospital.audit.flood.RECORDED", 3)
    client = Client()
    for _ in range(7):
        client.post("/admin/login/", {"username": "chen", "password": "wrong"})
    assert recorded("auth.login_failed").count() == 3

    monkeypatch.setattr("hospital.audit.flood.RECORDED", 99)
    client.post("/admin/login/", {"username": "chen", "password": "wrong"})

    assert '"suppressed":4' in recorded("auth.login_failed").order_by("-id")[0].payload


def test_a_changed_password_is_on_record(chen):
    client = seated(chen)
    new = "another battery staple 9"
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}

    client.post(reverse("admin:password_change"), form)

    assert Staff.objects.get(pk=chen.pk).check_password(new)
    assert recorded("auth.password_change").get().actor_id == str(chen.pk)


def test_making_an_account_is_not_changing_a_password(chen):
    assert not recorded("auth.password_change").exists()


def test_two_people_who_change_one_account_change_what_they_changed(lin, mei, chen):
    """The second to save does not undo the first."""
    client, page = seated(lin), f"/admin/accounts/staff/{chen.pk}/change/"
    client.get(page)
    granting.take_away(chen, by=mei, at=timezone.now())

    form = {"username": "chen", "display_name": "陈", "person_id": chen.person_id}
    client.post(page, form | {"is_active": "on"})

    chen.refresh_from_db()
    assert (chen.display_name, chen.role) == ("陈", "")


def test_stopping_an_account_says_so(lin, chen):
    page = f"/admin/accounts/staff/{chen.pk}/change/"
    form = {"username": "chen", "display_name": "chen", "person_id": chen.person_id}

    seated(lin).post(page, form)

    assert '"is_active":false' in recorded("staff.change").get().payload


def test_a_draft_may_be_edited_and_is_on_record(gu, notice):
    draft = Notice.objects.create(
        version=9, title="新", text="新", purposes=notice.purposes, fallback="窗口"
    )
    form = {
        "version": 9,
        "title": "改",
        "text": "新",
        "fallback": "窗口",
        "purposes": '[{"code": "onboarding", "label": "建档", "required": true}]',
    }

    answer = seated(gu).post(f"/admin/faceauth/notice/{draft.pk}/change/", form)

    draft.refresh_from_db()
    assert answer.status_code == 302
    assert draft.title == "改"
    assert (draft.digest, draft.digest_sm3) == draft.compute_digests()
    assert recorded("notice.change").exists()


def test_a_notice_in_force_is_never_edited(gu, notice):
    answer = seated(gu).post(f"/admin/faceauth/notice/{notice.pk}/change/", {"title": "改"})

    notice.refresh_from_db()
    assert answer.status_code == 403
    assert notice.title != "改"


def test_a_notice_enforced_while_it_was_edited_is_not_edited(gu, notice, monkeypatch):
    draft = Notice.objects.create(
        version=9, title="新", text="新", purposes=notice.purposes, fallback="窗口"
    )
    before = NoticeAdmin.get_object

    def enforced_meanwhile(self, *args, **kwargs):
        found = before(self, *args, **kwargs)
        consent.enforce(draft, by=gu, at=timezone.now())
        return found

    client = seated(gu)
    monkeypatch.setattr(NoticeAdmin, "get_object", enforced_meanwhile)
    form = {
        "version": 9, "title": "改", "text": "新", "fallback": "窗口",
        "purposes": '[{"code": "onboarding", "label": "建档", "required": true}]',
    }  # fmt: skip

    answer = client.post(f"/admin/faceauth/notice/{draft.pk}/change/", form)

    draft.refresh_from_db()
    assert answer.status_code == 403
    assert draft.title == "新"


def test_a_list_that_shows_patients_is_on_record_but_not_its_ticking(chen, authorized):
    known = enrolment.Person("张三", 2, "E1")
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())
    authorized.complete(patient, at=timezone.now())
    client = seated(chen)

    client.get("/admin/faceauth/facesession/")
    client.get("/admin/faceauth/facesession/", headers={REFRESH: "1"})
    client.get(f"/admin/faceauth/facesession/{authorized.pk}/change/")

    assert recorded("patient.view").count() == 2


def test_a_header_spares_nobody_the_trail(chen, authorized):
    known = enrolment.Person("张三", 2, "E1")
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())
    authorized.complete(patient, at=timezone.now())
    client = seated(chen)

    for _ in range(3):
        client.get("/admin/faceauth/facesession/", headers={REFRESH: "1"})

    assert str(patient.pk) in recorded("patient.view").get().payload


def test_a_page_that_refreshes_itself_does_not_keep_its_session_alive(chen):
    client = seated(chen)
    clicked = client.get("/admin/faceauth/facesession/")

    ticked = client.get("/admin/faceauth/facesession/", headers={REFRESH: "1"})

    assert "sessionid" in clicked.cookies
    assert "sessionid" not in ticked.cookies


def test_a_flood_at_one_account_does_not_hide_tries_at_another(chen, gu, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("hospital.audit.flood.RECORDED", 3)
    client = Client()
    for username in ["nobody"] * 9 + ["gu"]:
        client.post("/admin/login/", {"username": username, "password": "wrong"})

    assert recorded("auth.login_failed").filter(object_id=str(gu.pk)).count() == 1


def test_trying_doors_all_day_is_bounded(chen, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr("hospital.audit.flood.RECORDED", 3)
    client = seated(chen)
    for _ in range(6):
        client.get("/admin/audit/event/")

    assert recorded("access.denied").count() == 3


def test_a_page_of_one_is_on_record_whatever_header_comes_with_it(chen, authorized):
    known = enrolment.Person("张三", 2, "E1")
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())
    authorized.complete(patient, at=timezone.now())
    client = seated(chen)
    client.get("/admin/faceauth/facesession/")

    client.get(f"/admin/faceauth/facesession/{authorized.pk}/change/", headers={REFRESH: "1"})

    assert recorded("patient.view").count() == 2


def test_a_changed_merchant_is_another_client(lin, merchant):
    before = connection.authinfo_client(merchant)
    form = {
        field.name: getattr(merchant, field.name)
        for field in Merchant._meta.fields
        if field.editable and field.name != "id"
    }
    shown = merchant.changed_at.isoformat()
    form |= {"sign_type": "MD5", "is_active": "on", "shown": shown}

    answer = seated(lin).post(f"/admin/faceauth/merchant/{merchant.pk}/change/", form)

    assert answer.status_code == 302
    assert connection.authinfo_client(Merchant.objects.get()) is not before


def test_two_who_edit_a_draft_leave_a_digest_of_what_is_there(gu, notice):
    draft = Notice.objects.create(
        version=9, title="新", text="新", purposes=notice.purposes, fallback="窗口"
    )
    before = NoticeAdmin.get_object

    def edited_meanwhile(self, *args, **kwargs):
        found = before(self, *args, **kwargs)
        Notice.objects.filter(pk=draft.pk).update(text="他人改的")
        return found

    client = seated(gu)
    form = {
        "version": 9, "title": "改", "text": "新", "fallback": "窗口",
        "purposes": json.dumps(notice.purposes),
    }  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(NoticeAdmin, "get_object", edited_meanwhile)
        client.post(f"/admin/faceauth/notice/{draft.pk}/change/", form)

    draft.refresh_from_db()
    assert draft.title == "改"
    assert draft.text == "他人改的"
    assert (draft.digest, draft.digest_sm3) == draft.compute_digests()
