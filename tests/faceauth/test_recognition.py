"""FACEID-ONCE: who is on record is recognised by their WeChat account, and by nothing else."""

from dataclasses import replace
from datetime import timedelta

import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from django.utils import timezone

from devices.agent.api import Server
from devices.agent.signing import TerminalAuth
from devices.agent.wire import Wire
from devices.sdk import FaceSDK
from devices.sdk.simulated import SimulatedLibrary
from faceauth import connection, onboarding
from faceauth.models import FaceSession
from faceauth.simulator import camera, people
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.patients import enrolment, recognition
from hospital.patients.models import Patient, WechatAccount, WechatUnion

State = FaceSession.State
OPENID = "o" + "x" * 27
NOBODYS = "token-of-nobody-0001"


@pytest.fixture
def linked(merchant):
    """An appid that is bound to an open platform account."""
    merchant.asks_union_id = True
    merchant.save()
    return merchant


def openid_of(person, merchant):
    return camera.openid(people.find(person), merchant.appid)


def token_of(person, simulator):
    return simulator.meet(person, is_token=True)


def union_id_of(person):
    return camera.union_id(people.find(person))


@pytest.fixture
def on_record(merchant):
    """Somebody who was onboarded here before."""

    def put(person):
        they = people.find(person)
        patient, _ = enrolment.enrol(
            enrolment.Person(they.name, they.document_type, they.document_number),
            accounts={merchant.appid: openid_of(person, merchant)},
            campus="main",
            at=timezone.now(),
        )
        return patient

    return put


@pytest.fixture
def come(kiosk, notice, merchant):
    """Open a session of the second kind and say what the SDK returned."""

    def come(**sighting):
        pk = open_session(kiosk)["id"]
        answer = kiosk.post(f"face-sessions/{pk}/sighting/", sighting)
        return FaceSession.objects.get(pk=pk), answer

    return come


@pytest.fixture
def desk(client, chen):
    """A registrar's browser."""
    client.force_login(chen)
    return client


def open_session(kiosk, *, granted=True):
    body = {"notice_version": 3, "granted": granted, "kind": "FACEID-ONCE"}
    body["purposes"] = ["onboarding"] if granted else []
    answer = kiosk.post("face-sessions/", body)
    assert answer.status_code == 201
    return answer.json()


def work(session, *, at=None):
    now = at or timezone.now()
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=lambda: now)
    session.refresh_from_db()
    return session


def events(session):
    return list(Event.objects.on(session).order_by("id"))


def actions(session):
    return [event.action for event in events(session)]


# Opening


@pytest.mark.parametrize(("asks", "told"), [(True, "1"), (False, "0")])
def test_a_session_says_whether_to_ask_for_the_union_id(kiosk, notice, merchant, asks, told):
    merchant.asks_union_id = asks
    merchant.save()

    opened = open_session(kiosk)

    assert opened["ask_unionid"] == told
    assert FaceSession.objects.get().kind == "FACEID-ONCE"
    assert '"kind":"FACEID-ONCE"' in events(FaceSession.objects.get())[0].payload


def test_the_other_kind_is_the_usual_one(kiosk, notice, merchant):
    body = {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}

    opened = kiosk.post("face-sessions/", body).json()

    assert "ask_unionid" not in opened
    assert FaceSession.objects.get().kind == "FACE_AUTH"


@pytest.mark.parametrize("kind", ["FACEPAY", "faceid-once", "", None, 1, ["FACEID-ONCE"]])
def test_no_other_kind_is_opened(kiosk, notice, merchant, kind):
    body = {"notice_version": 3, "granted": True, "purposes": ["onboarding"], "kind": kind}

    answer = kiosk.post("face-sessions/", body)

    assert answer.status_code == 422
    assert not FaceSession.objects.exists()


def test_who_refuses_is_not_looked_at(kiosk, notice, merchant):
    opened = open_session(kiosk, granted=False)

    answer = kiosk.post(f"face-sessions/{opened['id']}/sighting/", {"openid": OPENID})

    assert opened["state"] == "refused"
    assert answer.json()["code"] == "wrong_state"


# By the openid alone


def test_a_known_patient_is_recognised_without_asking_wechat(come, merchant, on_record, simulator):
    patient = on_record("stranger-1")

    session, answer = come(openid=openid_of("stranger-1", merchant))

    assert answer.status_code == 200
    assert answer.json() == {
        "id": str(session.pk),
        "state": "recognised",
        "patient": {"number": patient.number, "masked_name": patient.masked_name},
    }
    assert actions(session) == ["session.open", "session.recognise"]
    assert '"known_by":"openid"' in events(session)[-1].payload
    assert simulator.requests()["users"] == 0


