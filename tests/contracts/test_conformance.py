"""The server does what the committed description says, whatever is sent to it: signed, for real."""

import hashlib
import json
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import httpx
import pytest
import requests
import schemathesis
from django.core.wsgi import get_wsgi_application
from django.utils import timezone
from hypothesis import HealthCheck, seed, settings
from schemathesis import checks

from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import Activation, Terminal

HERE = Path(__file__).parent
CODE = "7KQM2XRT9WHC"  # as in the description's example
VECTOR = json.loads((HERE.parent / "vectors" / "terminal_signature.json").read_text())
described = schemathesis.openapi.from_path(str(HERE / "openapi.yaml"))


class Lobby:
    """A terminal whose sessions are found, and a box that may be activated, for any request."""

    def __init__(self, kiosk, simulator):
        self.kiosk, self.simulator = kiosk, simulator
        self.box = keys.from_pem(VECTOR["keys"]["ecdsa-p256-sha256"]["private_key"].encode())
        self.new = Terminal.objects.create(serial="T-new", name="新", store=kiosk.terminal.store)
        self.wsgi = get_wsgi_application()

    def send(self, case):
        """Send what was generated, signed over the bytes as they go out."""
        self.make_true(case)
        made = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        body = made.body or b""
        request = httpx.Request(
            made.method,
            made.url,
            headers=list(made.headers.items()),
            content=body.encode() if isinstance(body, str) else body,
        )
        with httpx.Client(transport=httpx.WSGITransport(app=self)) as http:
            return http.send(request, auth=self.auth(case))

    def auth(self, case):
        if "Signature" not in case.headers:  # left out on purpose: nobody signs
            return lambda request: request
        if case.operation.path.endswith("/activation/"):
            return TerminalAuth(self.box, keys.key_id(self.box))
        return TerminalAuth(self.kiosk.private_key, self.kiosk.key.pk)

    def make_true(self, case):
        """Let every second id, and the example's code, be one that the server knows."""
        if case.operation.path.endswith("/activation/"):
            Activation.objects.update_or_create(
                terminal=self.new,
                defaults={
                    "code_digest": hashlib.sha256(CODE.encode()).hexdigest(),
                    "expires_at": timezone.now() + timedelta(minutes=15),
                },
            )
        try:
            made_up = UUID(str(case.path_parameters.get("id", "")))
        except ValueError:
            return
        if made_up.int % 2 == 0:
            case.path_parameters["id"] = self.session(case.operation.path)

    def session(self, path):
        pk = self.kiosk.agree()
        if path.endswith("/authorization/"):
            body = {"face_sid": self.simulator.meet("stranger-1")}
            self.kiosk.post(f"face-sessions/{pk}/sighting/", body).raise_for_status()
        return pk

    def __call__(self, environ, start_response):
        """As every server does, and httpx does not: a path is bytes, decoded as latin-1."""
        environ["PATH_INFO"] = environ["PATH_INFO"].encode().decode("latin-1")
        return self.wsgi(environ, start_response)


@pytest.fixture
def lobby(kiosk, simulator, settings, monkeypatch):
    settings.LONG_POLLS = 0  # a poll is answered at once
    rates = {"terminal": "1000000/min", "activation": "1000000/min"}
    monkeypatch.setattr("devices.throttling.CountingThrottle.THROTTLE_RATES", rates)
    return Lobby(kiosk, simulator)


@pytest.mark.usefixtures("notice", "merchant")
@described.parametrize()
@seed(1)
@settings(max_examples=25, deadline=None, database=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_as_described(case, lobby):
    answer = lobby.send(case)

    case.validate_response(
        answer,
        excluded_checks=[
            checks.ignored_auth,  # its own requests would go out unsigned, or signed by us
            checks.positive_data_acceptance,  # no schema says what proves a key, or is a key
        ],
    )
    if answer.status_code >= 400 and answer.status_code != 405:
        assert answer.json()["code"] in codes(case.operation, answer.status_code)


def codes(operation, status):
    """Return the problem codes that the description gives for a status of an operation."""
    response = operation.definition.raw["responses"][str(status)]
    return response["content"]["application/problem+json"]["examples"]
