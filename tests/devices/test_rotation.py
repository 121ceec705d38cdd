"""A terminal changes its own key: nobody is locked out, and nobody gets in beside it."""

import base64
import threading

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from django.db import connections
from django.utils import timezone

from devices import activation, rotation, suspension
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import TerminalKey
from hospital.audit.models import Event


def signature(key, message):
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        return key.sign(message)
    r, s = decode_dss_signature(key.sign(message, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(32) + s.to_bytes(32)


def proof(key, kiosk, *, terminal=None, signed_by=None, proven_by=None):
    lines = [
        "face-terminal-key-v1",
        str(terminal or kiosk.terminal.pk),
        keys.key_id(key),
        signed_by or kiosk.key.pk,
    ]
    made = signature(proven_by or key, "\n".join(lines).encode())
    return base64.b64encode(made).decode()


def add(kiosk, key, **changes):
    body = {"public_key": keys.public_pem(key), "proof": proof(key, kiosk, **changes)}
    return kiosk.post("terminals/keys/", body)


def retire(kiosk, key_id, *, signed_by=None):
    auth = TerminalAuth(signed_by, keys.key_id(signed_by)) if signed_by else None
    path = f"/api/v1/terminals/keys/{key_id}/"
    return kiosk.http.delete(path, auth=auth) if auth else kiosk.http.delete(path)


def works(kiosk, key):
    answer = kiosk.http.get("/api/v1/notice/", auth=TerminalAuth(key, keys.key_id(key)))
    return answer.status_code == 200


@pytest.fixture
def new():
    return keys.make("ed25519")


def recorded(action):
    return Event.objects.filter(action=action)


@pytest.mark.parametrize("algorithm", ["ecdsa-p256-sha256", "ed25519"])
def test_the_old_key_registers_the_new_one_and_both_work(kiosk, notice, algorithm):
    new = keys.make(algorithm)

    answer = add(kiosk, new)

    assert answer.status_code == 201
    assert answer.json()["key_id"] == keys.key_id(new)
    assert answer.json()["algorithm"] == algorithm
    assert works(kiosk, new)
    assert works(kiosk, kiosk.private_key)
    assert recorded("terminal.key_add").get().actor_id == str(kiosk.terminal.pk)


def test_the_new_key_retires_the_old_one(kiosk, notice, new):
    add(kiosk, new)

    answer = retire(kiosk, kiosk.key.pk, signed_by=new)

    assert answer.status_code == 204
    assert answer.content == b""
    assert works(kiosk, new)
    assert not works(kiosk, kiosk.private_key)
    kiosk.key.refresh_from_db()
    assert kiosk.key.ending == TerminalKey.Ending.ROTATED
    assert recorded("terminal.key_retire").count() == 1


def test_asking_again_after_a_lost_answer_gets_the_same_answer(kiosk, notice, new):
    first, second = add(kiosk, new), add(kiosk, new)

    assert second.status_code == 201
    assert second.json() == first.json()
    assert recorded("terminal.key_add").count() == 1


def test_retiring_again_changes_nothing(kiosk, notice, new):
    add(kiosk, new)
    retire(kiosk, kiosk.key.pk, signed_by=new)

    assert retire(kiosk, kiosk.key.pk, signed_by=new).status_code == 204
    assert recorded("terminal.key_retire").count() == 1


@pytest.mark.parametrize(
    "wrong", ["another's hand", "another terminal", "another old key", "nothing", "no base64"]
)
def test_who_does_not_hold_the_new_key_registers_none(kiosk, new, wrong):
    made = {
        "another's hand": proof(new, kiosk, proven_by=kiosk.private_key),
        "another terminal": proof(new, kiosk, terminal="01990000-0000-7000-8000-000000000000"),
        "another old key": proof(new, kiosk, signed_by="A" * 43),
        "nothing": "AAAA",
        "no base64": "—",
    }

    body = {"public_key": keys.public_pem(new), "proof": made[wrong]}
    answer = kiosk.post("terminals/keys/", body)

    assert answer.status_code == 422
    assert answer.json()["errors"] == [
        {"field": "proof", "code": "invalid", "detail": "格式不正确"}
    ]
    assert kiosk.terminal.keys.count() == 1


def test_a_proof_of_p256_is_64_bytes(kiosk):
    new = keys.make("ecdsa-p256-sha256")
    made = base64.b64decode(proof(new, kiosk))
    longer = base64.b64encode(made[:32] + b"\0" + made[32:]).decode()  # the same two numbers

    answer = kiosk.post("terminals/keys/", {"public_key": keys.public_pem(new), "proof": longer})

    assert answer.status_code == 422


def test_what_is_no_key_is_invalid(kiosk):
    answer = kiosk.post("terminals/keys/", {"public_key": "x", "proof": "AAAA"})

    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == "public_key"


def test_a_third_key_is_refused_until_one_is_retired(kiosk, notice, new):
    add(kiosk, new)
    third = keys.make("ed25519")

    assert add(kiosk, third).json()["code"] == "too_many_keys"

    retire(kiosk, kiosk.key.pk, signed_by=new)
    kiosk.http.auth = TerminalAuth(new, keys.key_id(new))
    assert add(kiosk, third, signed_by=keys.key_id(new)).status_code == 201


def test_a_terminal_does_not_lock_itself_out(kiosk):
    answer = retire(kiosk, kiosk.key.pk)

    assert answer.json()["code"] == "key_in_hand"
    assert kiosk.terminal.keys.in_force().exists()


def test_anothers_key_is_not_found(kiosk, install):
    other = install("T-2")

    assert retire(kiosk, other.key.pk).status_code == 404
    assert retire(kiosk, "A" * 43).status_code == 404
    assert other.terminal.keys.in_force().exists()


def test_a_key_that_was_cut_off_does_not_come_back(kiosk, lin, new):
    add(kiosk, new)
    activation.revoke(TerminalKey.objects.get(pk=keys.key_id(new)), by=lin, at=timezone.now())

    assert add(kiosk, new).json()["code"] == "key_in_use"


def test_anothers_key_is_not_taken_over(kiosk, install):
    other = install("T-2")

    answer = add(kiosk, other.private_key)

    assert answer.json()["code"] == "key_in_use"
    assert recorded("terminal.denied").filter(payload__contains="key_in_use").exists()


def test_a_key_cut_off_in_the_admin_vouches_for_none(kiosk, lin, new):
    activation.revoke(kiosk.key, by=lin, at=timezone.now())

    assert add(kiosk, new).json()["code"] == "key_unknown"
    assert not TerminalKey.objects.filter(pk=keys.key_id(new)).exists()


def test_revoking_one_of_two_leaves_the_other(kiosk, notice, lin, new):
    add(kiosk, new)

    activation.revoke(kiosk.key, by=lin, at=timezone.now())

    assert not works(kiosk, kiosk.private_key)
    assert works(kiosk, new)


def test_a_new_box_ends_both_keys(kiosk, notice, lin, new):
    add(kiosk, new)
    code = activation.issue(kiosk.terminal, by=lin, at=timezone.now())
    box = keys.make("ed25519")

    activation.activate(
        code,
        public_key=keys.public_pem(box),
        at=timezone.now(),
        model="ABC",
        sdk_version="1.26",
        agent_version="1",
    )

    assert [key.pk for key in kiosk.terminal.keys.in_force()] == [keys.key_id(box)]


def test_a_suspended_terminal_changes_no_key(kiosk, lin, new):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="待查")

    assert add(kiosk, new).json()["code"] == "terminal_suspended"


def at_once(*works):
    """Return what each of `works` raised, None for what went well."""
    together, raised = threading.Barrier(len(works)), {}

    def run(number, work):
        together.wait()
        try:
            work()
        except (rotation.KeyGone, rotation.TooManyKeys) as exc:
            raised[number] = type(exc)
        connections.close_all()

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [raised.get(number) for number in range(len(works))]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_two_keys_do_not_retire_each_other(kiosk, new):
    add(kiosk, new)
    old, second = kiosk.key, TerminalKey.objects.get(pk=keys.key_id(new))

    raised = at_once(
        lambda: rotation.retire(old, signed_by=second, at=timezone.now()),
        lambda: rotation.retire(second, signed_by=old, at=timezone.now()),
    )

    assert sorted(map(str, raised)) == sorted(map(str, [None, rotation.KeyGone]))
    assert kiosk.terminal.keys.in_force().count() == 1


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_keys_added_at_once_are_not_more_than_two(kiosk):
    boxes = [keys.make("ed25519") for _ in range(4)]

    def adding(box):
        return lambda: rotation.add(
            kiosk.terminal,
            public_key=keys.public_pem(box),
            proof=proof(box, kiosk),
            signed_by=kiosk.key,
            at=timezone.now(),
        )

    raised = at_once(*map(adding, boxes))

    assert raised.count(rotation.TooManyKeys) == 3
    assert kiosk.terminal.keys.in_force().count() == 2


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_a_box_that_is_being_replaced_adds_no_key_meanwhile(kiosk, lin, new):
    code = activation.issue(kiosk.terminal, by=lin, at=timezone.now())
    box = keys.make("ed25519")

    at_once(
        lambda: rotation.add(
            kiosk.terminal,
            public_key=keys.public_pem(new),
            proof=proof(new, kiosk),
            signed_by=kiosk.key,
            at=timezone.now(),
        ),
        lambda: activation.activate(
            code,
            public_key=keys.public_pem(box),
            at=timezone.now(),
            model="ABC",
            sdk_version="1.26",
            agent_version="1",
        ),
    )

    assert [key.pk for key in kiosk.terminal.keys.in_force()] == [keys.key_id(box)]
