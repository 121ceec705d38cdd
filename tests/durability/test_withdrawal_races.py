"""A withdrawal and a worker, or two withdrawals, in the same moment."""

from threading import Event as Flag

import pytest
from django.utils import timezone

from faceauth import connection, consent, onboarding, withdrawal
from faceauth.models import Consent, FaceSession
from hospital.patients.models import WechatAccount
from tests.conftest import see
from tests.locks import PATIENCE, until_waited_for

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("really_postgresql"),
]

VISITS = 8
ROUNDS = 5


@pytest.fixture
def onboarded(authorized):
    _work(authorized)
    authorized.refresh_from_db()
    return authorized


@pytest.fixture
def taken_up(kiosk, onboarded, simulator):
    """A second visit of a patient, whom nobody can tell yet that it is."""
    WechatAccount.objects.all().delete()
    session = see(kiosk, simulator, "stranger-1")
    kiosk.post(f"face-sessions/{session.pk}/authorization/", {"return_code": "SUCCESS"})
    return session, onboarded.patient


def _work(session):
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=timezone.now)


def test_a_withdrawal_waits_for_a_worker_that_was_faster(taken_up, chen, at_once, monkeypatch):
    session, patient = taken_up
    held, withdrawn = Flag(), Flag()
    hold = consent.hold_in_force

    def hold_until_somebody_waits(session, patient, **how):
        agreed = hold(session, patient, **how)
        held.set()
        until_waited_for(withdrawn.is_set)
        return agreed

    def withdraw():
        assert held.wait(PATIENCE)
        withdrawal.withdraw(patient, by=chen, at=timezone.now())
        withdrawn.set()

    monkeypatch.setattr(consent, "hold_in_force", hold_until_somebody_waits)

    at_once(lambda: _work(session), withdraw)

    session.refresh_from_db()
    assert session.state == "onboarded"
    assert not Consent.objects.filter(withdrawn_at=None).exists()
    assert not WechatAccount.objects.exists()


def test_the_desk_and_a_terminal_take_back_at_once(kiosk, onboarded, chen, at_once):
    openid = WechatAccount.objects.get().openid
    for _ in range(VISITS):
        kiosk.post(f"face-sessions/{kiosk.agree()}/sighting/", {"openid": openid})
    assert FaceSession.objects.filter(state="recognised").count() == VISITS

    for _ in range(ROUNDS):
        Consent.objects.update(withdrawn_at=None)

        at_once(
            lambda: withdrawal.withdraw_session(onboarded, at=timezone.now()),
            lambda: withdrawal.withdraw(onboarded.patient, by=chen, at=timezone.now()),
        )

        assert not Consent.objects.filter(withdrawn_at=None).exists()
