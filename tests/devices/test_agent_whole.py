import json

import httpx
import pytest
from django.core.wsgi import get_wsgi_application
from django.utils import timezone

from devices import activation
from devices.agent import __main__ as program
from devices.agent.activation import recall
from devices.models import Terminal, TerminalKey
from faceauth.models import FaceSession
from hospital.audit.recording import SYSTEM


@pytest.fixture
def network(simulator, merchant, notice):
    apps = {"testserver": get_wsgi_application(), "room": simulator}
    roads = {name: httpx.WSGITransport(app) for name, app in apps.items()}

    class Network(httpx.BaseTransport):
        def handle_request(self, request):
            return roads[request.url.host].handle_request(request)

    return Network()


@pytest.mark.django_db(transaction=True)
def test_a_box_is_activated_changes_its_key_and_receives_somebody(tmp_path, store, network, capsys):
    terminal = store.terminals.create(serial="T-01", name="门诊一号")
    code = activation.issue(terminal, by=SYSTEM, at=timezone.now())
    box = ["--server", "https://testserver", "--state", str(tmp_path / "state")]
    camera = ["--sdk", "simulated:http://room", "--sdk-version", "1.26", "--aggregate"]
    visitor = ["--person", "decliner"]  # needs no worker

    status = program.main(
        [*box, *camera, *visitor, "--activate", code, "--rotate-key", "--once", "--json"],
        transport=network,
    )

    assert status == 1
    assert json.loads(capsys.readouterr().out)["state"] == "declined"
    assert FaceSession.objects.get().state == "declined"
    assert TerminalKey.objects.count() == 2
    assert [key.pk for key in TerminalKey.objects.in_force()] == [recall(tmp_path / "state").key_id]
    assert Terminal.objects.get().camera == "ready"
    assert Terminal.objects.get().disk_free_mb > 0
