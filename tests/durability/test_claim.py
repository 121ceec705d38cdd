"""Who works on a session: one worker, for as long as its lease runs."""

from datetime import timedelta

import pytest
from django.utils import timezone

from faceauth import connection, onboarding
from faceauth.models import LEASE, FaceSession, WrongState
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, writing
from hospital.patients.models import Patient
from tests.conftest import see

ROUNDS = 20
MOMENT = timedelta(seconds=1)


class Killed(BaseException):
    """What `kill -9` is to a worker: nothing of its own runs any more."""


class Dying:
    """WeChat's client in a worker that dies after it got, and kept, the answer."""

    def __init__(self, client):
        self.ask = client.ask

    def open(self, body):
        raise Killed


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("really_postgresql")
def test_of_many_workers_one_gets_a_session(kiosk, notice, merchant, simulator, at_once):
    for n in range(ROUNDS):
        session = see(kiosk, simulator, f"stranger-{n}")
        now = timezone.now()
        session.authorize(at=now)

        got = at_once(*[lambda pk=session.pk, now=now: FaceSession.objects.claim(pk, at=now)] * 8)

        assert len([one for one in got if one is not None]) == 1
        session.refresh_from_db()
        assert session.attempts == 1
        assert session.due_at == now + LEASE


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("really_postgresql")
def test_the_same_message_many_times_at_once_asks_wechat_once(authorized, simulator, at_once):
    def onboard():
        onboarding.onboard(authorized.pk, client_for=connection.identity_client, clock=timezone.now)

    at_once(*[onboard] * 6)

    authorized.refresh_from_db()
    assert authorized.state == "onboarded"
    assert simulator.requests()["users"] == 1
    assert Event.objects.filter(action="patient.onboard").count() == 1


def test_a_lease_is_nobody_elses_until_it_ran_out(authorized):
    now = timezone.now()
    first = FaceSession.objects.claim(authorized.pk, at=now)

    early = FaceSession.objects.claim(authorized.pk, at=now + LEASE - MOMENT)
    late = FaceSession.objects.claim(authorized.pk, at=now + LEASE)

    assert first is not None
    assert early is None
    assert late is not None
    assert late.attempts == 2


def test_a_worker_whose_lease_ran_out_changes_nothing_any_more(authorized):
    now = timezone.now()
    slow = FaceSession.objects.claim(authorized.pk, at=now)
    quick = FaceSession.objects.claim(authorized.pk, at=now + LEASE)
    assert slow is not None
    assert quick is not None

    with pytest.raises(WrongState):
        slow.postpone(until=now + 100 * LEASE)
    with pytest.raises(WrongState):
        slow.end(FaceSession.State.FAILED, at=now, reason="wechat:PARAM_ERROR")
    late = writing(Action.WECHAT_ANSWER, by=SYSTEM, on=slow, at=now, attempt=slow.attempts)
    with pytest.raises(WrongState), late as event:
        slow.keep("{}", wechat_request_id="late", event=event)

    assert not Event.objects.filter(action="wechat.answer").exists()
    authorized.refresh_from_db()
    assert authorized.state == "authorized"
    assert authorized.answer is None
    assert authorized.due_at == quick.due_at


def test_an_answer_that_was_kept_is_not_asked_for_again(authorized, simulator):
    now = timezone.now()
    with pytest.raises(Killed):
        onboarding.onboard(
            authorized.pk,
            client_for=lambda merchant: Dying(connection.identity_client(merchant)),
            clock=lambda: now,
        )
    authorized.refresh_from_db()
    assert authorized.answer is not None

    onboarding.onboard(
        authorized.pk, client_for=connection.identity_client, clock=lambda: now + LEASE
    )

    authorized.refresh_from_db()
    assert (authorized.state, authorized.answer) == ("onboarded", None)
    assert simulator.requests()["users"] == 1


def test_a_session_that_kills_its_worker_every_time_is_given_up(authorized):
    def die(_merchant):
        raise Killed

    now = timezone.now()
    deaths = 0
    for n in range(2 * onboarding.ATTEMPTS):
        try:
            onboarding.onboard(authorized.pk, client_for=die, clock=lambda now=now + n * LEASE: now)
        except Killed:
            deaths += 1

    authorized.refresh_from_db()
    assert deaths == onboarding.ATTEMPTS
    assert (authorized.state, authorized.reason) == ("failed", "attempts_exhausted")
    assert authorized.face_sid is None
    assert Patient.objects.count() == 0
