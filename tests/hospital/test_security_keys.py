"""A security key proves somebody at this very address, with what was asked of it just now."""

import base64
import hashlib
import json
import logging
import os

import pytest
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from django.test import Client
from django.urls import reverse
from fido2 import cbor

from hospital.audit.models import Event
from tests import signing_in
from tests.conftest import PASSWORD

OURS = "http://testserver"
PRESENT, WITH_KEY = 0x01, 0x41  # flags
SECOND_PAGE = "account:second-factor"


class Token:
    """A security key, as WebAuthn says one answers."""

    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.id = os.urandom(32)

    @property
    def public(self):
        numbers = self.key.public_key().public_numbers()
        return {
            1: 2,
            3: -7,
            -1: 1,
            -2: numbers.x.to_bytes(32, "big"),
            -3: numbers.y.to_bytes(32, "big"),
        }

    def made(self, challenge, *, public=None, flags=WITH_KEY, count=5):
        said = hashlib.sha256(b"testserver").digest() + bytes([flags]) + count.to_bytes(4, "big")
        if flags == WITH_KEY:
            length = len(self.id).to_bytes(2, "big")
            said += bytes(16) + length + self.id + cbor.encode(public or self.public)
        attested = cbor.encode({"fmt": "none", "attStmt": {}, "authData": said})
        client = told("webauthn.create", challenge, OURS)
        return self.answer(clientDataJSON=client, attestationObject=attested)

    def signed(self, challenge, *, origin=OURS, count=6):
        said = hashlib.sha256(b"testserver").digest() + bytes([PRESENT]) + count.to_bytes(4, "big")
        client = told("webauthn.get", challenge, origin)
        over = said + hashlib.sha256(client).digest()
        signature = self.key.sign(over, ec.ECDSA(hashes.SHA256()))
        return self.answer(clientDataJSON=client, authenticatorData=said, signature=signature)

    def answer(self, **response):
        body = {
            "id": text(self.id),
            "rawId": text(self.id),
            "type": "public-key",
            "clientExtensionResults": {},
            "response": {name: text(value) for name, value in response.items()},
        }
        return json.dumps(body)


def text(value):
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()


def told(kind, challenge, origin):
    return json.dumps({"type": kind, "challenge": challenge, "origin": origin}).encode()


def with_password(person):
    client = Client()
    client.post(reverse("admin:login"), {"username": person.username, "password": PASSWORD})
    return client


def asked(client, name=SECOND_PAGE):
    """Return the challenge of a page that was just opened."""
    options = json.loads(client.get(reverse(name)).context["options"])
    return options["publicKey"]["challenge"]


def bind(client, token, **how):
    credential = token.made(asked(client, "account:key"), **how)
    return client.post(reverse("account:key"), {"name": "钥匙", "credential": credential})


def show(client, token, challenge=None, **how):
    credential = token.signed(challenge or asked(client), **how)
    return client.post(reverse(SECOND_PAGE), {"credential": credential})


def is_in(client):
    return client.get(reverse("admin:index")).status_code == 200


@pytest.fixture
def token(zhou):
    token = Token()
    assert bind(with_password(zhou), token).status_code == 302
    return token


def test_a_key_is_bound_and_logs_in_and_no_log_names_it(zhou, caplog):
    token = Token()
    with caplog.at_level(logging.INFO):
        bind(with_password(zhou), token)
        client = with_password(zhou)
        show(client, token)

    assert is_in(client)
    assert token.id.hex() not in caplog.text


@pytest.mark.parametrize(
    "origin", ["http://testserver:8443", "https://testserver", "http://evil.testserver"]
)
def test_another_origin_is_not_ours(zhou, token, origin):
    client = with_password(zhou)

    show(client, token, origin=origin)

    assert not is_in(client)


