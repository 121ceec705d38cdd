"""What was agreed to, how long it holds, and that nothing happens without."""

import json
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from django.utils import timezone

from devices import activation
from devices.another_way import NoFallback
from devices.models import Store
from faceauth import connection, consent, handling, onboarding, withdrawal
from faceauth.models import Consent, Declining, FaceSession, Notice
from faceauth.simulator import camera, people
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM
from hospital.patients import enrolment
from hospital.patients.enrolment import Person
from hospital.patients.models import Identification, Patient, WechatAccount, WechatUnion
from hospital.patients.restriction import Restricted
from tests.conftest import recorded, see
from tests.hospital.test_guardians import a_patient, agree

State = FaceSession.State
SHANGHAI = ZoneInfo("Asia/Shanghai")


def open_session(kiosk, **said):
    body = {"notice_version": 3, "granted": True, "purposes": ["onboarding"], **said}
    return kiosk.post("face-sessions/", body)


def sight(kiosk, simulator, pk, person, **openid):
    body = {"face_sid": simulator.meet(person), **openid}
    return kiosk.post(f"face-sessions/{pk}/sighting/", body)


def answer(kiosk, session, return_code="SUCCESS"):
    path = f"face-sessions/{session.pk}/authorization/"
    return kiosk.post(path, {"return_code": return_code})


def withdraw(kiosk, pk, **headers):
    return kiosk.post(f"face-sessions/{pk}/withdrawal/", {}, **headers)


def work(session, *, client_for=connection.identity_client, at=None):
    now = at or timezone.now()
    onboarding.onboard(session.pk, client_for=client_for, clock=lambda: now)
    session.refresh_from_db()
    return session


def openid_of(person, merchant):
    return camera.openid(people.find(person), merchant.appid)


def facts_of(action):
    """Of the latest."""
    return json.loads(Event.objects.filter(action=action).latest("id").payload)["facts"]


@pytest.fixture
def onboarded(kiosk, authorized):
    return work(authorized)


class Meanwhile:
    """A client to whom something happens while WeChat answers."""

    def __init__(self, merchant, act):
        self._client = connection.identity_client(merchant)
        self._act = act

    def ask(self, face_sid):
        answer = self._client.ask(face_sid)
        self._act()
        return answer

    def open(self, body):
        return self._client.open(body)


class MeanwhileUnion(Meanwhile):
    """The same, where WeChat is asked for a union id."""

    def ask_union(self, token):
        answer = self._client.ask_union(token)
        self._act()
        return answer

    def open_union(self, body):
        return self._client.open_union(body)


# Given


def test_a_session_that_gets_a_patient_says_whose_consent_it_was(onboarded):
    given = Consent.objects.get()

    assert given.patient == onboarded.patient_id
    assert facts_of("patient.onboard")["consent"] == str(given.pk)


def test_who_is_recognised_has_agreed_as_well(onboarded, kiosk, simulator, merchant):
    session = see(kiosk, simulator, "stranger-2")
    WechatAccount.objects.create(
        patient=onboarded.patient,
        appid=merchant.appid,
        openid=openid_of("zhangsan", merchant),
        created_at=timezone.now(),
    )
    pk = kiosk.agree()
    sight(kiosk, simulator, pk, "zhangsan", openid=openid_of("zhangsan", merchant))

    assert FaceSession.objects.get(pk=pk).state == State.RECOGNISED
    assert Consent.objects.filter(patient=onboarded.patient_id).count() == 2
    session.consent.refresh_from_db()
    assert session.consent.patient is None


def test_each_purpose_is_agreed_to_by_itself(kiosk, notice, merchant):
    without_what_is_needed = open_session(kiosk, purposes=["research"])
    without_what_may_be_left_out = open_session(kiosk, purposes=["onboarding"])

    assert without_what_is_needed.json()["code"] == "purposes_incomplete"
    assert without_what_may_be_left_out.status_code == 201
    assert Consent.objects.get().purposes == ["onboarding"]


