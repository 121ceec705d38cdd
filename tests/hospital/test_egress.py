"""Who may be connected to: a list the settings make, asked by every client of ours."""

import ast
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest

from faceauth import connection, wechat
from faceauth.wechat.exchange import Channel, compose
from hospital import egress
from hospital.audit import trail
from hospital.audit.anchors import Away as AnchorAway
from hospital.audit.forwarding.wire import Away, Receiver
from hospital.crypto.providers import KeyUnavailable
from hospital.crypto.providers.configured import provider
from hospital.his import client as his
from hospital.his.errors import NotNow
from tests.his_server import TOKEN, His, serving
from tests.house import House, until

ROOT = Path(__file__).resolve().parents[2]
CONFIGURED = {
    "HIS_FHIR_URL": "https://his.example/fhir",
    "VAULT_ADDR": "https://Vault.example:8200",
    "WITNESS_URL": "https://witness.example/prefix/",
    "TIMESTAMP_URL": "http://tsa.example/stamp",
    "FORWARD_ADDRESS": "siem.example",
}


@pytest.fixture(autouse=True)
def level3(settings):
    settings.EGRESS_ALLOW = []
    for name in CONFIGURED:
        setattr(settings, name, "")


@pytest.mark.parametrize(
    "host", ["payapp.weixin.qq.com", "api.mch.weixin.qq.com", "API2.mch.weixin.qq.com"]
)
def test_wechat_may_always_be_asked_and_by_https_alone(host):
    assert egress.permits(host, 443)
    assert not egress.permits(host, 80)


@pytest.mark.parametrize(
    ("name", "host", "port"),
    [
        ("HIS_FHIR_URL", "his.example", 443),
        ("VAULT_ADDR", "vault.example", 8200),
        ("WITNESS_URL", "witness.example", 443),
        ("TIMESTAMP_URL", "tsa.example", 80),
        ("FORWARD_ADDRESS", "siem.example", 6514),
    ],
)
def test_who_a_setting_names_may_be_asked_at_that_port(settings, name, host, port):
    assert not egress.permits(host, port)

    setattr(settings, name, CONFIGURED[name])

    assert egress.permits(host, port)
    assert not egress.permits(host, port + 1)
    assert not egress.permits(f"{host}.evil.example", port)
    assert not egress.permits(f"evil-{host}", port)


@pytest.mark.parametrize(
    ("entry", "host", "port", "may"),
    [
        ("signing.example:8443", "signing.example", 8443, True),
        ("signing.example:8443", "signing.example", 443, False),
        (" Signing.example ", "signing.example", 443, True),
        ("::1", "::1", 8443, False),
        ("", "", 0, False),
        ("*", "signing.example", 443, False),
    ],
)
def test_others_are_allowed_by_name_and_perhaps_by_port(settings, entry, host, port, may):
    settings.EGRESS_ALLOW = [entry]

    assert egress.permits(host, port) is may


@pytest.mark.parametrize("address", ["127.0.0.1", "localhost", "169.254.169.254", "10.0.0.5", ""])
def test_nobody_else_is_on_the_list_at_level_3(address):
    assert not egress.permits(address, 443)


# The clients.