def test_a_patient_whose_union_id_is_on_record_is_not_asked_about_again(
    come, linked, on_record, simulator
):
    patient = on_record("stranger-1")
    WechatUnion.objects.link(patient, union_id_of("stranger-1"), at=timezone.now())

    session, answer = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )

    assert answer.json()["state"] == "recognised"
    assert session.face_sid is None
    assert simulator.requests()["users"] == 0


def test_an_openid_of_nobodys_is_unrecognised_at_once(come, simulator):
    session, answer = come(openid=OPENID)

    assert answer.status_code == 200
    assert answer.json()["state"] == "unrecognised"
    assert answer.json()["reason"] == {
        "code": "unrecognised",
        "detail": "没有找到您的档案，可以刷脸建档，或到人工窗口办理",
    }
    assert actions(session) == ["session.open", "session.unrecognised"]
    assert not Patient.objects.exists()
    assert simulator.requests()["users"] == 0


# By the union id


def test_the_union_id_of_a_known_patient_is_learned(come, linked, on_record, simulator):
    patient = on_record("stranger-1")
    session, answer = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )
    assert answer.status_code == 202
    assert answer.json() == {"id": str(session.pk), "state": "authorized"}
    assert FaceSession.objects.due(timezone.now()).get() == session

    work(session)

    assert (session.state, session.patient) == (State.RECOGNISED, patient)
    [union] = WechatUnion.objects.all()
    assert (union.patient, union.union_id) == (patient, union_id_of("stranger-1"))
    assert actions(session) == [
        "session.open",
        "session.see",
        "wechat.answer",
        "session.recognise",
    ]
    assert session.answer is session.face_sid is None


def test_a_patient_is_recognised_by_union_id_under_a_new_openid(come, linked, on_record, simulator):
    patient = on_record("stranger-1")
    WechatUnion.objects.link(patient, union_id_of("stranger-1"), at=timezone.now())
    WechatAccount.objects.all().delete()  # the hospital's official account was replaced

    session, _ = come(token=token_of("stranger-1", simulator))
    work(session)

    assert (session.state, session.patient) == (State.RECOGNISED, patient)
    assert '"known_by":"union_id"' in events(session)[-1].payload
    openid = openid_of("stranger-1", linked)
    assert WechatAccount.objects.with_openid(linked.appid, openid).get().patient == patient


def test_a_stranger_with_a_token_is_unrecognised_and_nothing_of_them_is_kept(
    come, linked, simulator
):
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )

    work(session)

    assert session.state == State.UNRECOGNISED
    assert session.answer is session.face_sid is session.patient is None
    assert not WechatAccount.objects.exists()
    assert not WechatUnion.objects.exists()


def test_wechat_is_asked_for_a_union_id_and_never_for_a_name(come, linked, on_record, simulator):
    on_record("stranger-1")

    work(come(token=token_of("stranger-1", simulator))[0])

    entries = simulator.journal.after("")["entries"]
    [target] = [entry["target"] for entry in entries if entry["endpoint"] == "users"]
    assert "info_type=ASK_UNIONID" in target.replace("?", "&").split("&")
    assert "sub_serial_no" not in target


@pytest.mark.parametrize("known_openid", [True, False])
def test_an_account_that_leads_to_two_patients_waits_for_a_person(
    come, linked, on_record, simulator, known_openid
):
    on_record("stranger-1")
    WechatUnion.objects.link(on_record("stranger-2"), union_id_of("stranger-1"), at=timezone.now())
    claimed = {"openid": openid_of("stranger-1", linked)} if known_openid else {}
    session, _ = come(**claimed, token=token_of("stranger-1", simulator))

    work(session)

    assert (session.state, session.reason) == (State.FAILED, "account_differs")
    assert session.patient is None
    assert WechatAccount.objects.count() == 2
    assert WechatUnion.objects.count() == 1


def test_a_token_of_somebody_else_links_nothing_to_a_patient(come, linked, on_record, simulator):
    on_record("stranger-1")
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-2", simulator)
    )

    work(session)

    assert (session.state, session.reason) == (State.FAILED, "account_differs")
    assert WechatAccount.objects.count() == 1
    assert not WechatUnion.objects.exists()


def test_every_openid_of_a_known_account_is_linked(on_record, merchant):
    patient = on_record("stranger-1")
    accounts = {merchant.appid: openid_of("stranger-1", merchant), "wx-hospital": OPENID}

    recognition.recognise("union-id-0001", accounts=accounts, presumed=None, at=timezone.now())

    linked = {(account.appid, account.openid) for account in patient.wechat_accounts.all()}
    assert linked == set(accounts.items())