def test_a_key_that_counts_backwards_is_refused_and_on_record(zhou, token):
    show(with_password(zhou), token, count=9)
    client = with_password(zhou)

    show(client, token, count=9)

    assert not is_in(client)
    event = Event.objects.get(action="auth.mfa_copied")
    assert (event.outcome, event.actor_id) == ("denied", str(zhou.pk))
    assert json.loads(event.payload)["facts"] == {"factor": "webauthn"}


def test_a_key_that_does_not_count_is_none_the_worse(zhou):
    token = Token()
    bind(with_password(zhou), token, count=0)

    for _ in range(2):
        client = with_password(zhou)
        show(client, token, count=0)
        assert is_in(client)


def test_two_tabs_do_not_disturb_each_other(zhou, token):
    client = with_password(zhou)
    first, _ = asked(client), asked(client)

    show(client, token, first)

    assert is_in(client)


def test_a_question_is_answered_once(zhou, token):
    client = with_password(zhou)
    challenge = asked(client)
    show(client, token, challenge, origin="http://evil.testserver")

    show(client, token, challenge)

    assert not is_in(client)


def test_what_nobody_asked_is_no_answer(zhou, token):
    client = with_password(zhou)
    asked(client)

    show(client, token, text(os.urandom(32)))

    assert not is_in(client)


@pytest.mark.parametrize(
    "public",
    [{1: 2, 3: -9999, -1: 1, -2: b"x", -3: b"y"}, {1: 2, 3: -7, -1: 1, -2: b"x", -3: b"y"}, {1: 2}],
)
def test_a_key_nobody_could_check_is_not_bound(zhou, public):
    client = with_password(zhou)

    answer = bind(client, Token(), public=public)

    assert "验证没有通过" in answer.text
    assert not Authenticator.objects.exists()


def test_a_key_without_a_key_is_not_bound(zhou):
    assert "验证没有通过" in bind(with_password(zhou), Token(), flags=PRESENT).text


@pytest.mark.parametrize(
    "attested",
    [
        b"\x81" * 5000,
        b"\x9f",
        b"\x1b" + b"\xff" * 8,
        b"\xfb\0",
        b"\xbb" + b"\xff" * 8,
        b"\x5b\x7f" + b"\xff" * 7,
        b"\xa1\x68authData\x41\0",
        b"",
        b"\xa3",
    ],
)
def test_nonsense_instead_of_a_key_is_not_bound(zhou, attested):
    client = with_password(zhou)
    made = told("webauthn.create", asked(client, "account:key"), OURS)
    credential = Token().answer(clientDataJSON=made, attestationObject=attested)

    answer = client.post(reverse("account:key"), {"name": "k", "credential": credential})

    assert "验证没有通过" in answer.text


@pytest.mark.parametrize(
    "credential",
    [
        "[" * 15000,
        '{"response":' * 1000 + "1" + "}" * 1000,
        '"' + "x" * 20000 + '"',
        "1e999",
        '"\\u0000"',
        "nonsense",
    ],
)
def test_nonsense_instead_of_an_answer_is_refused(zhou, token, credential):
    client = with_password(zhou)

    answer = client.post(reverse(SECOND_PAGE), {"credential": credential})

    assert answer.status_code == 200
    assert 'role="alert"' in answer.text


def test_no_page_gives_an_answer_back_and_a_code_does_for_it(zhou, token):
    phone = signing_in.enrolled(zhou)
    client = with_password(zhou)
    credential = token.signed(text(os.urandom(32)))

    page = client.post(reverse(SECOND_PAGE), {"credential": credential}).text
    client.post(reverse(SECOND_PAGE), {"credential": "", "code": phone.code()})

    assert text(token.id) not in page.split("data-options")[0]
    assert 'name="credential" id="id_credential">' in page
    assert is_in(client)


def test_without_an_answer_the_page_says_so(zhou):
    client = with_password(zhou)

    page = client.post(reverse("account:key"), {"name": "钥匙", "credential": ""}).text

    assert "没有收到安全密钥的答复" in page
