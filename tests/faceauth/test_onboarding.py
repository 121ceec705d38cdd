"""face_sid → identity → patient, and every way it does not come to that."""

import json
import time
from datetime import timedelta

import pytest
from django.utils import timezone

from faceauth import connection, onboarding, tasks
from faceauth.models import FaceSession, WrongState
from faceauth.reasons import for_staff
from faceauth.remedies import remedy
from faceauth.simulator import people
from faceauth.simulator.camera import Camera
from faceauth.simulator.weather import Weather
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.patients.models import Patient, WechatAccount
from tests.conftest import see

State = FaceSession.State


def facts_of(session, action):
    """Of the latest."""
    return json.loads(Event.objects.on(session).filter(action=action).latest("id").payload)["facts"]


def work(session, *, at=None):
    now = at or timezone.now()
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=lambda: now)
    session.refresh_from_db()
    return session


@pytest.fixture
def authorize(kiosk, notice, merchant, simulator):
    def authorize(person):
        session = see(kiosk, simulator, person)
        path = f"face-sessions/{session.pk}/authorization/"
        kiosk.post(path, {"return_code": "SUCCESS"}).raise_for_status()
        session.refresh_from_db()
        return session

    return authorize


def person(name):
    return people.find(name)


def test_a_stranger_becomes_a_patient(authorize):
    session = work(authorize("stranger-7"))

    patient = Patient.objects.get()
    assert session.state == State.ONBOARDED
    assert session.patient == patient
    assert patient.real_name == person("stranger-7").name
    assert patient.document_number == person("stranger-7").document_number
    assert Patient.objects.with_document(1, patient.document_number).get() == patient


def test_the_same_person_again_is_the_same_patient(authorize):
    first, second = work(authorize("stranger-7")), work(authorize("stranger-7"))

    assert first.patient == second.patient
    assert Patient.objects.count() == 1
    assert WechatAccount.objects.count() == 1
    news = [
        event.payload.count('"is_new":true')
        for event in Event.objects.filter(action="patient.onboard")
    ]
    assert sorted(news) == [0, 1]


def test_doing_it_twice_does_it_once(authorize, simulator):
    session = work(authorize("stranger-7"))

    work(session)
    work(session, at=timezone.now() + timedelta(hours=1))

    assert Patient.objects.count() == 1
    assert simulator.requests()["users"] == 1


def test_a_session_somebody_works_on_is_left_alone(authorize, simulator):
    session = authorize("stranger-7")
    FaceSession.objects.claim(session.pk, at=timezone.now())

    work(session)

    assert session.state == State.AUTHORIZED
    assert simulator.requests()["users"] == 0


def test_a_kept_answer_is_not_asked_for_again(authorize, simulator, monkeypatch):
    session = authorize("stranger-7")
    with monkeypatch.context() as crash:
        crash.setattr("faceauth.onboarding._enrol", _die)
        with pytest.raises(MemoryError):
            work(session)

    work(session, at=timezone.now() + timedelta(minutes=1))

    assert session.state == State.ONBOARDED
    assert simulator.requests()["users"] == 1


@pytest.mark.parametrize(
    "weather",
    ["500", "down", "rate-limited", "forged", "stale", "future", "unsigned", "truncated",
     "oversized", "html", "signtest"],
)  # fmt: skip
def test_bad_weather_changes_nothing_and_passes(authorize, simulator, weather):
    session = authorize("stranger-7")
    simulator.expect(weather, times=9, endpoint="users")

    work(session)

    assert session.state == State.AUTHORIZED
    assert session.answer is None
    assert not Patient.objects.exists()
    assert Event.objects.on(session).filter(action="wechat.retry", outcome="failed").count() == 1
    simulator.weather = Weather()
    assert work(session, at=timezone.now() + timedelta(minutes=2)).state == State.ONBOARDED


@pytest.mark.parametrize("weather", ["garbage", "oaep"])
def test_noise_is_never_a_name(authorize, simulator, weather):
    session = authorize("stranger-7")
    simulator.expect(weather, endpoint="users")

    work(session)

    assert session.state == State.FAILED
    assert session.reason.startswith("undecryptable:")
    assert session.face_sid is None
    assert session.answer is None
    assert not Patient.objects.exists()


