"""A terminal's life among real processes: two webs, one worker, one WeChat of our own."""

import json
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import httpx
import pytest

from devices.agent import activation
from hospital.demo import commands
from hospital.demo.installation import ROOT
from tests import signing_in
from tests.house import House, free_ports

ACTIVATION_CODE = re.compile(r"\b(?:[2-9A-HJ-NP-Z]{4}-){2}[2-9A-HJ-NP-Z]{4}\b")
TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="([^"]+)"')
LONGEST = 90  # seconds, for a machine that is busy with something else


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with House.built(tmp_path_factory.mktemp("house") / "var") as house:
        house.start("web")
        house.start("worker")
        yield house


@pytest.fixture(scope="module")
def other_web(house):
    """A second web process in front of the same database and cache; its address."""
    place = replace(house.place, port=free_ports(1)[0])
    house.processes.start("web-2", *commands.web(place))
    house.processes.wait_for_port(place.port)
    return place.server


class Office:
    """A member of staff at the admin, over HTTP."""

    def __init__(self, http):
        self.http = http

    def post(self, path, **form):
        token = TOKEN.search(self.http.get(path).text).group(1)
        answer = self.http.post(path, data={**form, "csrfmiddlewaretoken": token})
        answer.raise_for_status()
        return answer.text

    def act(self, action, terminal):
        """Choose an action for one terminal; return the page that comes of it."""
        return self.post(
            "/admin/devices/terminal/", action=action, _selected_action=terminal, reason=""
        )


@contextmanager
def office(house, username):
    [login] = [
        login
        for login in json.loads(house.place.logins.read_text())
        if login["username"] == username
    ]
    with httpx.Client(
        base_url=house.place.server, follow_redirects=True, trust_env=False, timeout=LONGEST
    ) as http:
        staff = Office(http)
        signing_in.over_http(http, username, login["password"])
        yield staff


def run(house, *command):
    """Run a program beside the house's own, as an integrator would in a shell."""
    environment = {**house.processes.env, "NO_PROXY": "*"}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=LONGEST
    )


def onboarded(house):
    [(count,)] = house.sql("SELECT COUNT(*) FROM faceauth_facesession WHERE state = 'onboarded'")
    return count


def test_from_activation_to_a_patient_to_revocation(house, tmp_path):
    agent = [sys.executable, "-m", "devices.agent", "--server", house.place.server]
    agent += ["--state", str(tmp_path / "state"), "--sdk", f"simulated:{house.place.simulator}"]
    agent += ["--once", "--json"]
    before = onboarded(house)

    with office(house, "lin") as lin:
        [(store,)] = house.sql("SELECT id FROM devices_store WHERE code = 'menzhen'")
        form = {"serial": "T-0100", "name": "新机", "store": store}
        lin.post("/admin/devices/terminal/add/", **form)
        [(terminal,)] = house.sql("SELECT id FROM devices_terminal WHERE serial = 'T-0100'")
        [code] = set(ACTIVATION_CODE.findall(lin.act("issue_code", terminal)))

        first = run(house, *agent, "--activate", code)
        again = run(house, *agent)
        lin.act("revoke_keys", terminal)
        last = run(house, *agent)

    assert (first.returncode, again.returncode) == (0, 0), first.stderr + again.stderr
    assert json.loads(first.stdout.splitlines()[-1])["state"] == "onboarded"
    assert last.returncode != 0
    assert "key_unknown" in last.stderr
    assert onboarded(house) >= before + 1
    [revoked] = house.trail("terminal.key_revoke")[-1:]
    assert revoked["object"]["id"].replace("-", "") == str(terminal).replace("-", "")
    assert house.trail("terminal.denied")[-1]["facts"]["code"] == "key_unknown"


def test_the_client_of_the_documentation_receives_a_patient(house):
    manage = [sys.executable, "-m", "hospital.demo.manage"]
    code = json.loads(run(house, *manage, "createactivation", "T-0002", "--json").stdout)["code"]
    client = ROOT / "docs" / "examples" / "client.py"

    ran = run(house, sys.executable, client, house.place.server, house.place.simulator, code)

    assert ran.returncode == 0, ran.stderr
    session = json.loads(ran.stdout)
    assert session["state"] in {"onboarded", "recognised"}
    assert session["patient"]["number"]


def test_the_client_of_the_documentation_is_sixty_lines_of_code():
    source = (ROOT / "docs" / "examples" / "client.py").read_text()
    code = [line for line in source.split('"""')[2].splitlines() if line.strip()]

    assert len(code) <= 60


def test_a_replay_at_the_same_instant_is_accepted_once_by_two_processes(house, other_web):
    with house.lobby() as lobby:
        lobby.equip()
    auth = activation.recall(house.place.var / "terminal").auth()
    servers = (house.place.server, other_web)
    starting = threading.Barrier(len(servers), timeout=LONGEST)

    def send(http, url, headers):
        starting.wait()
        return http.get(url, headers=headers)

    with (
        httpx.Client(trust_env=False, timeout=LONGEST) as http,
        ThreadPoolExecutor(len(servers)) as both,
    ):
        for _ in range(50):
            [signed] = auth.sync_auth_flow(httpx.Request("GET", f"{servers[0]}/api/v1/notice/"))
            headers = {
                name: signed.headers[name]
                for name in ("Content-Digest", "Signature-Input", "Signature")
            }
            urls = [f"{server}/api/v1/notice/" for server in servers]

            answers = list(both.map(send, [http] * 2, urls, [headers] * 2))

            assert sorted(answer.status_code for answer in answers) == [200, 401]
            [refused] = [answer for answer in answers if answer.status_code == 401]
            assert refused.json()["code"] == "nonce_reused"


def test_a_replay_to_the_other_process_a_moment_later_is_refused(house, other_web):
    with house.lobby() as lobby:
        lobby.equip()
    auth = activation.recall(house.place.var / "terminal").auth()
    request = httpx.Request("GET", f"{house.place.server}/api/v1/notice/")

    with httpx.Client(trust_env=False, timeout=LONGEST) as http:
        [signed] = auth.sync_auth_flow(request)
        first = http.send(signed)
        signed.headers.pop("Host")
        second = http.get(f"{other_web}/api/v1/notice/", headers=signed.headers)

    assert first.status_code == 200
    assert second.json()["code"] == "nonce_reused"
