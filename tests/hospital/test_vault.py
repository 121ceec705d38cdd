"""Vault's side is `tests/contracts/vault_transit.json`: asked of a real server, word for word."""

import json
import os
import ssl
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import IPv4Address
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import stamina
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from hospital.crypto.providers import KeyRefused, KeyUnavailable, RootKeyExists, vault_wire
from hospital.crypto.providers.vault import VaultProvider
from hospital.crypto.providers.vault_wire import Vault, VaultToken
from tests.house import free_ports, until

CONTRACT = json.loads((Path(__file__).parents[1] / "contracts" / "vault_transit.json").read_text())
KEY = bytes.fromhex(CONTRACT["key_hex"])
CONTEXT = CONTRACT["context"].encode()
HOSPITAL, ROOT = "contract-hospital", "contract-root"


@dataclass
class Server:
    """Says what it was told to, in order, and keeps what it was asked."""

    address: str = ""
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    asked: list[dict[str, object]] = field(default_factory=list)
    drips: bool = False
    gone: threading.Event = field(default_factory=threading.Event)

    def will_say(self, *exchanges: str) -> None:
        for exchange in [one for name in exchanges for one in CONTRACT["exchanges"][name]]:
            answer = exchange["answer"]
            self.answers.append((answer["status"], {}, json.dumps(answer["body"]).encode()))

    def will(self, status: int, body: object = None, **headers: str) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body or {}).encode()
        self.answers.append((status, headers, content))

    def provider(self, token: str = HOSPITAL, **how: object) -> VaultProvider:
        named = {key: how.pop(key) for key in ("key", "mount") if key in how}
        vault = Vault(address=self.address, token=VaultToken(token), **how)
        return VaultProvider(vault=vault, **{"key": "hospital-root", **named})


class Requests(BaseHTTPRequestHandler):
    server: "Listening"

    def do_POST(self):
        ours = self.server.script
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = {"method": self.command, "path": self.path, "headers": vaults_own(self.headers)}
        ours.asked.append(asked | ({"body": json.loads(body)} if body else {}))
        status, headers, content = ours.answers.pop(0)
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        if ours.drips:
            self.end_headers()
            while not ours.gone.wait(0.01):
                self.wfile.write(b" " * 256)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST  # noqa: N815 - so http.server wants it

    def log_message(self, *_args):
        pass


class Listening(ThreadingHTTPServer):
    script: Server

    def handle_error(self, *_args):
        pass  # a client that has heard enough hangs up


def vaults_own(headers):
    return {name: value for name, value in sorted(headers.items()) if name.startswith("X-Vault")}


@contextmanager
def listening(*, context: ssl.SSLContext | None = None):
    script = Server()
    with Listening(("127.0.0.1", 0), Requests) as listener:
        listener.script = script
        if context is not None:
            listener.socket = context.wrap_socket(listener.socket, server_side=True)
        script.address = f"http{'s' if context else ''}://127.0.0.1:{listener.server_port}"
        thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield script
        finally:
            script.gone.set()
            listener.shutdown()
            thread.join()


@pytest.fixture
def vault():
    with listening() as server:
        yield server


def recorded(name: str) -> str:
    [exchange] = CONTRACT["exchanges"][name]
    return exchange["answer"]["body"]["data"]["ciphertext"]


def asked_about(name: str) -> bytes:
    """Return the ciphertext that was sent in this exchange."""
    [exchange] = CONTRACT["exchanges"][name]
    return exchange["request"]["body"]["ciphertext"].encode()


@dataclass(frozen=True)
class Outcome:
    act: Callable[[VaultProvider, str], object]
    is_: object = None
    raises: type[Exception] | None = None
    says: str = ""
    token: str = HOSPITAL
    mount: str = "transit"


def wrap(provider, _name):
    return provider.wrap(KEY, context=CONTEXT)


def unwrap(provider, name):
    return provider.unwrap(asked_about(name), context=CONTEXT)


def unwrap_elsewhere(provider, name):
    return provider.unwrap(asked_about(name), context=b"epoch 2")


def create(provider, _name):
    return provider.create_root()