def test_a_notice_of_before_is_not_agreed_to(kiosk, notice, merchant):
    newer = Notice.objects.create(
        version=4, title="新", text="…", purposes=notice.purposes, fallback="请到人工窗口"
    )
    consent.enforce(newer, by=SYSTEM, at=timezone.now())

    assert open_session(kiosk).json()["code"] == "notice_outdated"
    assert open_session(kiosk, notice_version=4).status_code == 201


def test_a_notice_has_a_digest_of_either_kind(notice):
    sha256, sm3 = notice.digest, notice.digest_sm3
    notice.text = "改过"
    notice.save(update_fields=["text"])
    notice.refresh_from_db()

    assert (len(sha256), len(sm3)) == (64, 64)
    assert notice.digest not in {sha256, sm3}
    assert notice.digest_sm3 not in {sha256, sm3}
    assert (notice.digest, notice.digest_sm3) == notice.compute_digests()


# In force


@pytest.mark.parametrize(
    "changed",
    [{"granted": False}, {"purposes": ["research"]}, {"withdrawn_at": timezone.now()}],
)
def test_without_a_consent_in_force_wechat_is_not_asked(authorized, simulator, changed):
    Consent.objects.update(**changed)

    session = work(authorized)

    assert simulator.requests()["users"] == 0
    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert session.face_sid is None


def test_what_was_answered_is_not_read_without_a_consent(authorized, simulator, monkeypatch):
    with monkeypatch.context() as crash:
        crash.setattr("faceauth.onboarding._enrol", _die)
        with pytest.raises(MemoryError):
            work(authorized)
    Consent.objects.update(withdrawn_at=timezone.now())

    session = work(authorized, at=timezone.now() + timedelta(minutes=1))

    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert session.answer is None
    assert not Patient.objects.exists()


def _die(*_args, **_kwargs):
    raise MemoryError


# Taken back


@pytest.mark.parametrize("at", ["opened", "seen", "authorized"])
def test_taking_back_ends_a_visit_wherever_it_is(at, kiosk, notice, merchant, simulator):
    pk = kiosk.agree()
    if at != "opened":
        sight(kiosk, simulator, pk, "stranger-1")
    session = FaceSession.objects.get(pk=pk)
    if at == "authorized":
        answer(kiosk, session)

    with recorded():
        said = withdraw(kiosk, pk)

    session.refresh_from_db()
    assert said.json() == {"state": "refused", "fallback": "请到人工窗口凭身份证件建档"}
    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert (session.face_sid, session.answer, session.openid_indexes) == (None, None, [])
    assert Consent.objects.get().withdrawn_at is not None
    assert kiosk.get(f"face-sessions/{pk}/").json()["reason"]["code"] == "consent_withdrawn"
    work(session)
    assert simulator.requests()["users"] == 0


def test_taking_back_while_wechat_is_asked_leaves_no_patient(kiosk, authorized, simulator):
    def client_for(merchant):
        return Meanwhile(merchant, lambda: withdraw(kiosk, authorized.pk).raise_for_status())

    with recorded():
        session = work(authorized, client_for=client_for)

    assert simulator.requests()["users"] == 1
    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert (session.face_sid, session.answer) == (None, None)
    assert not Patient.objects.exists()
    assert not WechatAccount.objects.exists()


def test_after_a_visit_taking_back_forgets_the_wechat_account(kiosk, onboarded, simulator):
    patient = onboarded.patient
    WechatUnion.objects.create(patient=patient, union_id="u" * 28, created_at=timezone.now())

    with recorded():
        said = withdraw(kiosk, onboarded.pk)

    onboarded.refresh_from_db()
    assert said.json()["state"] == "onboarded"
    assert Consent.objects.get().withdrawn_at is not None
    assert not WechatAccount.objects.exists()
    assert not WechatUnion.objects.exists()
    assert Patient.objects.get() == patient
    assert facts_of("patient.unlink_wechat") == {"code": "consent_withdrawn", "count": 2}


def test_the_next_visit_of_who_took_it_back_begins_anew(kiosk, onboarded, simulator, merchant):
    account = WechatAccount.objects.get()
    openid = account.openid
    withdraw(kiosk, onboarded.pk)

    pk = kiosk.agree()
    said = sight(kiosk, simulator, pk, "stranger-1", openid=openid)

    assert (said.json()["state"], said.json()["quit_face_auth"]) == ("seen", "0")


