"""What the desk does about visits that came to nothing: one registrar each, all on record."""

from datetime import timedelta
from threading import Barrier, Thread

import pytest
from django.db import connection as database
from django.utils import timezone

from faceauth import connection, handling, onboarding, reasons
from faceauth.models import FaceSession
from hospital.audit.models import Event
from hospital.patients import enrolment
from hospital.patients.documents import DocumentType
from tests.conftest import recorded

Settlement = FaceSession.Settlement
NOW = timezone.now()


@pytest.fixture
def failed(authorized):
    """WeChat did not say who it is."""
    authorized.end(FaceSession.State.FAILED, at=NOW, reason="authorization_failed")
    return authorized


@pytest.fixture
def postponed(authorized, simulator):
    """WeChat did not answer: the worker tries again in a while."""
    simulator.expect("down", times=1, endpoint="users")
    work(authorized)
    assert authorized.due_at > timezone.now()
    return authorized


@pytest.fixture
def zhang(failed):
    person = enrolment.Person("张三", DocumentType.RESIDENT, "11010119900307002X")
    patient, _ = enrolment.enrol(person, accounts={}, campus="main", at=NOW)
    return patient


def work(session, *, at=None):
    clock = (lambda: at) if at else timezone.now
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=clock)
    session.refresh_from_db()


def waits(session):
    """Its next attempt is minutes away; return when somebody may ask for one before."""
    session.due_at = timezone.now() + timedelta(minutes=2)
    session.save(update_fields=["due_at"])
    return timezone.now() + handling.PAUSE


def told(session):
    return list(Event.objects.on(session).order_by("id").values_list("action", flat=True))


def test_one_takes_it_and_it_is_theirs(failed, chen):
    with recorded():
        handling.take(failed, by=chen, at=NOW)

    assert (failed.taken_by, failed.taken_at) == (chen.pk, NOW)
    assert told(failed)[-1] == "session.take"


def test_what_is_taken_is_not_a_colleagues_to_take(failed, chen, sun):
    handling.take(failed, by=chen, at=NOW)

    with pytest.raises(handling.TakenByAnother):
        handling.take(failed, by=sun, at=NOW + timedelta(minutes=29))

    assert failed.taken_by == chen.pk


def test_after_half_an_hour_a_colleague_may_take_it(failed, chen, sun):
    handling.take(failed, by=chen, at=NOW)

    handling.take(failed, by=sun, at=NOW + handling.IDLE)

    assert failed.taken_by == sun.pk


def test_taking_it_twice_is_taking_it_once(failed, chen):
    handling.take(failed, by=chen, at=NOW)
    handling.take(failed, by=chen, at=NOW + timedelta(minutes=1))

    assert told(failed).count("session.take") == 1


def test_what_is_given_back_anybody_may_take(failed, chen, sun):
    handling.take(failed, by=chen, at=NOW)

    with recorded():
        handling.leave(failed, by=chen, at=NOW)
        handling.take(failed, by=sun, at=NOW)

    assert failed.taken_by == sun.pk


def test_nobody_gives_back_what_is_not_theirs(failed, chen, sun):
    handling.take(failed, by=chen, at=NOW)

    with pytest.raises(handling.NotTaken):
        handling.leave(failed, by=sun, at=NOW)


def test_a_visit_that_goes_on_is_nobodys_to_take(authorized, chen):
    with pytest.raises(handling.NotForTheDesk):
        handling.take(authorized, by=chen, at=NOW)


@pytest.mark.parametrize("settlement", [Settlement.LEFT, Settlement.AGAIN, Settlement.MISTAKE])
def test_it_is_closed_with_what_became_of_it(failed, chen, settlement):
    with recorded():
        handling.settle(failed, settlement, by=chen, at=NOW)

    assert (failed.settlement, failed.settled_at, failed.taken_by) == (settlement, NOW, chen.pk)
    assert told(failed)[-2:] == ["session.take", "session.settle"]


def test_whoever_is_found_or_registered_is_noted(failed, zhang, chen):
    with recorded():
        handling.settle(failed, Settlement.REGISTERED, patient=zhang, by=chen, at=NOW)

    assert failed.settled_patient == zhang
    assert str(zhang.pk) in Event.objects.on(failed).latest("id").payload


def test_a_result_that_needs_a_patient_has_one(failed, chen):
    with pytest.raises(handling.PatientMissing):
        handling.settle(failed, Settlement.KNOWN, by=chen, at=NOW)


def test_a_result_without_a_patient_has_none(failed, zhang, chen):
    with pytest.raises(handling.PatientNeedless):
        handling.settle(failed, Settlement.LEFT, patient=zhang, by=chen, at=NOW)