OUTCOMES = {
    "create": Outcome(create, token=ROOT),
    "create_again": Outcome(create, token=ROOT, raises=RootKeyExists),
    "create_without_the_right": Outcome(create, raises=KeyUnavailable, says="403, the token"),
    "wrap": Outcome(wrap, is_=recorded("wrap").encode()),
    "wrap_after_vault_rotated": Outcome(wrap, is_=recorded("wrap_after_vault_rotated").encode()),
    "wrap_without_a_key": Outcome(wrap, raises=KeyUnavailable, says="403, the token"),
    "no_transit_engine": Outcome(
        wrap, token=ROOT, mount="elsewhere", raises=KeyUnavailable, says="404, no transit engine"
    ),
    "unwrap": Outcome(unwrap, is_=KEY),
    "unwrap_after_vault_rotated": Outcome(unwrap, is_=KEY),
    "unwrap_for_another_context": Outcome(unwrap_elsewhere, raises=KeyRefused),
    "unwrap_something_else": Outcome(unwrap, raises=KeyRefused),
    "unwrap_a_newer_version": Outcome(unwrap, raises=KeyRefused),
    "unwrap_a_short_one": Outcome(unwrap, raises=KeyRefused),
    "unwrap_what_was_moved_inside_vault": Outcome(unwrap_elsewhere, raises=KeyRefused),
    "unwrap_without_a_key": Outcome(unwrap, raises=KeyUnavailable, says="key not found"),
    "unwrap_a_retired_version": Outcome(unwrap, raises=KeyUnavailable, says="too old"),
    "unknown_token": Outcome(
        unwrap, token="contract-nobody", raises=KeyUnavailable, says="403, the token"
    ),
    "sealed": Outcome(unwrap, raises=KeyUnavailable, says="503, sealed"),
}


def test_every_recorded_exchange_is_replayed():
    assert OUTCOMES.keys() == CONTRACT["exchanges"].keys()


@pytest.mark.parametrize("name", OUTCOMES)
def test_vault_is_asked_and_understood_as_recorded(vault, name):
    wanted = OUTCOMES[name]
    vault.will_say(name)
    provider = vault.provider(wanted.token, mount=wanted.mount)

    if wanted.raises is None:
        assert wanted.act(provider, name) == wanted.is_
    else:
        with pytest.raises(wanted.raises) as caught:
            wanted.act(provider, name)
        assert wanted.says in getattr(caught.value, "reason", "")

    assert vault.asked == [one["request"] for one in CONTRACT["exchanges"][name]]


@pytest.mark.parametrize("name", [name for name in OUTCOMES if OUTCOMES[name].raises])
def test_no_failure_tells_the_token_or_the_key(vault, name):
    wanted = OUTCOMES[name]
    vault.will_say(name)
    provider = vault.provider(wanted.token, mount=wanted.mount)

    with pytest.raises(wanted.raises) as caught:
        wanted.act(provider, name)

    told = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(provider)
    assert wanted.token not in told
    assert wanted.token not in getattr(caught.value, "reason", "")
    assert KEY.hex() not in told


def test_a_value_bound_to_no_context_by_us_is_refused(vault):
    vault.will(200, {"data": {"plaintext": "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="}})

    with pytest.raises(KeyRefused):
        vault.provider().unwrap(b"vault:v1:AAAA", context=CONTEXT)


def test_what_is_not_text_is_not_asked_about(vault):
    with pytest.raises(KeyRefused):
        vault.provider().unwrap(b"\xfe\x01\x01", context=CONTEXT)

    assert vault.asked == []


def test_an_older_vault_that_says_500_of_a_wrong_tag_is_understood(vault):
    vault.will(500, {"errors": ["1 error occurred:\n\t* cipher: message authentication failed\n"]})

    with pytest.raises(KeyRefused):
        vault.provider().unwrap(b"vault:v1:AAAA", context=CONTEXT)


def test_a_namespace_is_sent_along(vault):
    vault.will_say("wrap")

    vault.provider(namespace="hospital/prod").wrap(KEY, context=CONTEXT)

    assert vault.asked[0]["headers"]["X-Vault-Namespace"] == "hospital/prod"


def test_a_namespace_that_cannot_be_sent_is_unavailable(vault):
    with pytest.raises(KeyUnavailable) as caught:
        vault.provider(namespace="医院").wrap(KEY, context=CONTEXT)
    assert "VAULT_NAMESPACE" in caught.value.reason


def test_a_mount_may_have_several_parts_and_a_key_only_one(vault):
    vault.will_say("wrap")

    vault.provider(mount="/team a/transit/", key="a/b").wrap(KEY, context=CONTEXT)

    assert vault.asked[0]["path"] == "/v1/team%20a/transit/encrypt/a%2Fb"