def test_two_who_link_at_once_cannot_both_be_right(on_record, merchant, monkeypatch):
    first, second = on_record("stranger-1"), on_record("stranger-2")
    WechatUnion.objects.link(first, "union-id-0001", at=timezone.now())
    rows = type(WechatUnion.objects.all())
    look, blind = rows.first, iter([True, True])  # twice as it was a moment ago
    monkeypatch.setattr(rows, "first", lambda self: None if next(blind, False) else look(self))

    with pytest.raises(recognition.AccountDiffers):
        recognition.recognise(
            "union-id-0001",
            accounts={merchant.appid: openid_of("stranger-2", merchant)},
            presumed=second,
            at=timezone.now(),
        )

    assert WechatUnion.objects.get().patient == first


def test_an_openid_that_moves_to_another_takes_no_union_id_along(on_record, merchant):
    patient = on_record("stranger-1")
    WechatUnion.objects.link(patient, union_id_of("stranger-1"), at=timezone.now())
    other = people.find("stranger-2")

    enrolment.enrol(
        enrolment.Person(other.name, other.document_type, other.document_number),
        accounts={merchant.appid: openid_of("stranger-1", merchant)},
        campus="main",
        at=timezone.now(),
    )

    assert not WechatUnion.objects.exists()


def test_from_the_camera_to_the_record(kiosk, notice, linked, on_record, simulator):
    patient = on_record("stranger-1")
    hospital, room = (httpx.WSGITransport(app) for app in (get_wsgi_application(), simulator))
    auth = TerminalAuth(kiosk.private_key, kiosk.key.pk)
    server = Server(Wire("http://testserver", auth, transport=hospital))
    camera = FaceSDK(SimulatedLibrary("http://room", lambda: "stranger-1", transport=room))
    camera.init()

    params = replace(server.authinfo(camera.rawdata()).params, face_authtype="FACEID-ONCE")
    opened = server.open(
        notice_version=3, granted=True, purposes=["onboarding"], kind="FACEID-ONCE"
    )
    seen = server.see(opened, camera.user_info(params, ask_unionid=opened.ask_unionid))
    work(FaceSession.objects.get())
    ended = server.watch(seen, wait=0)

    assert (seen.state, ended.state) == ("authorized", "recognised")
    assert ended.patient.number == patient.number
    assert WechatUnion.objects.get().patient == patient


# When WeChat does not say


@pytest.mark.parametrize("weather", ["500", "down", "rate-limited", "forged", "malformed"])
def test_a_known_patient_waits_for_nobody(come, linked, on_record, simulator, weather):
    patient = on_record("stranger-1")
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )
    simulator.expect(weather, times=9, endpoint="users")

    work(session)

    assert (session.state, session.patient) == (State.RECOGNISED, patient)
    assert '"code":""' not in events(session)[-1].payload
    assert not WechatUnion.objects.exists()


def test_a_stranger_is_asked_about_again(come, linked, on_record, simulator):
    patient = on_record("stranger-1")
    session, _ = come(token=token_of("stranger-1", simulator))
    simulator.expect("500", times=9, endpoint="users")
    work(session)
    assert session.state == State.AUTHORIZED
    simulator.clear()

    work(session, at=timezone.now() + timedelta(minutes=1))

    assert (session.state, session.patient) == (State.RECOGNISED, patient)


@pytest.mark.parametrize("state", ["recognised", "unrecognised"])
def test_an_account_without_a_union_id_is_judged_by_its_openid(
    come, linked, on_record, simulator, state
):
    patient = on_record("unlinked") if state == "recognised" else None
    session, _ = come(openid=openid_of("unlinked", linked), token=token_of("unlinked", simulator))

    work(session)

    assert (session.state, session.patient) == (state, patient)
    assert '"code":"wechat:INVALID_REQUEST"' in events(session)[-1].payload


@pytest.mark.parametrize("state", ["recognised", "failed"])
def test_after_its_attempts_a_session_ends_with_what_is_known(
    come, linked, on_record, simulator, state
):
    patient = on_record("stranger-1") if state == "recognised" else None
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )
    FaceSession.objects.filter(pk=session.pk).update(attempts=onboarding.ATTEMPTS)

    work(session)

    assert (session.state, session.patient) == (state, patient)
    assert simulator.requests()["users"] == 0


