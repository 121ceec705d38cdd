"""Taken back at the moment somebody is put on record: one of the two came first, and both know."""

import pytest
from django.utils import timezone

from faceauth import connection, onboarding, withdrawal
from faceauth.models import Consent, FaceSession
from hospital.patients.models import Patient, WechatAccount
from tests.conftest import see

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("really_postgresql"),
]

ROUNDS = 12


def test_no_account_is_known_of_who_took_it_back(kiosk, notice, merchant, simulator, at_once):
    client = connection.identity_client(merchant)
    for number in range(ROUNDS):
        session = see(kiosk, simulator, f"stranger-{number}")
        path = f"face-sessions/{session.pk}/authorization/"
        kiosk.post(path, {"return_code": "SUCCESS"}).raise_for_status()

        def work(pk=session.pk):
            onboarding.onboard(pk, client_for=lambda _merchant: client, clock=timezone.now)

        def withdraw(session=session):
            withdrawal.withdraw_session(session, at=timezone.now())

        at_once(work, withdraw)

    assert not Consent.objects.filter(withdrawn_at=None).exists()
    assert not WechatAccount.objects.exists()
    states = set(FaceSession.objects.values_list("state", flat=True))
    assert states <= {"refused", "onboarded"}
    assert Patient.objects.count() == FaceSession.objects.filter(state="onboarded").count()