def test_the_token_goes_where_it_was_meant_for_and_no_further(vault):
    with listening() as elsewhere:
        vault.will(307, Location=f"{elsewhere.address}/v1/transit/encrypt/hospital-root")

        with pytest.raises(KeyUnavailable) as caught:
            vault.provider().wrap(KEY, context=CONTEXT)

        assert "standby" in caught.value.reason
        assert elsewhere.asked == []


def test_no_proxy_of_the_environment_sees_the_token(vault, monkeypatch):
    with listening() as proxy:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.address)
        vault.will_say("wrap")

        vault.provider().wrap(KEY, context=CONTEXT)

        assert proxy.asked == []


# Asking again.


@pytest.fixture
def patient(monkeypatch):
    stamina.set_testing(False)
    monkeypatch.setattr(vault_wire, "_FIRST_WAIT", 0.001)
    monkeypatch.setattr(vault_wire, "_LONGEST_WAIT", 0.001)
    monkeypatch.setattr(vault_wire, "_JITTER", 0.0)


@pytest.mark.parametrize("status", [429, 500, 502, 503])
def test_what_passes_is_asked_again(vault, patient, status):
    vault.will(status)
    vault.will(status)
    vault.will_say("wrap")

    assert vault.provider().wrap(KEY, context=CONTEXT) == recorded("wrap").encode()


def test_three_times_is_enough(vault, patient):
    for _ in range(9):
        vault.will(503)

    with pytest.raises(KeyUnavailable):
        vault.provider().wrap(KEY, context=CONTEXT)

    assert len(vault.asked) == 3


@pytest.mark.parametrize("status", [400, 403, 404])
def test_a_refusal_is_not_asked_again(vault, patient, status):
    vault.will(status)
    vault.will_say("wrap")

    with pytest.raises(KeyUnavailable):
        vault.provider().wrap(KEY, context=CONTEXT)

    assert len(vault.asked) == 1


# Networks and answers that are not as they should be.


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1",
        "https://vault.invalid",
        "127.0.0.1:8200",
        "http://vault:port",
        "ftp://vault",
    ],
    ids=["refused", "unknown", "no scheme", "no port", "not http"],
)
def test_an_address_nobody_answers_at_is_unavailable(address):
    provider = VaultProvider(vault=Vault(address=address, token=VaultToken("t")), key="k")

    with pytest.raises(KeyUnavailable):
        provider.wrap(KEY, context=CONTEXT)


def test_an_answer_that_drips_is_not_waited_for(vault, monkeypatch):
    monkeypatch.setattr(vault_wire, "_BUDGET", 0.2)
    vault.drips = True
    vault.will(200)

    with pytest.raises(KeyUnavailable) as caught:
        vault.provider().wrap(KEY, context=CONTEXT)
    assert "ReadTimeout" in caught.value.reason


def test_an_answer_without_an_end_is_not_read_to_it(vault):
    vault.will(200, bytes(1_000_000))

    with pytest.raises(KeyUnavailable) as caught:
        vault.provider().wrap(KEY, context=CONTEXT)
    assert "no end" in caught.value.reason


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>contract-hospital</html>",
        b"[]",
        b"{}",
        b'{"data": []}',
        b'{"data": {"plaintext": 7}}',
        b'{"data": {"plaintext": "\xc3\xa9"}}',
        b'{"data": {"plaintext": "AAAA!"}}',
    ],
    ids=["nothing", "html", "list", "empty", "no table", "number", "not ascii", "not base64"],
)
def test_an_answer_that_is_not_vaults_is_no_answer(vault, body):
    vault.will(200, body)

    with pytest.raises(KeyUnavailable) as caught:
        vault.provider().unwrap(b"vault:v1:AAAA", context=CONTEXT)
    assert "not Vault's" in caught.value.reason


def test_a_page_of_a_proxy_is_not_quoted(vault):
    vault.will(400, b"<html>X-Vault-Token: contract-hospital</html>")

    with pytest.raises(KeyUnavailable) as caught:
        vault.provider().wrap(KEY, context=CONTEXT)
    assert HOSPITAL not in caught.value.reason


# The token.


