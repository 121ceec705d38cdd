"""The terminal's calls, signed for real, from the notice to the patient."""

from datetime import timedelta

import pytest
from django.utils import timezone

from faceauth import connection, onboarding
from faceauth.models import Consent, FaceSession, Merchant, Notice
from faceauth.simulator import camera, people
from hospital.audit.models import Event
from hospital.patients.models import Patient
from tests.conftest import see

OPENID = "o" + "x" * 27
State = FaceSession.State


def openid_of(person, merchant):
    return camera.openid(people.find(person), merchant.appid)


def onboard(session):
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=timezone.now)
    session.refresh_from_db()


def actions(session):
    return list(Event.objects.on(session).order_by("id").values_list("action", flat=True))


def test_a_terminal_reads_the_notice_in_force(kiosk, notice):
    answer = kiosk.get("notice/").json()

    assert answer["version"] == 3
    assert answer["digest"] == notice.digest
    assert answer["purposes"][0] == {"code": "onboarding", "label": "建立档案", "required": True}
    assert answer["fallback"]


def test_without_a_notice_no_face_is_asked_for(kiosk):
    answer = kiosk.get("notice/")

    assert answer.status_code == 409
    assert answer.json()["code"] == "no_notice"


def test_an_agreement_opens_a_session(kiosk, notice, merchant):
    body = {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}

    answer = kiosk.post("face-sessions/", body)

    assert answer.status_code == 201
    assert answer.json()["state"] == "opened"
    session = FaceSession.objects.get(pk=answer.json()["id"])
    assert session.consent.granted
    assert session.consent.notice_digest == notice.digest
    assert actions(session) == ["session.open"]


def test_a_refusal_is_recorded_and_names_the_other_way_in(kiosk, notice, merchant):
    body = {"notice_version": 3, "granted": False, "purposes": []}

    answer = kiosk.post("face-sessions/", body)

    assert answer.status_code == 201
    assert answer.json()["state"] == "refused"
    assert answer.json()["fallback"] == notice.fallback
    assert not Consent.objects.get().granted


def test_a_refused_session_takes_no_face_sid(kiosk, notice, merchant, simulator):
    body = {"notice_version": 3, "granted": False, "purposes": []}
    pk = kiosk.post("face-sessions/", body).json()["id"]

    answer = kiosk.post(f"face-sessions/{pk}/sighting/", {"face_sid": simulator.meet("stranger-1")})

    assert answer.status_code == 409
    assert answer.json()["code"] == "wrong_state"
    assert simulator.requests()["users"] == 0


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"notice_version": 2, "granted": True, "purposes": ["onboarding"]}, "notice_outdated"),
        ({"notice_version": 3, "granted": True, "purposes": []}, "purposes_incomplete"),
        (
            {"notice_version": 3, "granted": True, "purposes": ["onboarding", "sale"]},
            "purpose_unknown",
        ),
    ],
)
def test_an_agreement_to_something_else_opens_nothing(kiosk, notice, merchant, body, code):
    answer = kiosk.post("face-sessions/", body)

    assert answer.status_code == 409
    assert answer.json()["code"] == code
    assert not FaceSession.objects.exists()
    assert not Consent.objects.exists()


def test_a_stranger_stays_to_be_asked(seen):
    assert seen.state == State.SEEN


def test_a_stranger_is_asked_on_wechats_screen(kiosk, notice, merchant, simulator):
    pk = kiosk.agree()

    answer = kiosk.post(
        f"face-sessions/{pk}/sighting/",
        {"face_sid": simulator.meet("stranger-1"), "openid": OPENID},
    )

    assert answer.json() == {"id": pk, "state": "seen", "quit_face_auth": "0"}


def test_a_stranger_without_a_face_sid_is_refused(kiosk, notice, merchant):
    pk = kiosk.agree()

    answer = kiosk.post(f"face-sessions/{pk}/sighting/", {"openid": OPENID})

    assert answer.json()["code"] == "face_sid_required"