def test_a_kept_answer_is_not_asked_for_again(come, linked, on_record, simulator, monkeypatch):
    on_record("stranger-1")
    session, _ = come(token=token_of("stranger-1", simulator))
    with monkeypatch.context() as crash:
        crash.setattr("faceauth.recognition.settle", _die)
        with pytest.raises(MemoryError):
            work(session)

    work(session, at=timezone.now() + timedelta(minutes=1))

    assert session.state == State.RECOGNISED
    assert simulator.requests()["users"] == 1


def test_a_patient_whose_key_was_destroyed_is_nobodys_to_recognise(
    come, linked, on_record, simulator
):
    patient = on_record("stranger-1")
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )
    keyring.destroy(patient.pk)

    work(session)

    assert (session.state, session.reason) == (State.FAILED, "forgotten")
    assert session.answer is session.face_sid is session.patient is None


# What a terminal may say


@pytest.mark.parametrize(
    "sighting",
    [
        {"face_sid": "abcdefgh-0001"},
        {"openid": OPENID, "nickname": "San_San_0123456789"},
        {"token": "../../v3/refund"},
        {"token": ""},
        {"token": 7},
        {"openid": "o"},
    ],
)
def test_a_sighting_of_another_shape_is_refused(come, simulator, sighting):
    session, answer = come(**sighting)

    assert answer.status_code == 422
    assert "San_San" not in answer.text
    assert session.state == State.OPENED


def test_a_token_means_nothing_to_the_other_kind(kiosk, notice, merchant):
    pk = kiosk.agree()

    answer = kiosk.post(f"face-sessions/{pk}/sighting/", {"token": NOBODYS})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["code"] == "unknown_field"


def test_an_empty_sighting_is_none(come):
    session, answer = come()

    assert answer.json()["code"] == "face_sid_required"
    assert session.state == State.OPENED


def test_a_token_works_once(come):
    come(token=NOBODYS)

    session, answer = come(token=NOBODYS)

    assert answer.json()["code"] == "face_sid_used"
    assert session.state == State.OPENED


@pytest.mark.parametrize(
    "sighting", [{"openid": OPENID}, {"token": NOBODYS}, {"openid": OPENID, "token": NOBODYS}]
)
def test_the_same_sighting_again_changes_nothing(kiosk, come, sighting):
    session, first = come(**sighting)

    second = kiosk.post(f"face-sessions/{session.pk}/sighting/", sighting)

    assert (second.status_code, second.json()) == (first.status_code, first.json())
    assert len(events(session)) == 2


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"token": NOBODYS}, {"token": NOBODYS + "2"}),
        ({"token": NOBODYS}, {"openid": OPENID}),
        ({"openid": OPENID}, {"token": NOBODYS}),
    ],
)
def test_another_sighting_is_refused(kiosk, come, first, second):
    session, _ = come(**first)

    answer = kiosk.post(f"face-sessions/{session.pk}/sighting/", second)

    assert answer.json()["code"] == "wrong_state"


def test_there_is_nothing_to_authorize(kiosk, come):
    session, _ = come(token=NOBODYS)

    answer = kiosk.post(f"face-sessions/{session.pk}/authorization/", {"return_code": "SUCCESS"})

    assert answer.json()["code"] == "wrong_state"


def test_who_it_may_be_is_not_told_before_it_is_settled(kiosk, come, linked, on_record, simulator):
    patient = on_record("stranger-1")
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )

    before = kiosk.get(f"face-sessions/{session.pk}/").json()
    after = kiosk.get(f"face-sessions/{work(session).pk}/").json()

    assert "patient" not in before
    assert after["patient"]["number"] == patient.number


def test_staff_are_not_shown_who_it_may_be(come, linked, on_record, simulator, desk):
    patient = on_record("stranger-1")
    session, _ = come(
        openid=openid_of("stranger-1", linked), token=token_of("stranger-1", simulator)
    )
    sessions = "/admin/faceauth/facesession/"
    pages = (sessions, f"{sessions}{session.pk}/change/")

    before = [desk.get(page).text for page in pages]
    work(session)
    after = [desk.get(page).text for page in pages]

    assert [patient.number in page for page in before + after] == [False, False, True, True]


def test_no_account_is_in_the_trail(come, linked, on_record, simulator):
    on_record("stranger-1")
    openid, token = openid_of("stranger-1", linked), token_of("stranger-1", simulator)

    work(come(openid=openid, token=token)[0])

    trail = "".join(Event.objects.values_list("payload", flat=True))
    assert not any(secret in trail for secret in (openid, token, union_id_of("stranger-1")))


def _die(*_args, **_kwargs):
    raise MemoryError
