"""Whatever bytes a stranger sends as a signature, or around one: a refusal, never an exception."""

import base64
import io
import json
import sys
import time

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

anything = settings(
    max_examples=200,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)

# What a WSGI server hands on: bytes as latin-1, no line ends inside a header.
wire = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n\0"), max_size=120)
methods = st.sampled_from(
    ["GET", "POST", "DELETE", "get", "PÖST", "TRACE", "", "@method", "X" * 300]
)
paths = st.sampled_from(["notice/", "face-sessions/", "heartbeat/", "terminals/activation/"])

strings = st.sampled_from(['"face-terminal"', '"sig1"', '"n"', '""', '"' + "n" * 200 + '"'])
values = st.one_of(
    strings,
    st.integers(-(10**15) + 1, 10**15 - 1).map(str),
    st.sampled_from(["1.5", "-0.0", "?1", "?0", "token", "*", ":AAAA:", ":!:", "()", "9" * 16, ""]),
    wire,
)
names = st.sampled_from(["created", "expires", "keyid", "alg", "nonce", "tag", "x", "*", "Created"])
COMPONENTS = ['"@method"', '"@path"', '"@query"', '"content-digest"']
components = st.one_of(
    st.just(COMPONENTS),
    st.permutations(COMPONENTS),
    st.lists(
        st.one_of(
            st.sampled_from(
                [
                    *COMPONENTS,
                    '"@query-param"',
                    '"@query-param";name="wait"',
                    '"@status"',
                    '"@signature-params"',
                    '"content-digest";sf',
                    '"content-digest";key="x"',
                    '"content-digest";bs',
                    '"@method";req',
                    '"@nothing"',
                    '"x-missing"',
                    '"signature";key="sig1"',
                    "1",
                    "token",
                ]
            ),
            wire,
        ),
        max_size=6,
    ),
)


REFUSALS = {"signature_invalid", "signature_missing", "clock_skew", "key_unknown"}
NOTHING = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:"  # digest of an empty body


@pytest.fixture
def send(kiosk, notice):
    """Hand a request to the application as a server would; return status and problem code."""
    application = get_wsgi_application()

    def send(*, method="GET", path="notice/", query="", body=b"", **headers):
        told = []
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": f"/api/v1/{path}",
            "QUERY_STRING": query,
            "SERVER_NAME": "testserver",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "127.0.0.1",
            "CONTENT_TYPE": "application/json",
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.input": io.BytesIO(body),
            "wsgi.errors": sys.stderr,
            "wsgi.url_scheme": "http",
            "wsgi.version": (1, 0),
            "wsgi.multithread": True,
            "wsgi.multiprocess": True,
            "wsgi.run_once": False,
            **{f"HTTP_{name.upper()}": value for name, value in headers.items()},
        }
        answer = application(environ, lambda status, _headers: told.append(int(status[:3])))
        text = b"".join(answer)
        answer.close()
        return told[0], json.loads(text).get("code", "") if text.startswith(b"{") else ""

    return send


@anything
@given(
    asked=st.fixed_dictionaries(
        {
            "method": methods,
            "path": paths,
            "query": wire,
            "body": st.binary(max_size=200),
            "signature": wire,
            "signature_input": wire,
            "content_digest": wire,
        }
    )
)
def test_any_header_is_refused(send, asked):
    status, _ = send(**asked)

    assert 400 <= status < 500


@anything
@given(path=wire, query=wire)
def test_any_path_is_refused(send, path, query):
    status, _ = send(path=f"face-sessions/{path}/", query=query)

    assert 400 <= status < 500


@anything
@given(changes=st.dictionaries(names, values, max_size=3), left_out=st.sets(names, max_size=2))
def test_other_parameters_are_refused_however_well_signed(send, kiosk, changes, left_out):
    profile = parameters(kiosk)
    changed = {**profile, **changes}
    for name in left_out:
        changed.pop(name, None)

    status, code = send(**signed(kiosk, COMPONENTS, changed))

    if status != 200 or changed != profile:
        assert status == 401
        assert code in REFUSALS


@anything
@given(covered=components)
def test_other_components_are_refused_however_well_signed(send, kiosk, covered):
    status, code = send(**signed(kiosk, covered, parameters(kiosk)))

    if status != 200 or covered != COMPONENTS:
        assert status == 401
        assert code in REFUSALS


@anything
@given(
    labels=st.sampled_from(["sig1={0}", "sig1={0}, sig2={0}", "sig2={0}", "{0}", "sig1={0};x"]),
    signature=st.sampled_from([None, "sig1=::", "sig2=:AAAA:", "sig1=1"]) | wire,
    digest=st.sampled_from([None, "sha-256=::, sha-512=:AAAA:", "sha-256=1", "sha-256"]) | wire,
)
def test_anything_around_a_good_signature_is_refused(send, kiosk, labels, signature, digest):
    headers = signed(kiosk, COMPONENTS, parameters(kiosk), digest=digest)
    headers["signature_input"] = labels.format(headers["signature_input"].removeprefix("sig1="))
    if signature is not None:
        headers["signature"] = signature

    status, code = send(**headers)

    if status != 200 or digest is not None or signature is not None:
        assert status == 401
        assert code in REFUSALS


@anything
@given(raw=st.one_of(st.binary(max_size=100), st.binary(min_size=64, max_size=64)))
def test_any_signature_of_a_real_terminal_is_refused(send, kiosk, raw):
    headers = signed(kiosk, COMPONENTS, parameters(kiosk))

    answer = send(**{**headers, "signature": f"sig1=:{_base64(raw)}:"})

    assert answer == (401, "signature_invalid")


def test_what_these_tests_sign_is_accepted_when_nothing_is_changed(send, kiosk):
    """Else they would all pass for the wrong reason."""
    status, _ = send(**signed(kiosk, COMPONENTS, parameters(kiosk)))

    assert status == 200


def parameters(kiosk):
    """Return the profile's parameters, each as it is written."""
    return {
        "created": str(int(time.time())),
        "keyid": f'"{kiosk.key.pk}"',
        "alg": '"ecdsa-p256-sha256"',
        "nonce": f'"{time.monotonic_ns():032}"',
        "tag": '"face-terminal-v1"',
    }


def signed(kiosk, covered, given, *, digest=None):
    """Return the headers of a GET of notice/, signed by the terminal's real key, as they are."""
    digest = NOTHING if digest is None else digest
    written = f"({' '.join(covered)})" + "".join(f";{name}={given[name]}" for name in given)
    values = {
        '"@method"': "GET",
        '"@path"': "/api/v1/notice/",
        '"@query"': "?",
        '"content-digest"': digest,
    }
    lines = [f"{name}: {values.get(name, '')}" for name in covered]
    base = "\n".join([*lines, f'"@signature-params": {written}'])
    der = kiosk.private_key.sign(base.encode(), ec.ECDSA(hashes.SHA256()))
    raw = b"".join(number.to_bytes(32, "big") for number in decode_dss_signature(der))
    return {
        "signature": f"sig1=:{_base64(raw)}:",
        "signature_input": f"sig1={written}",
        "content_digest": digest,
    }


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
