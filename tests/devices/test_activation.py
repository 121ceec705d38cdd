"""A one-time code becomes a terminal's key."""

import io
import json
import threading
from datetime import datetime, timedelta

import httpx
import pytest
from django.core.management import CommandError, call_command
from django.core.wsgi import get_wsgi_application
from django.db import connections
from django.utils import timezone

from devices import activation
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import Activation, Terminal, TerminalKey
from hospital.audit.models import Event
from tests import minutes


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


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_many_boxes_with_one_code_at_once_one_is_the_terminal(terminal, lin):
    code = activation.issue(terminal, by=lin, at=timezone.now())
    boxes = [keys.make("ed25519") for _ in range(6)]
    together, told = threading.Barrier(len(boxes)), []

    def activate(box):
        together.wait()
        try:
            activation.activate(code, public_key=keys.public_pem(box), at=timezone.now())
            told.append("activated")
        except activation.WrongCode as refused:
            told.append(refused.code)
        connections.close_all()

    threads = [threading.Thread(target=activate, args=[box]) for box in boxes]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(told) == ["activated", *["activation_code_invalid"] * 5]
    assert terminal.keys.count() == 1


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
    minutes.stop(monkeypatch)
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


def heard(terminal, *, ago):
    Terminal.objects.filter(pk=terminal.pk).update(last_seen_at=timezone.now() - ago)
    terminal.refresh_from_db()


def test_taking_a_live_terminals_place_is_on_record(terminal, lin, box, activate):
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)
    heard(terminal, ago=timedelta(hours=23))
    replacement = keys.make("ed25519")

    activate(activation.issue(terminal, by=lin, at=timezone.now()), replacement)

    event = json.loads(Event.objects.filter(action="terminal.replace").get().payload)
    assert event["severity"] == "warning"
    assert event["facts"]["key_ids"] == [keys.key_id(box)]
    assert event["facts"]["key_id"] == keys.key_id(replacement)
    terminal.refresh_from_db()
    assert timezone.now() - terminal.replaced_at < timedelta(minutes=1)
    assert TerminalKey.objects.get(pk=keys.key_id(box)).ending == TerminalKey.Ending.REPLACED


def test_a_box_nobody_heard_for_long_is_replaced_quietly(terminal, lin, box, activate):
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)
    heard(terminal, ago=timedelta(hours=25))

    activate(activation.issue(terminal, by=lin, at=timezone.now()), keys.make("ed25519"))

    assert not Event.objects.filter(action="terminal.replace").exists()
    terminal.refresh_from_db()
    assert terminal.replaced_at is None


def test_who_has_no_key_any_more_is_not_replaced(terminal, lin, box, activate):
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)
    heard(terminal, ago=timedelta(0))
    activation.revoke(terminal.keys.get(), by=lin, at=timezone.now())

    activate(activation.issue(terminal, by=lin, at=timezone.now()), keys.make("ed25519"))

    assert not Event.objects.filter(action="terminal.replace").exists()


def command(*arguments):
    out = io.StringIO()
    call_command("createactivation", *arguments, stdout=out)
    return out.getvalue()


def test_a_script_gets_a_code_that_works(terminal, box, activate):
    issued = json.loads(command("T-7", "--json"))

    assert activate(issued["code"], box).status_code == 201
    left = datetime.fromisoformat(issued["expires_at"]) - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)
    event = Event.objects.filter(action="terminal.activation").get()
    assert event.actor_type == "system"
    assert issued["code"] not in event.payload


def test_the_command_says_the_code_to_a_person(terminal, box, activate):
    said = command("T-7")

    assert "15 分钟内有效" in said
    assert activate(said.split("：")[1].split("（")[0], box).status_code == 201


def test_the_command_replaces_no_live_terminal_unasked(terminal, lin, box, activate):
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)
    heard(terminal, ago=timedelta(0))

    with pytest.raises(CommandError, match="--replace"):
        command("T-7")

    assert not Activation.objects.exists()
    assert "激活码" in command("T-7", "--replace")


def test_the_command_knows_no_other_terminal(db):
    with pytest.raises(CommandError, match="没有这个编号"):
        command("T-8")


def test_what_a_scanner_reads_names_server_and_code():
    said = activation.invitation("ABCD-EFGH-JKLM", server="https://jiandang.example/")

    assert said == "face-terminal:https://jiandang.example#ABCD-EFGH-JKLM"


def test_a_key_belongs_to_one_terminal(terminal, store, lin, box, activate):
    other = Terminal.objects.create(serial="T-8", name="一楼", store=store)
    activate(activation.issue(terminal, by=lin, at=timezone.now()), box)

    answer = activate(activation.issue(other, by=lin, at=timezone.now()), box)

    assert answer.json()["code"] == "key_in_use"
    assert Activation.objects.filter(terminal=other).exists()