def test_what_a_colleague_has_is_theirs_to_close(failed, chen, sun):
    handling.take(failed, by=chen, at=NOW)

    with pytest.raises(handling.TakenByAnother):
        handling.settle(failed, Settlement.LEFT, by=sun, at=NOW)


def test_it_is_closed_once(failed, chen):
    handling.settle(failed, Settlement.LEFT, by=chen, at=NOW)

    with pytest.raises(handling.NotForTheDesk):
        handling.settle(failed, Settlement.AGAIN, by=chen, at=NOW)

    assert failed.settlement == Settlement.LEFT


@pytest.mark.parametrize("act", [handling.take, handling.leave, handling.requeue])
def test_another_campus_has_no_part_in_it(failed, wu, act):
    with pytest.raises(handling.Elsewhere):
        act(failed, by=wu, at=NOW)


def test_what_waits_for_wechat_is_tried_now(postponed, chen):
    now = waits(postponed)
    with recorded():
        handling.requeue(postponed, by=chen, at=now)
    work(postponed, at=now)

    assert postponed.state == FaceSession.State.ONBOARDED
    assert "session.requeue" in told(postponed)


def test_what_a_worker_is_at_is_left_to_it(authorized, chen):
    FaceSession.objects.claim(authorized.pk, at=timezone.now())
    authorized.refresh_from_db()

    with pytest.raises(handling.NothingToRetry):
        handling.requeue(authorized, by=chen, at=timezone.now())


def test_what_a_worker_is_at_again_is_left_to_it(postponed, chen):
    FaceSession.objects.claim(postponed.pk, at=postponed.due_at)
    postponed.refresh_from_db()

    with pytest.raises(handling.NothingToRetry):
        handling.requeue(postponed, by=chen, at=timezone.now())


def test_a_worker_that_was_faster_keeps_it(postponed, chen):
    at = waits(postponed)
    FaceSession.objects.claim(postponed.pk, at=postponed.due_at)

    with pytest.raises(handling.NothingToRetry):
        handling.requeue(postponed, by=chen, at=at)


def test_what_was_tried_a_moment_ago_is_not_tried_again(postponed, chen):
    soon = waits(postponed) - timedelta(seconds=1)

    with pytest.raises(handling.TooSoon):
        handling.requeue(postponed, by=chen, at=soon)


def test_where_wechat_asks_for_patience_it_is_given(authorized, simulator, chen):
    simulator.expect("rate-limited", times=1, endpoint="users", retry_after="60")
    work(authorized)

    with pytest.raises(handling.TooSoon):
        handling.requeue(authorized, by=chen, at=timezone.now() + handling.PAUSE)


def test_an_impatient_desk_does_not_use_up_what_a_visit_has(postponed, chen, simulator):
    simulator.expect("down", times=60, endpoint="users")
    at = timezone.now()

    for _ in range(2 * onboarding.ATTEMPTS):
        at += handling.PAUSE
        FaceSession.objects.filter(pk=postponed.pk).update(due_at=at + handling.PAUSE)
        postponed.refresh_from_db()
        handling.requeue(postponed, by=chen, at=at)
        work(postponed, at=at)

    assert postponed.state == FaceSession.State.AUTHORIZED


def test_what_has_ended_is_not_tried_again(failed, chen):
    with pytest.raises(handling.NothingToRetry):
        handling.requeue(failed, by=chen, at=NOW)


def test_the_desk_reads_many_reasons_with_one_question(postponed, kiosk, django_assert_num_queries):
    many = [postponed]
    for _ in range(5):
        session = FaceSession.objects.get(pk=kiosk.agree())
        FaceSession.objects.filter(pk=session.pk).update(state="failed", reason="name_differs")
        session.refresh_from_db()
        many.append(session)

    with django_assert_num_queries(1):
        told = reasons.for_staff_of(many)

    assert told == {session.pk: reasons.for_staff(session) for session in many}
    assert all(told.values())


@pytest.mark.parametrize("code", ["malformed", "wechat:NO_AUTH", "undecryptable:tag", "http_4xx"])
def test_a_code_of_wechats_is_said_in_a_sentence(code):
    assert reasons.verdict({"code": code}) == f"没有取得身份信息（{code}）"


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_two_who_take_it_at_once_one_has_it(failed, chen, sun):
    if database.vendor != "postgresql":
        pytest.skip("two connections need a server")
    together, results = Barrier(2), []

    def take(person):
        session = FaceSession.objects.get(pk=failed.pk)
        together.wait()
        try:
            handling.take(session, by=person, at=NOW)
            results.append("taken")
        except handling.TakenByAnother as exc:
            results.append(exc.code)
        finally:
            database.close()

    both = [Thread(target=take, args=[person]) for person in (chen, sun)]
    for one in both:
        one.start()
    for one in both:
        one.join()

    assert sorted(results) == ["taken", "taken_by_another"]
    assert told(failed).count("session.take") == 1