def test_taking_back_twice_is_once(kiosk, onboarded):
    first = withdraw(kiosk, onboarded.pk)
    at = Consent.objects.get().withdrawn_at

    again = withdraw(kiosk, onboarded.pk)

    assert again.json() == first.json()
    assert Consent.objects.get().withdrawn_at == at
    assert Event.objects.filter(action="consent.withdraw").count() == 1


def test_asked_once_more_a_terminal_takes_back_nothing_agreed_to_since(
    kiosk, onboarded, simulator, merchant
):
    withdraw(kiosk, onboarded.pk)
    session = see(kiosk, simulator, "stranger-1")
    answer(kiosk, session)

    withdraw(kiosk, onboarded.pk)

    session.refresh_from_db()
    assert work(session).state == State.ONBOARDED


def test_who_takes_back_what_is_not_known_to_stand_is_on_record(kiosk, onboarded, chen):
    Consent.objects.update(withdrawn_at=timezone.now())
    WechatAccount.objects.all().delete()

    with recorded():
        withdrawal.withdraw(onboarded.patient, by=chen, at=timezone.now())

    event = Event.objects.filter(action="consent.withdraw").get()
    assert event.object_id == str(onboarded.patient_id)


def test_the_same_key_again_is_answered_as_before(kiosk, notice, merchant):
    pk = kiosk.agree()
    key = {"Idempotency-Key": "withdraw-1"}

    first, again = withdraw(kiosk, pk, **key), withdraw(kiosk, pk, **key)

    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == first.json()


def test_a_refusal_has_nothing_to_take_back(kiosk, notice, merchant):
    pk = open_session(kiosk, granted=False, purposes=[]).json()["id"]

    said = withdraw(kiosk, pk)

    assert said.json()["state"] == "refused"
    assert Consent.objects.get().withdrawn_at is None
    assert not Event.objects.filter(action="consent.withdraw").exists()


def test_a_visit_of_another_terminal_is_not_found(kiosk, install, notice, merchant):
    pk = kiosk.agree()

    assert withdraw(install("T-2"), pk).status_code == 404
    assert Consent.objects.get().withdrawn_at is None


def test_what_still_asks_about_a_patient_ends_with_their_consent(
    kiosk, onboarded, simulator, merchant, chen
):
    merchant.asks_union_id = True
    merchant.save()
    pk = open_session(kiosk, kind="FACEID-ONCE").json()["id"]
    openid = WechatAccount.objects.get().openid
    body = {"openid": openid, "token": simulator.meet("stranger-1", is_token=True)}
    kiosk.post(f"face-sessions/{pk}/sighting/", body).raise_for_status()
    assert FaceSession.objects.get(pk=pk).state == State.AUTHORIZED

    with recorded():
        withdrawal.withdraw(onboarded.patient, by=chen, at=timezone.now())

    session = FaceSession.objects.get(pk=pk)
    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert session.patient is None
    assert not Consent.objects.filter(withdrawn_at=None).exists()
    assert {one.withdrawn_by for one in Consent.objects.all()} == {chen.pk}
    asked = simulator.requests()
    work(session)
    assert asked == simulator.requests()


def test_what_was_agreed_to_before_a_withdrawal_enrols_nobody_after_it(
    kiosk, onboarded, simulator, chen
):
    patient = onboarded.patient
    WechatAccount.objects.all().delete()
    session = see(kiosk, simulator, "stranger-1")  # nobody can tell yet that it is them
    answer(kiosk, session)
    with recorded():
        withdrawal.withdraw(patient, by=chen, at=timezone.now())

    session.refresh_from_db()
    session = work(session)

    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert not WechatAccount.objects.exists()

    session = see(kiosk, simulator, "stranger-1")
    answer(kiosk, session)
    assert work(session).state == State.ONBOARDED  # they agreed anew


def test_a_withdrawal_at_the_desk_while_wechat_answers_is_seen(kiosk, onboarded, simulator, chen):
    WechatAccount.objects.all().delete()
    session = see(kiosk, simulator, "stranger-1")
    answer(kiosk, session)

    def client_for(merchant):
        def act():
            withdrawal.withdraw(onboarded.patient, by=chen, at=timezone.now())

        return Meanwhile(merchant, act)

    session.refresh_from_db()
    session = work(session, client_for=client_for)

    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert not WechatAccount.objects.exists()


