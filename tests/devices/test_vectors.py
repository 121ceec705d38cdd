"""What integrators copy signs as the server verifies: Python, Kotlin and C# over the same cases."""

import base64
import json
import shutil
import subprocess
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from django.core.wsgi import get_wsgi_application
from django.utils import timezone

from devices import authentication
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from devices.models import Terminal, TerminalKey

TESTS = Path(__file__).resolve().parents[1]
EXAMPLES = TESTS.parent / "docs" / "examples"
VECTORS = json.loads((TESTS / "vectors" / "terminal_signature.json").read_text())
CASES = VECTORS["cases"]
A_CENTURY = timedelta(days=36_500)

each_case = pytest.mark.parametrize(
    "case", CASES, ids=lambda case: f"{case['alg']}-{case['method']}-{case['path'].split('/')[3]}"
)


@pytest.fixture
def server(store):
    """The real server, to which the keys of the vectors belong."""
    for alg, key in VECTORS["keys"].items():
        TerminalKey.objects.create(
            id=key["key_id"],
            terminal=Terminal.objects.create(serial=alg, name="例", store=store),
            algorithm=alg,
            public_key=key["public_key"],
            created_at=timezone.now(),
        )
    transport = httpx.WSGITransport(app=get_wsgi_application())
    with httpx.Client(transport=transport, base_url="http://testserver") as client:
        yield client


@pytest.fixture
def any_age(monkeypatch):
    monkeypatch.setattr(authentication, "SKEW", A_CENTURY)


@pytest.fixture(scope="module")
def kotlin(tmp_path_factory):
    """The command that signs with Signing.kt."""
    compiler = _compiler("kotlinc", package="kotlin")
    jar = tmp_path_factory.mktemp("kotlin") / "vectors.jar"
    sources = [EXAMPLES / "Signing.kt", TESTS / "devices" / "Vectors.kt"]
    _run([compiler, *sources, "-include-runtime", "-d", jar])
    return ["java", "-jar", jar]


def send(server, case, **changes):
    case = case | changes
    return server.request(
        case["method"],
        case["path"] + (f"?{case['query']}" if case["query"] else ""),
        content=case["body"].encode(),
        headers={
            "Content-Type": "application/json",
            "Content-Digest": case["content_digest"],
            "Signature-Input": case["signature_input"],
            "Signature": case["signature"],
        },
    )


def code_of(answer):
    return answer.json().get("code", "")


@each_case
def test_the_server_takes_every_signature(server, any_age, case):
    answer = send(server, case)

    assert answer.status_code not in {401, 403}


@each_case
def test_the_server_takes_none_of_them_today(server, case):
    assert code_of(send(server, case)) == "clock_skew"


@each_case
def test_one_bit_of_difference_is_refused(server, any_age, case):
    raw = bytearray(base64.b64decode(case["signature"][6:-1]))
    raw[-1] ^= 1

    answer = send(server, case, signature=f"sig1=:{base64.b64encode(raw).decode()}:")

    assert code_of(answer) == "signature_invalid"


@each_case
def test_the_agent_signs_the_same(monkeypatch, case):
    monkeypatch.setattr("devices.agent.signing.secrets.token_urlsafe", lambda _: case["nonce"])
    key = VECTORS["keys"][case["alg"]]
    private_key = keys.from_pem(key["private_key"].encode())
    auth = TerminalAuth(private_key, keys.key_id(private_key), clock=lambda: case["created"])
    url = httpx.URL("http://testserver", path=case["path"], query=case["query"].encode() or None)

    [signed] = auth.sync_auth_flow(
        httpx.Request(case["method"], url, content=case["body"].encode())
    )

    assert keys.key_id(private_key) == key["key_id"]
    assert signed.headers["Content-Digest"] == case["content_digest"]
    assert signed.headers["Signature-Input"] == case["signature_input"]
    if case["alg"] == "ed25519":  # an ECDSA signature is another one each time
        assert signed.headers["Signature"] == case["signature"]


def test_the_documentation_shows_these_very_bytes():
    page = (EXAMPLES.parent / "terminal-api.md").read_text()
    shown = [case for case in CASES if case["signature"] in page]

    assert {case["alg"] for case in shown} == {"ecdsa-p256-sha256", "ed25519"}
    for case in shown:
        for name in ("signature_base", "signature_input", "content_digest"):
            assert case[name] in page
        assert VECTORS["keys"][case["alg"]]["private_key"] in page


def test_kotlin_signs_as_the_server_verifies(kotlin, server, any_age):
    signed = _signed(kotlin)

    for case, (key_id, digest, signature_input, signature) in zip(CASES, signed, strict=True):
        assert key_id == VECTORS["keys"][case["alg"]]["key_id"]
        assert digest == case["content_digest"]
        assert signature_input == case["signature_input"]
        if case["alg"] == "ed25519":
            assert signature == case["signature"]
        assert send(server, case, signature=signature).status_code not in {401, 403}


def test_kotlin_pads_what_der_leaves_out(kotlin):
    [case] = [c for c in CASES if c["alg"] == "ecdsa-p256-sha256" and c["method"] == "GET"][:1]
    public_key = keys.from_pem(VECTORS["keys"][case["alg"]]["private_key"].encode()).public_key()

    signed = _signed(kotlin, cases=[case] * 500)

    for *_, signature in signed:  # one number in 256 is shorter than 32 bytes
        raw = base64.b64decode(signature[6:-1])
        assert len(raw) == 64
        r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
        der = encode_dss_signature(r, s)
        public_key.verify(der, case["signature_base"].encode(), ec.ECDSA(hashes.SHA256()))


def test_csharp_builds_what_the_server_verifies(tmp_path):
    compiler = _compiler("mcs", package="mono-mcs")
    sources = [EXAMPLES / "Signing.cs", TESTS / "devices" / "Vectors.cs"]
    program = tmp_path / "vectors.exe"
    _run([compiler, "-langversion:7", *sources, f"-out:{program}"])

    signed = _signed(["mono", program])

    for case, (key_id, digest, signature_input, signature, base) in zip(CASES, signed, strict=True):
        assert key_id == VECTORS["keys"][case["alg"]]["key_id"]
        assert digest == case["content_digest"]
        assert signature_input == case["signature_input"]
        assert signature == case["signature"]
        assert base64.b64decode(base).decode() == case["signature_base"]


def _compiler(name: str, *, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on the PATH (Debian: apt install {package})")
    return found


def _signed(command, *, cases=CASES) -> list[list[str]]:
    lines = "".join("\t".join(_fields(case)) + "\n" for case in cases)
    return [line.split("\t") for line in _run(command, stdin=lines).splitlines()]


def _fields(case) -> list[str]:
    key = keys.from_pem(VECTORS["keys"][case["alg"]]["private_key"].encode())
    private = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return [
        case["alg"],
        base64.b64encode(private).decode(),
        base64.b64encode(public).decode(),
        case["method"],
        case["path"],
        case["query"],
        base64.b64encode(case["body"].encode()).decode(),
        str(case["created"]),
        case["nonce"],
        case["signature"][6:-1],
    ]


def _run(command, *, stdin: str = "") -> str:
    done = subprocess.run(
        [str(word) for word in command], input=stdin, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