def test_a_renewed_token_is_used_at_once(vault, tmp_path):
    file = tmp_path / "token"
    provider = VaultProvider(
        vault=Vault(address=vault.address, token=VaultToken(file=file)), key="hospital-root"
    )
    vault.will_say("wrap", "wrap")

    for token in ("first", "second"):
        file.write_text(f"{token}\n")
        provider.wrap(KEY, context=CONTEXT)

    assert [one["headers"]["X-Vault-Token"] for one in vault.asked] == ["first", "second"]


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\n", b"two\nlines", b"\xff\xfe", "密".encode()],
    ids=["missing", "empty", "blank", "lines", "bytes", "chinese"],
)
def test_without_a_token_vault_is_not_asked(vault, tmp_path, content):
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    token = VaultToken(file=file)

    with pytest.raises(KeyUnavailable):
        Vault(address=vault.address, token=token).ask("GET", "/v1/transit/keys/k")

    assert vault.asked == []


@pytest.fixture
def certificate(tmp_path):
    """Return a file with a certificate of 127.0.0.1, signed by itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "vault")])
    here = x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))])
    since = datetime.now(UTC) - timedelta(days=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(since)
        .not_valid_after(since + timedelta(days=2))
        .add_extension(here, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, SHA256())
    )
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file = tmp_path / "vault.pem"
    file.write_bytes(made.public_bytes(Encoding.PEM) + pem)
    return file


def test_only_a_vault_of_known_authorities_gets_the_token(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)

    with listening(context=context) as vault:
        vault.will_say("wrap")
        with pytest.raises(KeyUnavailable):
            vault.provider().wrap(KEY, context=CONTEXT)
        assert vault.asked == []
        wrapped = vault.provider(cacert=str(certificate)).wrap(KEY, context=CONTEXT)

    assert wrapped == recorded("wrap").encode()


def test_missing_authorities_are_named(vault):
    with pytest.raises(KeyUnavailable) as caught:
        vault.provider(cacert="/nowhere/ca.pem").wrap(KEY, context=CONTEXT)
    assert "VAULT_CACERT /nowhere/ca.pem" in caught.value.reason


# A real one.


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The server the environment names, or an OpenBao of our own."""
    address, token = os.environ.get("VAULT_ADDR", ""), os.environ.get("VAULT_TOKEN", "")
    if address and token:
        yield address, token
        return
    bao = Path(sys.executable).with_name("bao")
    if not bao.exists():
        pytest.skip("no VAULT_ADDR and VAULT_TOKEN, and no .venv/.openbao: Vault is only replayed")
    home, [port], token = tmp_path_factory.mktemp("bao"), free_ports(1), uuid4().hex
    where = ["-dev-no-store-token", f"-dev-listen-address=127.0.0.1:{port}"]
    command = [bao, "server", "-dev", f"-dev-root-token-id={token}", *where]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(command, env={"HOME": str(home)}, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            until(lambda: _answers(address), "OpenBao did not answer")
            yield address, token
        finally:
            server.terminate()
            server.wait()


def _answers(address):
    try:
        return httpx.get(f"{address}/v1/sys/health", trust_env=False).is_success
    except httpx.TransportError:
        return False


@pytest.fixture
def real(running):
    """A transit engine of this test's own."""
    address, token = running
    mount = f"test-{uuid4().hex}"
    headers = {"X-Vault-Token": token}
    with httpx.Client(
        base_url=f"{address}/v1/sys/mounts/", headers=headers, trust_env=False
    ) as admin:
        admin.post(mount, json={"type": "transit"}).raise_for_status()
        yield VaultProvider(
            vault=Vault(address=address, token=VaultToken(token)), key="root", mount=mount
        )
        admin.delete(mount).raise_for_status()


def test_a_real_vault_keeps_a_root_key(real):
    real.create_root()

    with pytest.raises(RootKeyExists):
        real.create_root()
    wrapped = real.wrap(KEY, context=CONTEXT)
    assert wrapped.startswith(b"vault:v1:")
    assert real.unwrap(wrapped, context=CONTEXT) == KEY
    for given, context in [(wrapped, b"epoch 2"), (wrapped[:-4], CONTEXT), (b"x", CONTEXT)]:
        with pytest.raises(KeyRefused):
            real.unwrap(given, context=context)


def test_a_real_vault_does_not_let_the_key_go(real):
    real.create_root()

    with pytest.raises(KeyUnavailable) as caught:
        real.vault.ask("GET", f"/v1/{real.mount}/export/encryption-key/root")
    assert "not exportable" in caught.value.reason