def test_a_terminal_does_nothing_for_whom_the_desk_registered(kiosk, child, merchant, chen):
    session = work(child)
    theirs = a_patient("20180520", name="孙小宝", order=17)
    handling.settle(
        session, FaceSession.Settlement.KNOWN, patient=theirs, by=chen, at=timezone.now()
    )
    agree(theirs, by=chen)

    shown = kiosk.get(f"face-sessions/{session.pk}/").json()
    withdraw(kiosk, session.pk).raise_for_status()

    assert "patient" not in shown
    assert Consent.objects.exclude(guardian=None).get().withdrawn_at is None


@pytest.mark.parametrize(("ago", "status"), [(9, 200), (11, 409)])
def test_a_visit_of_long_ago_takes_nothing_back(kiosk, onboarded, ago, status):
    then = timezone.now() - timedelta(minutes=ago)
    FaceSession.objects.update(opened_at=then, finished_at=then)

    said = withdraw(kiosk, onboarded.pk)

    assert said.status_code == status
    assert WechatAccount.objects.exists() == (status == 409)
    assert Consent.objects.filter(withdrawn_at=None).exists() == (status == 409)


def test_what_a_terminal_presumed_is_not_stated_of_a_withdrawal(
    kiosk, onboarded, simulator, merchant
):
    merchant.asks_union_id = True
    merchant.save()
    pk = open_session(kiosk, kind="FACEID-ONCE").json()["id"]
    openid = WechatAccount.objects.get().openid
    body = {"openid": openid, "token": simulator.meet("stranger-1", is_token=True)}
    kiosk.post(f"face-sessions/{pk}/sighting/", body).raise_for_status()

    withdraw(kiosk, pk).raise_for_status()

    assert Consent.objects.exclude(withdrawn_at=None).get().patient is None
    assert "patient" not in facts_of("consent.withdraw")


@pytest.mark.parametrize("change", [{"withdrawn_at": timezone.now()}, {"granted": False}])
def test_a_union_id_is_not_read_without_a_consent(kiosk, onboarded, simulator, merchant, change):
    merchant.asks_union_id = True
    merchant.save()
    pk = open_session(kiosk, kind="FACEID-ONCE").json()["id"]
    token = simulator.meet("stranger-1", is_token=True)
    kiosk.post(f"face-sessions/{pk}/sighting/", {"token": token}).raise_for_status()
    session = FaceSession.objects.get(pk=pk)

    def client_for(merchant):
        return MeanwhileUnion(merchant, lambda: Consent.objects.update(**change))

    session = work(session, client_for=client_for)

    assert (session.state, session.reason) == (State.REFUSED, "consent_withdrawn")
    assert not WechatUnion.objects.exists()


# Said no on WeChat's screen


@pytest.fixture
def declined(kiosk, notice, merchant, simulator):
    """Somebody of a known account said no a moment ago."""
    pk = kiosk.agree()
    sight(kiosk, simulator, pk, "decliner", openid=openid_of("decliner", merchant))
    session = FaceSession.objects.get(pk=pk)
    answer(kiosk, session, "USER_CANCEL").raise_for_status()
    session.refresh_from_db()
    return session


def come_again(kiosk, simulator, merchant, person="decliner", **said):
    pk = open_session(kiosk, **said).json()["id"]
    return sight(kiosk, simulator, pk, person, openid=openid_of(person, merchant))


def test_who_said_no_is_not_asked_again(declined, kiosk, simulator, merchant):
    with recorded():
        said = come_again(kiosk, simulator, merchant).json()

    assert (said["state"], said["quit_face_auth"]) == ("refused", "1")
    assert said["reason"]["code"] == "refused_recently"
    assert Event.objects.filter(action="session.not_asked").count() == 1


def test_the_same_sighting_again_is_answered_the_same(declined, kiosk, simulator, merchant):
    first = come_again(kiosk, simulator, merchant).json()

    again = sight(kiosk, simulator, first["id"], "decliner", openid=openid_of("decliner", merchant))

    assert again.json() == first