class Door:
    """Somebody who listens, and counts who comes."""

    def __init__(self):
        door = self
        self.came = 0

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                door.came += 1
                self.send_response(302)
                self.send_header("Location", "http://127.0.0.1:1/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_POST(self):
                self.do_GET()

            def log_message(self, *_args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def door():
    door = Door()
    thread = threading.Thread(target=door.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield door
    door.server.shutdown()
    thread.join()
    door.server.server_close()


def test_wechats_clients_ask_first(door, merchant, settings):
    merchant.v2_base_url = merchant.v3_base_url = door.url
    device = wechat.Device(store_id="s", store_name="s", device_id="d")

    with pytest.raises(wechat.Unavailable) as v2:
        connection.authinfo_client(merchant).fetch(device, rawdata="cmF3")
    with pytest.raises(wechat.Unavailable) as v3:
        connection.identity_client(merchant).ask("a" * 32)

    assert (v2.value.fact, v3.value.fact, door.came) == ("egress", "egress", 0)


def test_a_refusal_of_ours_is_no_failure_of_the_hosts():
    channel = Channel(permit=lambda _host, _port: False)
    request = compose("GET", "https://api.mch.weixin.qq.com/", accept="*/*")

    with pytest.raises(wechat.Unavailable, match=r"^egress$"):
        channel.send(request, until=float("inf"))


def test_the_hiss_client_asks_first(door):
    with (
        his.connected(door.url, token=TOKEN, ca_file="") as wire,
        pytest.raises(NotNow, match="egress"),
    ):
        wire.ask("GET", "metadata", until=float("inf"))

    assert door.came == 0


def test_vaults_client_asks_first(door, settings, monkeypatch):
    settings.VAULT_ADDR, settings.VAULT_TOKEN = door.url, "t"
    monkeypatch.setattr(egress, "_configured", lambda: iter(()))

    with pytest.raises(KeyUnavailable, match="Forbidden"):
        provider("vault").wrap(b"k" * 32, context=b"c")

    assert door.came == 0


def test_the_witness_is_not_asked_elsewhere(door, settings):
    settings.WITNESS_URL = "https://witness.example/"
    with egress.client(base_url=door.url) as http, pytest.raises(httpx.ConnectError):
        http.post("/add-checkpoint", content=b"")

    assert door.came == 0


def test_the_time_stamper_is_not_asked_unless_permitted(door, settings, tmp_path, monkeypatch):
    settings.TIMESTAMP_URL, settings.TIMESTAMP_CA = door.url, str(tmp_path / "ca.pem")
    monkeypatch.setattr(trail.rfc3161, "certificates", lambda _path: [])
    monkeypatch.setattr(egress, "_configured", lambda: iter(()))
    [sink] = trail._sinks()

    with pytest.raises(AnchorAway, match="egress"):
        sink.anchor("note", now=None)

    assert door.came == 0


def test_the_log_server_is_not_connected_to_unless_permitted(door):
    receiver = Receiver("127.0.0.1", door.server.server_port, None, permit=egress.permits)

    with pytest.raises(Away, match="egress"):
        receiver.connect()

    assert door.came == 0


def test_nobody_is_followed_elsewhere(door, settings, monkeypatch):
    settings.EGRESS_ALLOW = ["127.0.0.1"]
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1/")

    with egress.client() as http:
        assert http.get(door.url).status_code == 302

    assert door.came == 1


# The source: nobody opens a line but where it asks first.

OPENERS = {
    *("Client", "AsyncClient", "HTTPTransport", "AsyncHTTPTransport", "PunctualTransport"),
    *("create_connection", "open_connection", "urlopen", "HTTPConnection", "HTTPSConnection"),
    *("ConnectionPool", "AsyncConnectionPool", "SMTP", "FTP", "create_datagram_endpoint"),
    *("connect_tcp", "connect_ex", "getaddrinfo", "gethostbyname", "DatabaseWrapper"),
}
VERBS = {"get", "post", "put", "patch", "delete", "head", "options", "request", "stream"}
ELSEWHERE = {"simulator", "agent", "sdk"}  # the terminal's own program, and who stands for WeChat
KNOWN = {
    # The layer itself.
    "hospital/egress.py: httpx.Client",
    # Behind Channel.send and asend, which ask; and the streams below them.
    "faceauth/wechat/lines.py: PunctualTransport",
    "faceauth/wechat/exchange.py: httpx.AsyncHTTPTransport",
    "faceauth/wechat/punctual.py: httpcore.ConnectionPool",
    "faceauth/wechat/punctual.py: self._real.connect_tcp",
    "faceauth/wechat/punctual.py: socket.getaddrinfo",
    # Given to egress.client.
    "hospital/his/client.py: PunctualTransport",
    # Each asks in the lines before.
    "hospital/audit/anchors/rfc3161.py: httpx.AsyncClient",
    "hospital/audit/forwarding/wire.py: socket.create_connection",
    # Databases: Django's own.
    "hospital/direct.py: load_backend(place['ENGINE']).DatabaseWrapper",
    # Whether a port of a demo on this machine is taken.
    "hospital/demo/processes.py: probe.connect_ex",
    "hospital/demo/processes.py: socket.socket",
}


def opened():
    """Yield `file: call` for everything that may open a line."""
    apps = ("hospital", "faceauth", "devices")
    for path in sorted(one for app in apps for one in ROOT.glob(f"{app}/**/*.py")):
        if ELSEWHERE & {*path.parts}:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                *owner, name = called.split(".")
                is_plain = called == "socket.socket" or (owner == ["httpx"] and name in VERBS)
                if name in OPENERS or is_plain:
                    yield f"{path.relative_to(ROOT)}: {called}"


def test_every_line_that_the_source_opens_is_known():
    assert set(opened()) <= KNOWN


def test_each_that_is_known_is_there():
    assert set(opened()) >= KNOWN


def test_who_does_not_ask_by_itself_is_given_somebody_to_ask():
    made = [
        (path, node)
        for path in sorted([*ROOT.glob("hospital/**/*.py"), *ROOT.glob("faceauth/*.py")])
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1]
        in {"IdentityClient", "AuthinfoClient", "RemoteSigner", "TimeStamps", "Receiver"}
    ]

    assert len(made) == 5
    for path, node in made:
        assert "permit" in {keyword.arg for keyword in node.keywords}, path


# Real processes, watched by the interpreter itself.

WATCH = """
import os, sys
def watch(event, args):
    if event == "socket.connect":
        address = args[1]
        said = "%s %s" % address[:2] if isinstance(address, tuple) else "unix"
    elif event == "socket.getaddrinfo":
        said = "? %s" % (args[0],)
    else:
        return
    with open(os.path.join({folder!r}, "%d" % os.getpid()), "a") as file:
        file.write(said + "\\n")
sys.addaudithook(watch)
"""


def connected(folder):
    return {line for path in folder.iterdir() for line in path.read_text().splitlines()}


@contextmanager
def watched(tmp_path, **env):
    """A house in which every connection that Python opens is written down."""
    seen, hook = tmp_path / "seen", tmp_path / "hook"
    seen.mkdir()
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(WATCH.format(folder=str(seen)))
    with House.built(tmp_path / "var", PYTHONPATH=str(hook), **env) as house:
        yield house, seen


def test_a_whole_visit_connects_to_nobody_but_wechat_and_the_his(tmp_path):
    with serving(His()) as system:
        there = system.url.split("/")[2]
        names = {"HIS_FHIR_URL": system.url, "HIS_IDENTIFIER_SYSTEM": "https://hospital.example/p"}
        with watched(tmp_path, **names, HIS_TOKEN=TOKEN) as (house, seen):
            house.processes.env["EGRESS_ALLOW"] = f"127.0.0.1:{house.place.sim_port}"
            before = connected(seen)
            for name in ("web", "worker", "notary"):
                house.start(name)
            with house.lobby() as lobby:
                visit = lobby.authorize("ouyang")
                until(lambda: house.finished([visit]), "onboarded")
            until(lambda: system.patients, "the HIS knows")
            until(lambda: house.sql("SELECT 1 FROM audit_checkpoint"), "signed")

        assert connected(seen) - before == {
            f"127.0.0.1 {house.place.sim_port}",
            f"127.0.0.1 {there.split(':')[1]}",
            "? 127.0.0.1",
        }