def test_a_stranger_becomes_a_patient(kiosk, authorized, simulator):
    onboard(authorized)

    answer = kiosk.get(f"face-sessions/{authorized.pk}/").json()
    patient = Patient.objects.get()
    assert answer["state"] == "onboarded"
    assert answer["patient"]["number"] == patient.number
    assert answer["patient"]["masked_name"] == patient.masked_name != patient.real_name
    assert patient.real_name not in str(answer)
    assert actions(authorized) == [
        "session.open",
        "session.see",
        "session.authorize",
        "wechat.answer",
    ]
    assert list(Event.objects.on(patient).values_list("action", flat=True)) == ["patient.onboard"]


def test_a_finished_session_holds_nothing_of_anyone(authorized):
    onboard(authorized)

    assert authorized.face_sid is None
    assert authorized.answer is None
    assert authorized.face_sid_index


def test_a_patient_is_recognised_the_second_time_without_asking_wechat(
    kiosk, authorized, simulator, merchant
):
    onboard(authorized)
    openid = openid_of("stranger-1", merchant)
    asked = simulator.requests()["users"]
    pk = kiosk.agree()

    answer = kiosk.post(
        f"face-sessions/{pk}/sighting/",
        {"face_sid": simulator.meet("stranger-1"), "openid": openid},
    ).json()

    assert answer["state"] == "recognised"
    assert answer["quit_face_auth"] == "1"
    assert answer["patient"]["number"] == Patient.objects.get().number
    assert simulator.requests()["users"] == asked


def test_an_authorization_is_accepted_and_queued(kiosk, seen):
    answer = kiosk.post(f"face-sessions/{seen.pk}/authorization/", {"return_code": "SUCCESS"})

    assert answer.status_code == 202
    assert answer.json()["state"] == "authorized"
    assert FaceSession.objects.due(timezone.now()).get() == seen


def test_a_no_on_wechats_screen_ends_the_session(kiosk, seen, simulator):
    answer = kiosk.post(
        f"face-sessions/{seen.pk}/authorization/",
        {"return_code": "USER_CANCEL", "return_msg": "用户取消"},
    )

    seen.refresh_from_db()
    assert answer.status_code == 200
    assert answer.json()["state"] == "declined"
    assert answer.json()["reason"]["detail"]
    assert seen.face_sid is None
    assert simulator.requests()["users"] == 0


def test_an_sdk_error_is_a_failure_not_a_refusal(kiosk, seen):
    answer = kiosk.post(f"face-sessions/{seen.pk}/authorization/", {"return_code": "SYSTEMERROR"})

    assert answer.json()["state"] == "failed"
    assert answer.json()["reason"]["code"] == "authorization_failed"


def test_nobody_is_authorized_before_being_seen(kiosk, notice, merchant):
    pk = kiosk.agree()

    answer = kiosk.post(f"face-sessions/{pk}/authorization/", {"return_code": "SUCCESS"})

    assert answer.json()["code"] == "wrong_state"


def test_saying_the_same_twice_does_it_once(kiosk, seen):
    path = f"face-sessions/{seen.pk}/authorization/"
    first = kiosk.post(path, {"return_code": "SUCCESS"})

    second = kiosk.post(path, {"return_code": "SUCCESS"})

    assert first.status_code == second.status_code == 202
    assert actions(seen).count("session.authorize") == 1


def test_yes_after_no_is_refused(kiosk, seen):
    path = f"face-sessions/{seen.pk}/authorization/"
    kiosk.post(path, {"return_code": "USER_CANCEL"})

    answer = kiosk.post(path, {"return_code": "SUCCESS"})

    assert answer.json()["code"] == "wrong_state"


def test_the_same_sighting_again_changes_nothing(kiosk, notice, merchant, simulator):
    pk, sighting = kiosk.agree(), {"face_sid": simulator.meet("stranger-1")}
    first = kiosk.post(f"face-sessions/{pk}/sighting/", sighting)

    second = kiosk.post(f"face-sessions/{pk}/sighting/", sighting)

    assert first.json() == second.json()
    assert Event.objects.filter(action="session.see").count() == 1