def test_who_asks_for_it_themselves_is_asked(declined, kiosk, simulator, merchant):
    said = come_again(kiosk, simulator, merchant, on_request=True).json()

    assert (said["state"], said["quit_face_auth"]) == ("seen", "0")


def test_others_are_asked(declined, kiosk, simulator, merchant):
    assert come_again(kiosk, simulator, merchant, "zhangsan").json()["state"] == "seen"


def test_a_yes_makes_up_for_a_no(declined, kiosk, simulator, merchant):
    said = come_again(kiosk, simulator, merchant, on_request=True).json()
    answer(kiosk, FaceSession.objects.get(pk=said["id"])).raise_for_status()

    assert FaceSession.objects.get(pk=said["id"]).openid_indexes == []
    assert not Declining.objects.exists()


def test_a_no_is_remembered_thirty_days(declined, kiosk, simulator, merchant):
    forever = Declining.objects.get().until
    assert forever - declined.finished_at == timedelta(days=30)

    Declining.objects.update(until=timezone.now())

    assert come_again(kiosk, simulator, merchant).json()["state"] == "seen"


def test_what_remembers_a_no_names_nobody(declined, merchant):
    openid = openid_of("decliner", merchant)

    assert openid not in Declining.objects.get().openid_index
    assert declined.openid_indexes == []


# Another way in


def test_what_is_shown_says_where_the_other_way_is(kiosk, notice, merchant, store):
    Store.objects.update(fallback="一楼 3 号人工窗口")
    expected = "请到人工窗口凭身份证件建档。地点：一楼 3 号人工窗口"

    pk = kiosk.agree()

    assert kiosk.get("notice/").json()["fallback"] == expected
    assert open_session(kiosk).json()["fallback"] == expected
    assert withdraw(kiosk, pk).json()["fallback"] == expected


def test_without_another_way_nobody_is_asked_for_their_face(kiosk, notice, merchant):
    Store.objects.update(fallback=" ")

    assert open_session(kiosk).json()["code"] == "no_fallback"
    assert open_session(kiosk, granted=False, purposes=[]).status_code == 201


def test_without_another_way_no_terminal_is_activated(kiosk, lin):
    Store.objects.update(fallback=" ")
    kiosk.terminal.store.refresh_from_db()

    with pytest.raises(NoFallback):
        activation.issue(kiosk.terminal, by=lin, at=timezone.now())


# Restricted


def test_a_restricted_patient_is_not_recognised(kiosk, onboarded, simulator, merchant):
    Patient.objects.update(restricted_at=timezone.now())
    openid = WechatAccount.objects.get().openid
    pk = kiosk.agree()

    with recorded():
        said = sight(kiosk, simulator, pk, "stranger-1", openid=openid).json()

    assert (said["state"], said["reason"]["code"]) == ("failed", Restricted.code)
    assert "patient" not in said


def test_a_restricted_patient_is_not_enrolled_again(kiosk, onboarded, simulator, merchant):
    Patient.objects.update(restricted_at=timezone.now())
    WechatAccount.objects.all().delete()
    session = see(kiosk, simulator, "stranger-1")
    answer(kiosk, session)

    session = work(session)

    assert (session.state, session.reason) == (State.FAILED, Restricted.code)
    assert not WechatAccount.objects.exists()


def test_a_restricted_patient_is_not_recognised_by_a_union_id(
    kiosk, onboarded, simulator, merchant
):
    merchant.asks_union_id = True
    merchant.save()
    Patient.objects.update(restricted_at=timezone.now())
    pk = open_session(kiosk, kind="FACEID-ONCE").json()["id"]
    token = simulator.meet("stranger-1", is_token=True)
    kiosk.post(f"face-sessions/{pk}/sighting/", {"token": token}).raise_for_status()

    session = work(FaceSession.objects.get(pk=pk))

    assert (session.state, session.reason) == (State.FAILED, Restricted.code)
    assert not WechatUnion.objects.exists()


# Under fourteen


