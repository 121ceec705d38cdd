"""The same thing twice at the same moment is one thing."""

import time
from dataclasses import dataclass

import httpx
import pytest
from django.db import transaction
from django.utils import timezone

from devices.agent.signing import TerminalAuth
from faceauth import connection, onboarding
from faceauth.models import FaceSession
from faceauth.wechat import Identity, IdentityClient
from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.crypto.index_keys import index_keys
from hospital.crypto.models import DataKey, IndexKey, KeyEpoch
from hospital.patients.models import Identification, Patient, WechatAccount
from tests.conftest import see

pytestmark = [
    pytest.mark.postgresql,
    pytest.mark.django_db(transaction=True),
    pytest.mark.usefixtures("really_postgresql"),
]

ROUNDS = 20
WAY_OFF = 0.2  # seconds, surely longer than two threads need to meet


@dataclass
class Slowly:
    """WeChat's client, whose answers are opened only when both sides have theirs."""

    client: IdentityClient
    opened: list[float]

    def ask(self, face_sid):
        return self.client.ask(face_sid)

    def open(self, body) -> Identity:
        identity = self.client.open(body)
        self.opened.append(time.monotonic())
        while len(self.opened) % 2:
            time.sleep(0.0005)
        return identity


def authorize(kiosk, session):
    path = f"face-sessions/{session.pk}/authorization/"
    assert kiosk.post(path, {"return_code": "SUCCESS"}).status_code == 202


def test_one_person_at_two_terminals_in_the_same_moment_is_one_patient(
    install, notice, merchant, simulator, at_once
):
    kiosks = [install("T-1"), install("T-2")]
    client = Slowly(connection.identity_client(merchant), [])

    def onboard(session):
        onboarding.onboard(session.pk, client_for=lambda _merchant: client, clock=timezone.now)

    for n in range(ROUNDS):
        sessions = [see(kiosk, simulator, f"stranger-{n}") for kiosk in kiosks]
        for kiosk, session in zip(kiosks, sessions, strict=True):
            authorize(kiosk, session)

        at_once(*(lambda session=session: onboard(session) for session in sessions))

        for session in sessions:
            session.refresh_from_db()
        patient = Patient.objects.get(pk=sessions[0].patient_id)
        assert [session.state for session in sessions] == ["onboarded"] * 2
        assert sessions[1].patient_id == patient.pk
        assert sessions[0].answer is None
        assert patient.real_name  # what won can be opened
        assert DataKey.objects.filter(subject=patient.pk).count() == 1
    assert Patient.objects.count() == WechatAccount.objects.count() == ROUNDS
    assert DataKey.objects.count() == ROUNDS + 1  # and the system's own
    assert Identification.objects.count() == 2 * ROUNDS
    assert Event.objects.filter(action="patient.onboard").count() == 2 * ROUNDS


def test_the_first_data_key_of_a_subject_is_made_once(at_once):
    keyring.data_key(keyring.SYSTEM_SUBJECT)  # the epoch is there

    for _ in range(ROUNDS):
        subject = FaceSession().pk
        secrets = at_once(*[lambda subject=subject: keyring.data_key(subject)] * 4)

        assert len({*secrets}) == 1
        assert DataKey.objects.filter(subject=subject).count() == 1


def test_the_first_keys_of_all_are_made_once(at_once):
    for _ in range(ROUNDS):
        for table in (DataKey, IndexKey, KeyEpoch):
            table.objects.all().delete()
        keyring.clear()

        def data():
            return keyring.data_key(keyring.SYSTEM_SUBJECT).check

        def index():
            return index_keys("patient.document", normaliser="opaque/1").active.check

        found = at_once(data, index, data, index, data, index)

        assert len(set(found)) == 2
        assert KeyEpoch.objects.count() == DataKey.objects.count() == IndexKey.objects.count() == 1
        keyring.clear()
        assert {data(), index()} == set(found)  # what was used is what was kept


def test_a_first_key_that_is_rolled_back_leaves_the_other_one_standing(at_once):
    keyring.data_key(keyring.SYSTEM_SUBJECT)

    for _ in range(ROUNDS):
        subject = FaceSession().pk

        @transaction.atomic
        def given_up(subject=subject):
            keyring.data_key(subject)
            time.sleep(0.01)  # the other one is waiting for us by now
            transaction.set_rollback(True)

        _, stands = at_once(given_up, lambda subject=subject: keyring.data_key(subject))

        keyring.clear()
        assert keyring.data_key(subject) == stands


def test_a_nonce_is_accepted_once_however_many_connections_carry_it(kiosk, notice, at_once):
    auth = TerminalAuth(kiosk.private_key, kiosk.key.pk)

    plain = httpx.Client(transport=kiosk.http._transport)
    for _ in range(ROUNDS):
        request = httpx.Request("GET", "http://testserver/api/v1/notice/")
        signed = next(auth.auth_flow(request))
        answers = at_once(*[lambda signed=signed: plain.send(signed)] * 4)

        refused = [answer.json()["code"] for answer in answers if answer.status_code != 200]
        assert refused == ["nonce_reused"] * 3


def test_one_idempotency_key_twice_at_once_opens_one_session(kiosk, notice, merchant, at_once):
    body = {"notice_version": notice.version, "granted": True, "purposes": ["onboarding"]}

    for n in range(ROUNDS):
        key = {"Idempotency-Key": f"visit-{n:08d}"}
        answers = at_once(
            *[lambda key=key: kiosk.post("face-sessions/", body, **key)] * 3  # a nonce each
        )

        assert [answer.status_code for answer in answers] == [201] * 3
        assert len({answer.content for answer in answers}) == 1
        replayed = [answer for answer in answers if "Idempotency-Replayed" in answer.headers]
        assert len(replayed) == 2
    assert FaceSession.objects.count() == ROUNDS


def test_one_face_sid_in_two_sessions_at_once_works_in_one(
    install, notice, merchant, simulator, at_once
):
    kiosks = [install("T-1"), install("T-2")]

    for n in range(ROUNDS):
        body = {"face_sid": simulator.meet(f"stranger-{n}")}
        paths = [f"face-sessions/{kiosk.agree()}/sighting/" for kiosk in kiosks]
        answers = at_once(
            *(
                lambda kiosk=kiosk, path=path, body=body: kiosk.post(path, body)
                for kiosk, path in zip(kiosks, paths, strict=True)
            )
        )

        answers.sort(key=lambda answer: answer.status_code)
        assert [answer.status_code for answer in answers] == [200, 409]
        assert answers[1].json()["code"] == "face_sid_used"


def test_wechat_is_asked_for_one_authinfo_however_many_want_it(kiosk, merchant, simulator, at_once):
    simulator.expect("slow", endpoint="authinfo", seconds=WAY_OFF)
    body = {"rawdata": "A" * 824}

    answers = at_once(*[lambda: kiosk.post("authinfo/", body)] * 8)

    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["authinfo"] for answer in answers}) == 1
    assert simulator.requests()["authinfo"] == 1