def test_a_face_sid_works_in_one_session_only(kiosk, notice, merchant, simulator):
    sighting = {"face_sid": simulator.meet("stranger-1")}
    kiosk.post(f"face-sessions/{kiosk.agree()}/sighting/", sighting)

    answer = kiosk.post(f"face-sessions/{kiosk.agree()}/sighting/", sighting)

    assert answer.status_code == 409
    assert answer.json()["code"] == "face_sid_used"


@pytest.mark.parametrize("call", ["", "sighting/", "authorization/"])
def test_another_terminals_session_is_not_found(install, notice, merchant, simulator, call):
    mine, other = install("T-1"), install("T-2")
    session = see(mine, simulator, "stranger-1")
    path = f"face-sessions/{session.pk}/{call}"
    body = {"return_code": "SUCCESS"} if call == "authorization/" else {"openid": OPENID}

    answer = other.post(path, body) if call else other.get(path)

    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"
    denied = Event.objects.filter(action="terminal.denied").get()
    assert denied.actor_id == str(other.terminal.pk)


def test_a_poll_answers_at_once_when_there_is_nothing_to_wait_for(kiosk, authorized):
    onboard(authorized)

    answer = kiosk.get(f"face-sessions/{authorized.pk}/?wait=25")

    assert answer.json()["state"] == "onboarded"


@pytest.mark.parametrize("wait", ["-1", "26", "soon", "1e3", "１"])
def test_a_wait_out_of_range_is_invalid(kiosk, seen, wait):
    answer = kiosk.get(f"face-sessions/{seen.pk}/?wait={wait}")

    assert answer.status_code == (200 if wait == "１" else 422)


def test_an_idempotency_key_answers_the_first_answer_again(kiosk, notice, merchant):
    body = {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}
    first = kiosk.post("face-sessions/", body, **{"Idempotency-Key": "visit-0001"})

    second = kiosk.post("face-sessions/", body, **{"Idempotency-Key": "visit-0001"})

    assert second.status_code == 201
    assert second.json() == first.json()
    assert second.headers["Idempotency-Replayed"] == "true"
    assert FaceSession.objects.count() == 1


def test_an_idempotency_key_with_another_body_is_refused(kiosk, notice, merchant):
    key = {"Idempotency-Key": "visit-0001"}
    kiosk.post("face-sessions/", {"notice_version": 3, "granted": False, "purposes": []}, **key)

    answer = kiosk.post(
        "face-sessions/", {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}, **key
    )

    assert answer.status_code == 422
    assert answer.json()["code"] == "idempotency_key_reused"


def test_two_terminals_may_use_the_same_key(install, notice, merchant):
    body = {"notice_version": 3, "granted": False, "purposes": []}
    key = {"Idempotency-Key": "visit-0001"}

    first = install("T-1").post("face-sessions/", body, **key)
    second = install("T-2").post("face-sessions/", body, **key)

    assert first.json()["id"] != second.json()["id"]


def test_a_refused_request_is_not_remembered_under_its_key(kiosk, notice, merchant):
    key = {"Idempotency-Key": "visit-0001"}
    kiosk.post(
        "face-sessions/", {"notice_version": 9, "granted": True, "purposes": ["onboarding"]}, **key
    )

    answer = kiosk.post(
        "face-sessions/", {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}, **key
    )

    assert answer.status_code == 201


def test_without_a_merchant_a_session_says_so(kiosk, notice):
    body = {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}

    answer = kiosk.post("face-sessions/", body)

    assert answer.json()["code"] == "not_configured"
    assert not Merchant.objects.exists()


def test_a_changed_notice_asks_again(kiosk, notice, merchant):
    newer = Notice.objects.create(
        version=4, title="新", text="新", purposes=notice.purposes, fallback="窗口"
    )
    Notice.objects.filter(pk=newer.pk).update(in_force_from=timezone.now() - timedelta(seconds=1))
    Notice.objects.filter(pk=notice.pk).update(in_force_from=timezone.now() - timedelta(days=1))

    answer = kiosk.post(
        "face-sessions/", {"notice_version": 3, "granted": True, "purposes": ["onboarding"]}
    )

    assert answer.json()["code"] == "notice_outdated"
