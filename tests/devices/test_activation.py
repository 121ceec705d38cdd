"""A one-time code becomes a terminal's key."""

from datetime import timedelta

import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from django.utils import timezone

from devices import activation
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import Activation, Terminal, TerminalKey
from hospital.audit.models import Event


@pytest.fixture
def terminal(store):
    return Terminal.objects.create(serial="T-7", name="急诊", store=store)


@pytest.fixture
def box():
    """A device out of its carton: a key, and nobody knows it."""
    return keys.make("ecdsa-p256-sha256")


@pytest.fixture
def activate():
    transport = httpx.WSGITransport(app=get_wsgi_application())
    with httpx.Client(transport=transport, base_url="http://testserver") as http:

        def activate(code, box, **changes):
            body = {
                "code": code,
                "public_key": keys.public_pem(box),
                "model": "ABC-1",
                "sdk_version": "1.26",
                "agent_version": "1",
                **changes.pop("body", {}),
            }
            auth = TerminalAuth(changes.get("signed_by", box), keys.key_id(box))
            return http.post("/api/v1/terminals/activation/", json=body, auth=auth)

        yield activate


def test_a_code_registers_the_key_of_the_box_that_knows_it(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now())

    answer = activate(code, box)

    assert answer.status_code == 201
    assert answer.json()["terminal"]["serial"] == "T-7"
    assert answer.json()["key_id"] == keys.key_id(box)
    assert terminal.keys.in_force().get().pk == keys.key_id(box)
    assert Event.objects.filter(action="terminal.activate", actor_id=str(terminal.pk)).exists()


def test_a_code_works_once(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now())
    activate(code, box)

    answer = activate(code, keys.make("ed25519"))

    assert answer.status_code == 409
    assert answer.json()["code"] == "activation_code_invalid"
    assert TerminalKey.objects.count() == 1


def test_asking_again_after_a_lost_answer_gets_the_same_answer(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now())
    first = activate(code, box).json()

    second = activate(code, box)

    assert second.status_code == 201
    assert second.json()["key_id"] == first["key_id"]
    assert second.json()["terminal"] == first["terminal"]
    assert TerminalKey.objects.count() == 1


def test_a_revoked_key_does_not_come_back_by_asking_again(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now())
    activate(code, box)
    TerminalKey.objects.update(revoked_at=timezone.now())

    assert activate(code, box).json()["code"] == "activation_code_invalid"


def test_a_code_is_read_aloud_in_any_case_with_or_without_dashes(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now())

    assert activate(code.lower().replace("-", ""), box).status_code == 201


def test_a_code_lives_fifteen_minutes(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now() - timedelta(minutes=15, seconds=1))

    assert activate(code, box).json()["code"] == "activation_code_invalid"


def test_a_new_code_replaces_the_old_one(terminal, lin, box, activate):
    old = activation.issue(terminal, by=lin, at=timezone.now())
    activation.issue(terminal, by=lin, at=timezone.now())

    assert activate(old, box).status_code == 409


def test_a_code_is_not_in_the_database(terminal, lin):
    code = activation.issue(terminal, by=lin, at=timezone.now())

    kept = Activation.objects.get()
    assert code.replace("-", "") not in str(kept.__dict__)


def test_the_request_must_be_signed_by_the_very_key(terminal, lin, box, activate):
    code = activation.issue(terminal, by=lin, at=timezone.now())

    answer = activate(code, box, signed_by=keys.make("ecdsa-p256-sha256"))

    assert answer.status_code == 401
    assert Activation.objects.exists()


def test_a_guess_is_on_record_and_throttled(terminal, box, activate, monkeypatch):
    monkeypatch.setattr("devices.views.ActivationThrottle.THROTTLE_RATES", {"activation": "2/min"})
    answers = [activate("AAAA-BBBB-CCCC", box).status_code for _ in range(3)]

    assert answers == [409, 409, 429]
    assert Event.objects.filter(action="terminal.denied").count() == 2


@pytest.mark.parametrize(
    "pem", ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"]
)
def test_what_is_no_key_is_invalid(box, activate, db, pem):
    assert activate("AAAA-BBBB-CCCC", box, body={"public_key": pem}).status_code == 422


def test_a_new_box_cuts_the_old_one_off(terminal, lin, box, activate):
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)
    replacement = keys.make("ed25519")

    activate(activation.issue(terminal, by=lin, at=timezone.now()), replacement)

    assert terminal.keys.in_force().get().pk == keys.key_id(replacement)
    assert Event.objects.filter(action="terminal.key_revoke").count() == 1


def test_a_key_belongs_to_one_terminal(terminal, store, lin, box, activate):
    other = Terminal.objects.create(serial="T-8", name="一楼", store=store)
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)

    answer = activate(activation.issue(other, by=lin, at=timezone.now()), box)

    assert answer.json()["code"] == "key_in_use"
    assert Activation.objects.filter(terminal=other).exists()