@pytest.fixture
def child(kiosk, notice, merchant, simulator):
    """Somebody born on 2018-05-20 said yes on WeChat's screen."""
    session = see(kiosk, simulator, "minor")
    answer(kiosk, session).raise_for_status()
    session.refresh_from_db()
    return session


FOURTEEN = datetime(2032, 5, 20, tzinfo=SHANGHAI)


@pytest.mark.parametrize(
    ("at", "state"),
    [
        (FOURTEEN - timedelta(seconds=1), State.GUARDIAN_REQUIRED),
        (FOURTEEN, State.ONBOARDED),  # it is still the day before in UTC
        (FOURTEEN + timedelta(days=1), State.ONBOARDED),
    ],
)
def test_who_is_fourteen_today_by_our_own_calendar_agrees_alone(child, merchant, at, state):
    client = connection.identity_client(merchant)
    FaceSession.objects.update(opened_at=at, due_at=at)

    session = work(child, client_for=lambda _merchant: client, at=at)

    assert session.state == state


def test_nothing_of_a_child_is_kept(child, caplog):
    session = work(child)

    they = people.find("minor")
    assert session.state == State.GUARDIAN_REQUIRED
    assert (session.face_sid, session.answer, session.patient) == (None, None, None)
    assert not Patient.objects.exists()
    assert not WechatAccount.objects.exists()
    assert Consent.objects.get().patient is None
    left = caplog.text + "".join(Event.objects.values_list("payload", flat=True))
    assert they.name not in left
    assert they.document_number not in left


@pytest.fixture
def with_passport(kiosk, notice, merchant):
    """A child whose passport does not say when they were born; the desk put it on record."""
    they = people.find("foreigner")
    born = timezone.localdate() - timedelta(days=6 * 365)
    person = Person(they.name, they.document_type, they.document_number, birth_date=born)
    return enrolment.create(person, at=timezone.now())[0]


@pytest.fixture
def linked(with_passport, merchant):
    """WeChat knows that child."""
    openid = openid_of("foreigner", merchant)
    WechatAccount.objects.create(
        patient=with_passport, appid=merchant.appid, openid=openid, created_at=timezone.now()
    )
    return with_passport


def test_a_child_by_the_record_alone_is_not_enrolled(kiosk, with_passport, simulator):
    session = see(kiosk, simulator, "foreigner")
    answer(kiosk, session).raise_for_status()
    session.refresh_from_db()

    with recorded():
        session = work(session)

    assert (session.state, session.patient) == (State.GUARDIAN_REQUIRED, None)
    assert not WechatAccount.objects.exists()
    assert not Identification.objects.exists()


def test_a_child_is_recognised_only_where_a_guardian_agreed(
    kiosk, linked, simulator, merchant, chen
):
    openid = openid_of("foreigner", merchant)

    with recorded():
        before = sight(kiosk, simulator, kiosk.agree(), "foreigner", openid=openid).json()
    agree(linked, by=chen)
    agreed = sight(kiosk, simulator, kiosk.agree(), "foreigner", openid=openid).json()
    withdrawal.withdraw(linked, by=chen, at=timezone.now())
    WechatAccount.objects.create(
        patient=linked, appid=merchant.appid, openid=openid, created_at=timezone.now()
    )
    after = sight(kiosk, simulator, kiosk.agree(), "foreigner", openid=openid).json()

    assert [one["state"] for one in (before, agreed, after)] == [
        "guardian_required",
        "recognised",
        "guardian_required",
    ]
    assert "patient" not in before
    assert before["quit_face_auth"] == "1"


@pytest.mark.parametrize("is_told", [True, False])
def test_of_a_child_no_union_id_is_kept(kiosk, linked, simulator, merchant, is_told):
    merchant.asks_union_id = True
    merchant.save()
    pk = open_session(kiosk, kind="FACEID-ONCE").json()["id"]
    openid = {"openid": openid_of("foreigner", merchant)} if is_told else {}
    body = {"token": simulator.meet("foreigner", is_token=True), **openid}
    kiosk.post(f"face-sessions/{pk}/sighting/", body).raise_for_status()

    with recorded():
        session = work(FaceSession.objects.get(pk=pk))

    assert session.state == State.GUARDIAN_REQUIRED
    assert not WechatUnion.objects.exists()