def test_a_signed_answer_that_says_nothing_is_asked_for_again(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("malformed", times=1, endpoint="users")
    work(session)
    assert session.state == State.AUTHORIZED
    assert session.answer is None

    work(session, at=timezone.now() + timedelta(minutes=1))

    assert session.state == State.ONBOARDED
    assert simulator.requests()["users"] == 2


def test_waiting_grows_and_honours_wechat(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("500", times=99, endpoint="users")
    at, waits = timezone.now(), []
    for _ in range(5):
        work(session, at=at)
        waits.append((session.due_at - at).total_seconds())
        at = session.due_at

    assert waits == [1, 2, 4, 8, 16]


def test_after_its_attempts_a_session_fails_and_says_so(authorize, simulator):
    session = authorize("stranger-7")
    FaceSession.objects.filter(pk=session.pk).update(attempts=onboarding.ATTEMPTS)

    work(session)

    assert session.state == State.FAILED
    assert session.reason == "attempts_exhausted"
    assert simulator.requests()["users"] == 0


def test_a_face_sid_wechat_does_not_know_fails_with_its_code(authorize, simulator):
    session = authorize("stranger-7")
    simulator.camera = Camera(simulator.world, time.time)

    work(session)

    assert session.state == State.FAILED
    assert session.reason.startswith("wechat:")


def test_nobody_is_lost_while_our_configuration_is_mended(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("wrong-appid", times=onboarding.ATTEMPTS + 1, endpoint="users")
    for minutes in range(onboarding.ATTEMPTS + 1):
        work(session, at=timezone.now() + timedelta(minutes=minutes))
    assert session.state == State.AUTHORIZED
    assert facts_of(session, "wechat.retry")["wechat_fact"] == "appid_mch_id"
    assert for_staff(session) == remedy("appid_mch_id")

    work(session, at=timezone.now() + timedelta(hours=1))

    assert session.state == State.ONBOARDED


def test_a_wrong_key_pair_is_named_to_staff_and_quoted_to_wechat(authorize, merchant):
    session = authorize("stranger-7")
    merchant.merchant_serial = "0" * 40
    merchant.save()

    work(session)

    facts = facts_of(session, "wechat.retry")
    assert session.state == State.AUTHORIZED
    assert facts["code"] == "wechat:SIGN_ERROR"
    assert facts["wechat_status"] == 401
    assert facts["wechat_request_id"].endswith("-268443699")  # WeChat's number of 签名错误
    assert "私钥" in for_staff(session)


def test_what_wechat_rejected_can_be_quoted_to_them(authorize, simulator):
    session = authorize("stranger-7")
    simulator.camera = Camera(simulator.world, time.time)

    work(session)

    facts = facts_of(session, "session.fail")
    assert facts["code"] == session.reason
    assert facts["wechat_status"] == 404
    assert facts["wechat_request_id"]


def test_a_missing_right_may_be_a_missing_consent_and_fails_with_both_named(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("no-permission", endpoint="users")

    work(session)

    assert session.reason == "wechat:NO_AUTH"
    assert "患者未在微信上授权，或商户未开通" in for_staff(session)


def test_a_configuration_nobody_mends_is_given_up_and_explained(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("wrong-appid", endpoint="users")
    work(session)

    work(session, at=timezone.now() + onboarding.GIVE_UP + timedelta(seconds=1))

    assert session.reason == "attempts_exhausted"
    assert for_staff(session).endswith(remedy("appid_mch_id"))


def test_nothing_of_a_child_is_kept(authorize):
    session = work(authorize("minor"))

    assert session.state == State.GUARDIAN_REQUIRED
    assert session.answer is None
    assert not Patient.objects.exists()
    assert not WechatAccount.objects.exists()
    assert Event.objects.on(session).filter(action="session.guardian").exists()


def test_a_known_document_with_another_name_waits_for_a_person(authorize):
    impostor = people.find("impostor")
    [victim] = [
        one for one in people.CAST.values()
        if one.document_number == impostor.document_number and one.id != "impostor"
    ]  # fmt: skip
    work(authorize(victim.id))

    session = work(authorize("impostor"))

    assert session.state == State.FAILED
    assert session.reason == "name_differs"
    assert Patient.objects.count() == 1


@pytest.mark.parametrize("kind", [2, 5, 9])
def test_documents_from_elsewhere_are_accepted(authorize, kind):
    foreigner = next(one for one in people.CAST.values() if one.document_type == kind)

    session = work(authorize(foreigner.id))

    assert session.state == State.ONBOARDED
    assert session.patient.document_type == kind
    assert session.patient.name_birth_index is None


def test_missing_keys_are_waited_for(authorize, settings, tmp_path):
    session = authorize("stranger-7")
    settings.MERCHANT_KEYS_DIR = tmp_path / "nowhere"

    work(session)

    assert session.state == State.AUTHORIZED
    assert Event.objects.on(session).filter(action="wechat.retry").exists()


def test_the_sweeper_wakes_what_is_due(authorize, monkeypatch):
    due, later = authorize("stranger-7"), authorize("stranger-8")
    FaceSession.objects.filter(pk=later.pk).update(
        due_at=timezone.now() + timedelta(minutes=1), attempts=1
    )
    woken = []
    monkeypatch.setattr(tasks.onboard, "apply_async", lambda **options: woken.append(options))

    tasks.wake_due()

    assert [options["kwargs"] for options in woken] == [{"session_id": str(due.pk)}]


def test_the_task_takes_an_id_and_nothing_else(authorize):
    session = authorize("stranger-7")

    tasks.onboard(session_id=str(session.pk))

    session.refresh_from_db()
    assert session.state == State.ONBOARDED


def _die(*_args, **_kwargs):
    raise MemoryError


def test_an_answer_in_hand_is_worth_more_patience(authorize, monkeypatch):
    session = authorize("stranger-7")
    with monkeypatch.context() as crash:
        crash.setattr("faceauth.onboarding._enrol", _die)
        with pytest.raises(MemoryError):
            work(session)
    FaceSession.objects.filter(pk=session.pk).update(attempts=onboarding.ATTEMPTS + 5)

    work(session, at=timezone.now() + timedelta(minutes=1))

    assert session.state == State.ONBOARDED


def test_our_own_outage_costs_no_attempt(authorize, settings, tmp_path):
    session = authorize("stranger-7")
    keyring.clear()
    keys, settings.KEY_FILE = settings.KEY_FILE, tmp_path / "nowhere"
    for minutes in range(30):
        work(session, at=timezone.now() + timedelta(minutes=minutes))
    assert session.state == State.AUTHORIZED
    assert session.attempts == session.excused == 30

    settings.KEY_FILE = keys

    assert work(session, at=timezone.now() + timedelta(hours=1)).state == State.ONBOARDED


def test_a_key_file_with_something_else_in_it_is_waited_for(authorize, settings):
    session = authorize("stranger-7")
    (settings.MERCHANT_KEYS_DIR / "merchant_key.pem").write_text("not a key")

    work(session)

    assert session.state == State.AUTHORIZED


def test_wechat_cannot_make_us_wait_for_days(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("rate-limited", times=9, endpoint="users")
    at = timezone.now()

    work(session, at=at)

    assert session.due_at - at <= timedelta(seconds=onboarding.LONGEST_WAIT)


def test_a_session_that_is_too_old_is_given_up(authorize, simulator):
    session = authorize("stranger-7")

    work(session, at=timezone.now() + onboarding.GIVE_UP + timedelta(seconds=1))

    assert session.reason == "attempts_exhausted"
    assert simulator.requests()["users"] == 0


def test_a_worker_that_lost_its_lease_says_nothing(authorize, simulator):
    session = authorize("stranger-7")
    simulator.expect("500", times=9, endpoint="users")
    slow = FaceSession.objects.claim(session.pk, at=timezone.now())
    FaceSession.objects.claim(session.pk, at=timezone.now() + timedelta(minutes=5))

    with pytest.raises(WrongState):
        slow.postpone(until=timezone.now())
