import base64
import contextlib
import datetime as dt
import io
import ipaddress
import json
import logging
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
    load_pem_private_key,
)
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver
from hypothesis import assume, given
from hypothesis import strategies as st

from faceauth.signing import Configuration, Hospital, Signatory, UnusableConfiguration
from faceauth.signing.configuration import from_environment, load
from faceauth.wechat import (
    Credential,
    Decryptor,
    IdentityClient,
    Misconfigured,
    Party,
    RemoteSigner,
    Unavailable,
    Untrusted,
    Verifier,
    v3,
)
from faceauth.wechat.steps import run
from tests.house import free_ports, until

ROOT = Path(__file__).parents[2]
NOW = 1_790_000_000
URL = "https://signing.example/v1/sign"
APPID, MCH_ID, SERIAL = (
    "wx00000000000000sp",
    "1900000001",
    "5157F09EFDC096DE15EBE81A47057A7232F1B8E1",
)
OURS, ANNEX, THEIRS = "1900000011", "1900000012", "1900000099"
FACE_SID = "bbaf113f-4171-4332-9c79-dace6d35a917"
REAL_NAME = {
    "info_type": "ASK_REAL_NAME",
    "appid": APPID,
    "sub_mchid": OURS,
    "sub_appid": "wx0000000000000011",
    "sub_serial_no": "3775B6A45ACD588826D15E583A95F5DD",
}
QUERY = str(httpx.QueryParams(REAL_NAME))
WEAK_KEY = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505
SP_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Asker:
    """A hospital's end: signs a request as docs/signing-service.md says, or otherwise."""

    key: object

    @property
    def kind(self):
        is_ed25519 = isinstance(self.key, ed25519.Ed25519PrivateKey)
        return algorithms.ED25519 if is_ed25519 else algorithms.ECDSA_P256_SHA256

    def hospital(self, name, *sub_mch_ids):
        return Hospital(name, self.key.public_key(), frozenset(sub_mch_ids))

    @property
    def key_id(self):
        return self.hospital("").key_id

    def request(self, message=None, **profile):
        return self.signed(json.dumps({"message": message or ask()}).encode(), **profile)

    def signed(
        self,
        content,
        *,
        created=NOW,
        key_id=None,
        tag="wechat-signing-v1",
        label="sig1",
        nonce="n" * 32,
        components=("@method", "@path", "content-digest"),
        method="POST",
        url=URL,
        **extra,
    ):
        request = httpx.Request(
            method, url, content=content, headers={"Content-Type": "application/json"}
        )
        key_id = key_id or self.key_id
        HTTPMessageSigner(
            signature_algorithm=self.kind,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: self.key}),
        ).sign(
            request,
            key_id=key_id,
            created=dt.datetime.fromtimestamp(created, dt.UTC),
            nonce=nonce,
            label=label,
            tag=tag,
            covered_component_ids=components,
            body=content,
            **extra,
        )
        return request


FIRST, SECOND = (
    Asker(ed25519.Ed25519PrivateKey.generate()),
    Asker(ec.generate_private_key(ec.SECP256R1())),
)
HOSPITALS = [FIRST.hospital("一院", OURS, ANNEX), SECOND.hospital("二院", THEIRS)]
CONFIGURATION = Configuration(MCH_ID, APPID, SERIAL, SP_KEY, {one.key_id: one for one in HOSPITALS})


def ask(path=f"/v3/facemch/users/{FACE_SID}", *, query=None, timestamp=NOW, **changed):
    parameters = {name: value for name, value in (REAL_NAME | changed).items() if value is not None}
    query = str(httpx.QueryParams(parameters)) if query is None else query
    return f"GET\n{path}?{query}\n{timestamp}\n593BEC0C930BF1AFEB40B4A08C8FB242\n\n"


def send(request, *, now=NOW, configuration=CONFIGURATION):
    signatory = Signatory(configuration, clock=lambda: now)
    with httpx.Client(transport=httpx.WSGITransport(signatory)) as http:
        return http.send(request)


def signature_of(answer, message):
    signature = base64.b64decode(answer.json()["signature"], validate=True)
    SP_KEY.public_key().verify(signature, message.encode(), padding.PKCS1v15(), hashes.SHA256())
    return signature


def problem(answer):
    content = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert content["type"] == "about:blank"
    assert content["status"] == answer.status_code
    assert content["title"]
    assert content["detail"]
    assert "signature" not in content
    return content["code"], content.get("fact", "")


# What is signed


@pytest.mark.parametrize(("asker", "sub_mch_id"), [(FIRST, OURS), (FIRST, ANNEX), (SECOND, THEIRS)])
def test_a_hospital_has_its_own_question_signed(asker, sub_mch_id):
    message = ask(sub_mchid=sub_mch_id)

    answer = send(asker.request(message))

    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.json().keys() == {"mch_id", "serial_no", "signature"}
    assert answer.json()["mch_id"] == MCH_ID
    assert answer.json()["serial_no"] == SERIAL
    signature_of(answer, message)


def test_the_message_is_the_one_our_client_makes():
    target = f"/v3/facemch/users/{FACE_SID}?{QUERY}"
    message = v3.message_to_sign("GET", target, timestamp=NOW, nonce="0" * 32).decode()

    answer = send(FIRST.request(message))

    signature_of(answer, message)


@pytest.mark.parametrize(
    "changed",
    [
        {"info_type": "ASK_UNIONID"},
        {"info_type": "ASK_UNIONID", "sub_serial_no": None, "sub_appid": None},
        {"sub_appid": None},
        {"timestamp": NOW - 300},
        {"timestamp": NOW + 300},
        {"query": "&".join(reversed(QUERY.split("&")))},
    ],
    ids=" ".join,
)
def test_other_forms_of_the_question_are_signed_too(changed):
    message = ask(**changed)

    answer = send(FIRST.request(message))

    signature_of(answer, message)


def test_a_repeated_request_gets_the_same_signature_and_so_gains_nothing():
    request = FIRST.request()

    first, second = send(request), send(request, now=NOW + 299)

    assert first.json() == second.json()
    assert send(request, now=NOW + 301).status_code == 401


def test_the_example_in_the_document_is_signed():
    text = (ROOT / "docs/signing-service.md").read_text()
    head, body = re.search(r"```http\n(.+?)\n\n(.+?)\n```", text, re.DOTALL).groups()
    [start, *lines] = head.splitlines()
    headers = dict(line.split(": ", 1) for line in lines)
    url = f"https://{headers['Host']}{start.split()[1]}"
    # The published key of RFC 9421, appendix B.1.4.
    spki = base64.b64decode("MCowBQYDK2VwAyEAJrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=")
    hospital = Hospital("医院", load_der_public_key(spki), frozenset({"1900000011"}))
    documented = Configuration(
        MCH_ID, "wx00000000000000aa", SERIAL, SP_KEY, {hospital.key_id: hospital}
    )

    answer = send(
        httpx.Request(start.split()[0], url, content=body.encode(), headers=headers),
        configuration=documented,
    )

    signature_of(answer, json.loads(body)["message"])


# What is not


SID = f"/v3/facemch/users/{FACE_SID}"


@pytest.mark.parametrize(
    ("message", "fact"),
    [
        ("", "shape"),
        ("GET", "shape"),
        (ask().removesuffix("\n"), "shape"),
        (ask().replace("\n", "\r\n"), "shape"),
        (ask().replace("593BEC", "593-EC"), "shape"),
        (ask().replace("593BEC", "593BEC0"), "shape"),
        (ask().replace("593BEC", "五93BEC"), "shape"),
        (ask().replace("GET", "POST", 1), "method"),
        (ask().replace("GET", "get", 1), "method"),
        (" " + ask(), "method"),
        ("\n" + ask(), "method"),
        (ask("/v3/certificates"), "path"),
        (ask("/v3/pay/transactions/jsapi"), "path"),
        (ask("/v3/facemch/users/"), "path"),
        (ask(f"{SID}/"), "path"),
        (ask(f"{SID}/../../../v3/certificates"), "path"),
        (ask("/v3/facemch/users/..%2F..%2Fcertificates"), "path"),
        (ask(f"{SID}%0A"), "path"),
        (ask(f"{SID}#"), "path"),
        (ask(f"https://api.mch.weixin.qq.com{SID}"), "path"),
        (ask(FACE_SID), "path"),
        (ask("/v3/facemch/users/short"), "path"),
        (ask("/v3/facemch/users/" + "a" * 129), "path"),
        (ask("/v3/facemch/users/ｂｂａｆ１１３ｆ"), "path"),
        (f"GET\n{SID}\n{NOW}\nabc\n\n", "info_type"),
        (ask(query=""), "info_type"),
        (ask(info_type="ASK_UNION_ID"), "info_type"),
        (ask(info_type="ask_real_name"), "info_type"),
        (ask(info_type=None), "info_type"),
        (ask(info_type=""), "info_type"),
        (ask(appid=None), "query"),
        (ask(appid="wx00000000000000zz"), "query"),
        (ask(sub_serial_no=None), "query"),
        (ask(sub_serial_no=""), "query"),
        (ask(sub_appid=""), "query"),
        (ask(sub_appid="wx%00"), "query"),
        (ask(sub_appid="a" * 65), "query"),
        (ask(face_sid=FACE_SID), "query"),
        (ask(sub_appid=None, limit="1"), "query"),
        (ask(query=f"{QUERY}&sub_mchid={OURS}"), "query"),
        (ask(sub_appid=None).replace("sub_mchid", f"sub_mchid={THEIRS}&sub_mchid"), "query"),
        (ask(query=f"{QUERY}&"), "query"),
        (ask(query=f"&{QUERY}"), "query"),
        (ask(query=f"{QUERY}#"), "query"),
        (ask(query=QUERY.replace("ASK_REAL", "ASK%5FREAL")), "query"),
        (ask(query=QUERY.replace("sub_mchid", "sub%5Fmchid")), "query"),
        (ask(query=QUERY.replace("&", ";")), "query"),
        (ask(query=QUERY.replace("&", "&amp;")), "query"),
        (ask(query=f"{QUERY}&flag"), "query"),
        (ask(query="?" + QUERY), "query"),
        (ask(query=QUERY.replace("ASK", "\ud800")), "query"),
        (ask(sub_mchid=None), "sub_mchid"),
        (ask(sub_mchid=""), "sub_mchid"),
        (ask(sub_mchid="１９００００００１１"), "sub_mchid"),
        (ask(sub_mchid=f"{OURS}x"), "sub_mchid"),
        (ask(sub_mchid=THEIRS), "sub_mchid"),
        (ask(sub_mchid=MCH_ID), "sub_mchid"),
        (ask(timestamp=NOW - 301), "timestamp"),
        (ask(timestamp=NOW + 301), "timestamp"),
        (ask(timestamp=NOW * 1000), "timestamp"),
        (ask(timestamp=f"{NOW} "), "timestamp"),
        (ask(timestamp=""), "timestamp"),
        (ask(timestamp="１７９０００００００"), "timestamp"),
        (ask().removesuffix("\n") + "{}\n", "body"),
        (ask() + "\n", "body"),
        (ask() + ask(), "body"),
    ],
)
def test_any_other_message_is_refused(message, fact):
    answer = send(FIRST.signed(json.dumps({"message": message}).encode()))

    assert answer.status_code == 403
    assert problem(answer) == ("not_allowed", fact)


def test_a_hospital_cannot_ask_for_another():
    assert problem(send(SECOND.request(ask(sub_mchid=OURS)))) == ("not_allowed", "sub_mchid")
    assert problem(send(FIRST.request(ask(sub_mchid=THEIRS)))) == ("not_allowed", "sub_mchid")


SAFE = re.compile(
    r"GET\n/v3/facemch/users/[0-9A-Za-z_-]{8,128}\?[0-9A-Za-z_=&-]+\n[0-9]{10}\n[0-9A-Za-z]{1,32}\n\n",
    re.ASCII,
)


@given(
    st.integers(0, len(ask())),
    st.integers(0, 12),
    st.text(max_size=12)
    | st.sampled_from(["\n", "\r", "&", "?", "/", "%0A", "=", "..", OURS, THEIRS, "\u2028", "\0"]),
)
def test_a_message_changed_anywhere_is_refused_or_still_a_question_of_ours(at, length, inserted):
    message = ask()[:at] + inserted + ask()[at + length :]
    content = json.dumps({"message": message}).encode()

    answer = send(FIRST.signed(content))

    assert answer.status_code in {200, 403}
    if answer.status_code == 200:
        assert SAFE.fullmatch(message)
        assert f"sub_mchid={OURS}&" in message
        assert f"&appid={APPID}&" in message


# Who asks


@pytest.mark.parametrize(
    ("profile", "fact"),
    [
        ({"created": NOW - 301}, "clock"),
        ({"created": NOW + 6}, "clock"),
        ({"tag": "face-terminal-v1"}, "invalid"),
        ({"tag": None}, "invalid"),
        ({"label": "sig2"}, "invalid"),
        ({"nonce": None}, "profile"),
        ({"nonce": ""}, "invalid"),
        ({"include_alg": False}, "profile"),
        (
            {"expires": dt.datetime.fromtimestamp(NOW + 60, dt.UTC)},
            "profile",
        ),
        ({"key_id": "A" * 43}, "key"),
        ({"key_id": SECOND.key_id}, "invalid"),
        ({"components": ("@method", "content-digest")}, "invalid"),
        ({"components": ("@path", "content-digest")}, "invalid"),
        ({"components": ("@path", "@method", "content-digest")}, "profile"),
        ({"components": ("@method", "@path", "content-digest", "host")}, "profile"),
        ({"components": ("@method", "@path", "@query", "content-digest")}, "profile"),
    ],
)
def test_a_request_signed_otherwise_is_refused(profile, fact):
    answer = send(FIRST.request(**profile))

    assert answer.status_code == 401
    assert problem(answer) == ("signature", fact)


@pytest.mark.parametrize("created", [NOW - 300, NOW + 5])
def test_a_clock_may_be_a_little_off(created):
    assert send(FIRST.request(created=created)).status_code == 200


def test_a_stranger_is_refused():
    stranger = Asker(ed25519.Ed25519PrivateKey.generate())

    assert problem(send(stranger.request())) == ("signature", "key")
    assert problem(send(stranger.request(key_id=FIRST.key_id))) == ("signature", "invalid")


@pytest.mark.parametrize("header", ["Signature", "Signature-Input", "Content-Digest"])
def test_an_unsigned_request_is_refused(header):
    request = FIRST.request()
    del request.headers[header]

    assert problem(send(request)) == ("signature", "missing")


def test_another_body_path_or_digest_under_the_signature_is_refused():
    request, other = FIRST.request(), FIRST.request(ask(sub_mchid=ANNEX))
    signed = {
        name: value
        for name, value in request.headers.items()
        if name.startswith(("sig", "content-"))
    }

    answers = [
        send(httpx.Request("POST", URL, content=other.content, headers=signed)),
        send(httpx.Request("POST", URL + "/", content=request.content, headers=signed)),
        send(
            httpx.Request(
                "POST",
                URL,
                content=other.content,
                headers=signed | {"Content-Digest": other.headers["Content-Digest"]},
            )
        ),
    ]

    assert {problem(answer) for answer in answers} == {("signature", "invalid")}


def test_a_signature_by_a_proxy_beside_ours_does_not_matter():
    request = FIRST.request()
    request.headers["Signature-Input"] += ', proxy=("@method");created=1;tag="other"'
    request.headers["Signature"] += ", proxy=:AAAA:"

    assert send(request).status_code == 200


# The envelope


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"null",
        b'"GET"',
        b'{"message": 1}',
        b'{"message": null}',
        b'{"message": "GET", "hint": "x"}',
        b'{"message": "\xff"}',
        b'{"message"',
        b"[" * 8000,
        b'{"message": ' + b"9" * 5000 + b"}",
    ],
)
def test_a_body_that_is_not_a_message_is_malformed(content):
    answer = send(FIRST.signed(content))

    assert answer.status_code == 400
    assert problem(answer) == ("malformed", "")


def test_half_a_character_is_no_message():
    answer = send(FIRST.signed(b'{"message": "\\ud800"}'))

    assert problem(answer) == ("not_allowed", "shape")


def test_a_body_of_8_kib_is_read_and_one_byte_more_is_not():
    at_the_limit, over = b" " * 8192, b" " * 8193

    assert send(FIRST.signed(at_the_limit)).status_code == 400
    assert send(FIRST.signed(over)).status_code == 413
    assert problem(send(FIRST.signed(over))) == ("too_large", "")


def test_a_body_in_chunks_is_held_to_the_same_limit():
    whole = FIRST.request()
    headers = {k: v for k, v in whole.headers.items() if k not in {"content-length", "host"}}
    chunked = httpx.Request("POST", URL, content=iter([whole.content]), headers=headers)
    endless = httpx.Request("POST", URL, content=iter([b" " * 9000]), headers=headers)

    assert send(chunked).status_code == 200
    assert send(endless).status_code == 413


def test_of_a_body_without_end_no_more_is_read_than_shows_that_it_is_too_large():
    endless = Endless()
    environ = {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": "/",
        "CONTENT_TYPE": "application/json",
        "CONTENT_LENGTH": "999999999",
        "wsgi.input": endless,
    }
    started = []

    Signatory(CONFIGURATION)(environ, lambda *args: started.append(args))

    assert started[0][0].startswith("413")
    assert endless.given == 8193


class Endless:
    given = 0

    def read(self, size):
        self.given += size
        return b" " * size


@pytest.mark.parametrize("kind", ["", "text/plain", "application/jsonp", "multipart/form-data"])
def test_a_body_that_does_not_call_itself_json_is_not_read(kind):
    request = FIRST.request()
    request.headers["Content-Type"] = kind

    answer = send(request)

    assert answer.status_code == 415
    assert problem(answer) == ("unsupported_media_type", "")


def test_json_may_name_its_charset():
    request = FIRST.request()
    request.headers["Content-Type"] = "application/json; charset=utf-8"

    assert send(request).status_code == 200


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "HEAD"])
def test_only_a_post_asks_for_a_signature(method):
    answer = send(FIRST.request(method=method))

    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_a_query_would_not_be_under_the_signature():
    answer = send(FIRST.request(url=URL + "?message=x"))

    assert problem(answer) == ("malformed", "")


def test_it_says_that_it_lives_without_a_word_in_the_log(caplog):
    caplog.set_level(logging.INFO, "faceauth.signing")

    answer = send(httpx.Request("GET", "https://signing.example/healthz"))

    assert answer.status_code == 204
    assert not caplog.messages


HEADERS = ["HTTP_SIGNATURE", "HTTP_SIGNATURE_INPUT", "HTTP_CONTENT_DIGEST", "CONTENT_TYPE"]
LATIN1 = st.text(st.characters(max_codepoint=255), max_size=80)


@given(
    st.dictionaries(
        st.sampled_from([*HEADERS, "CONTENT_LENGTH", "PATH_INFO", "QUERY_STRING"]),
        LATIN1 | st.sampled_from(["application/json", "0", "9" * 30, "-1", "²", "/", "*"]),
    ),
    st.binary(max_size=200),
    st.sampled_from(["POST", "GET", "post", ""]),
)
def test_any_bytes_get_a_problem(changed, body, method):
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": "/v1/sign",
        "CONTENT_TYPE": "application/json",
        "wsgi.input": io.BytesIO(body),
        **changed,
    }
    started = []

    answer = b"".join(
        Signatory(CONFIGURATION, clock=lambda: NOW)(environ, lambda *args: started.append(args))
    )

    [(status, _headers)] = started
    assert status[:3] in {"400", "401", "405", "413", "415"}
    assert json.loads(answer)["status"] == int(status[:3])


@given(
    st.sampled_from(["Signature", "Signature-Input", "Content-Digest"]),
    st.integers(0, 120),
    st.integers(0, 4),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=8),
)
def test_a_changed_signature_gets_a_problem(header, at, length, inserted):
    request = FIRST.request()
    good = request.headers[header]
    changed = (good[:at] + inserted + good[at + length :]).strip()
    assume(changed != good)
    request.headers[header] = changed

    answer = send(request)

    # Structured fields have more than one spelling; what they say must be what was signed.
    assert answer.status_code == 401 or header != "Content-Digest"
    if answer.status_code == 200:
        signature_of(answer, ask())
    else:
        assert problem(answer)[0] == "signature"


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_signed_bytes_get_a_problem(content):
    answer = send(FIRST.signed(content))

    assert answer.status_code in {400, 403}
    problem(answer)


# The log


def test_each_decision_is_one_line_that_names_nobody(caplog):
    caplog.set_level(logging.INFO, "faceauth.signing")

    signed = send(FIRST.request())
    send(FIRST.request(ask(sub_mchid=THEIRS)))
    send(FIRST.request(ask("/v3/certificates")))
    send(FIRST.request(created=NOW - 900))
    send(FIRST.signed(b"{}"))

    assert [json.loads(line) for line in caplog.messages] == [
        line("一院", OURS, "ASK_REAL_NAME", "signed", ""),
        line("一院", THEIRS, "ASK_REAL_NAME", "not_allowed", "sub_mchid"),
        line("一院", "", "", "not_allowed", "path"),
        line("", "", "", "signature", "clock"),
        line("一院", "", "", "malformed", ""),
    ]
    for secret in (FACE_SID, "facemch", signed.json()["signature"]):
        assert secret not in caplog.text


def line(hospital, sub_mchid, info_type, verdict, fact):
    return {
        "time": "2026-09-21T14:13:20.000+00:00",
        "hospital": hospital,
        "sub_mchid": sub_mchid,
        "info_type": info_type,
        "verdict": verdict,
        "fact": fact,
    }


# The configuration


def pem(key, *, password=""):
    sealed = BestAvailableEncryption(password.encode()) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, sealed)


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


TOML = f"""
mch_id = "{MCH_ID}"
appid = "{APPID}"
serial_no = "{SERIAL}"
private_key = "keys/sp.pem"

[[hospital]]
name = "一院"
key_id = "{FIRST.key_id}"
public_key = "keys/first.pem"
sub_mchids = ["{OURS}", "{ANNEX}"]

[[hospital]]
name = "二院"
key_id = "{SECOND.key_id}"
public_key = "keys/second.pem"
sub_mchids = ["{THEIRS}"]
"""


@pytest.fixture
def write(tmp_path):
    """Write a configuration, `changed` in the text or in the files it names."""

    def write(*changed, **files):
        (tmp_path / "keys").mkdir(exist_ok=True)
        contents = {
            "sp": pem(SP_KEY),
            "first": public_pem(FIRST.key),
            "second": public_pem(SECOND.key),
        } | files
        for name, content in contents.items():
            (tmp_path / f"keys/{name}.pem").write_bytes(content)
        (tmp_path / "keys/sp.pem").chmod(0o600)
        text = TOML
        for old, new in changed:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "signing.toml"
        path.write_text(text)
        return path

    return write


def test_a_configuration_is_read_with_the_files_beside_it(write):
    loaded = load(write())

    assert (loaded.mch_id, loaded.appid, loaded.serial_no) == (MCH_ID, APPID, SERIAL)
    assert loaded.private_key.private_numbers() == SP_KEY.private_numbers()
    assert [*loaded.hospitals] == [FIRST.key_id, SECOND.key_id]
    assert [one.name for one in loaded.hospitals.values()] == ["一院", "二院"]
    assert send(FIRST.request(), configuration=loaded).status_code == 200


def test_a_hospital_changing_keys_stands_there_twice(write):
    loaded = load(write(("二院", "一院"), (THEIRS, OURS)))

    assert send(FIRST.request(), configuration=loaded).status_code == 200
    assert send(SECOND.request(), configuration=loaded).status_code == 200


@pytest.mark.parametrize("given", ["SIGNING_KEY_PASSWORD", "SIGNING_KEY_PASSWORD_FILE"])
def test_the_key_may_be_closed_by_a_password(given, write, tmp_path):
    path = write(sp=pem(SP_KEY, password="open sesame"))
    (tmp_path / "password").write_text("open sesame\n")
    value = str(tmp_path / "password") if given.endswith("_FILE") else "open sesame"

    loaded = from_environment({"SIGNING_CONFIG": str(path), given: value})

    assert loaded.private_key.private_numbers() == SP_KEY.private_numbers()


@pytest.mark.parametrize(
    ("changed", "files", "says"),
    [
        ([("mch_id = ", "mch_id ")], {}, "TOML"),
        ([(f'mch_id = "{MCH_ID}"', f"mch_id = {MCH_ID}")], {}, "mch_id"),
        ([(f'appid = "{APPID}"', "")], {}, "appid"),
        ([(SERIAL, "xyz")], {}, "serial_no"),
        ([("keys/sp.pem", "keys/none.pem")], {}, "读不到"),
        ([("keys/sp.pem", "keys/\\u0000.pem")], {}, "private_key"),
        ([("appid", "app_id")], {}, "app_id"),
        ([("sub_mchids", "sub_mchid")], {}, "sub_mchid"),
        ([(f'"{THEIRS}"', THEIRS)], {}, "sub_mchids"),
        ([(f'["{THEIRS}"]', "[]")], {}, "sub_mchids"),
        ([(THEIRS, OURS)], {}, "别家医院"),
        ([(FIRST.key_id, SECOND.key_id)], {}, FIRST.key_id),
        ([("[[hospital]]", "[[clinic]]")], {}, "clinic"),
        ([(TOML[TOML.index("[[") :], "")], {}, "至少"),
        ([(TOML[TOML.index("[[") :], "hospital = [1]")], {}, "第 1 个"),
        (
            [(SECOND.key_id, FIRST.key_id), ("second.pem", "first.pem")],
            {},
            "重复",
        ),
        ([], {"sp": b"-----BEGIN"}, "PEM 私钥"),
        ([], {"sp": public_pem(SP_KEY)}, "PEM 私钥"),
        ([], {"sp": pem(FIRST.key)}, "RSA"),
        ([], {"sp": pem(WEAK_KEY)}, "2048"),
        ([], {"sp": pem(SP_KEY, password="open sesame")}, "SIGNING_KEY_PASSWORD"),
        ([], {"first": b""}, "PEM 公钥"),
        ([], {"first": pem(FIRST.key)}, "PEM 公钥"),
        ([], {"first": public_pem(SP_KEY)}, "Ed25519"),
        ([], {"first": public_pem(ec.generate_private_key(ec.SECP384R1()))}, "P-256"),
    ],
    ids=[str(number) for number in range(25)],  # key ids differ between processes
)
def test_a_configuration_that_cannot_be_meant_is_refused_in_words(changed, files, says, write):
    with pytest.raises(UnusableConfiguration, match=re.escape(says)):
        load(write(*changed, **files))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_key_others_can_read_is_refused(mode, write, tmp_path):
    path = write()
    (tmp_path / "keys/sp.pem").chmod(mode)

    with pytest.raises(UnusableConfiguration, match="chmod 600"):
        load(path)


def test_a_wrong_or_needless_password_is_said_to_be_so(write):
    with pytest.raises(UnusableConfiguration, match="口令不对"):
        load(write(sp=pem(SP_KEY, password="open sesame")), password="sesame")
    with pytest.raises(UnusableConfiguration, match="不要设口令"):
        load(write(), password="sesame")


def test_no_configuration_is_refused():
    with pytest.raises(UnusableConfiguration, match="SIGNING_CONFIG"):
        from_environment({})


# From the hospital to WeChat, through it


class Street:
    """WeChat, the 服务商's signing service, and the two hospitals it signs for."""

    def __init__(self, simulator):
        self.simulator = simulator
        self.partner = simulator.world.partner
        hospitals = [
            asker.hospital(one.sub_mch_id, one.sub_mch_id)
            for asker, one in zip((FIRST, SECOND), self.partner.hospitals, strict=True)
        ]
        self.signatory = Signatory(
            Configuration(
                self.partner.mch_id,
                self.partner.appid,
                self.partner.serial,
                load_pem_private_key(self.partner.key.encode(), password=None),
                {one.key_id: one for one in hospitals},
            )
        )

    def client(self, hospital, asker, **verifier):
        party = Party(
            self.partner.appid, self.partner.mch_id, hospital.sub_appid, hospital.sub_mch_id
        )
        signer = RemoteSigner(
            URL,
            key_id=asker.key_id,
            private_key_pem=pem(asker.key),
            transport=httpx.WSGITransport(self.signatory),
        )
        platform = [self.simulator.world.platform_certificate.encode()]
        return contextlib.closing(
            IdentityClient(
                party,
                credential=Credential(self.partner.mch_id, signer),
                decryptor=Decryptor.from_pem(hospital.key.encode()),
                verifier=Verifier(**({"certificates": platform} | verifier)),
                sub_serial_no=hospital.serial,
                transport=httpx.WSGITransport(self.simulator),
            )
        )


@pytest.fixture
def street(simulator):
    return Street(simulator)


@pytest.mark.parametrize("number", [0, 1])
def test_a_hospital_without_the_key_of_its_provider_learns_who_came(number, street, caplog):
    caplog.set_level(logging.INFO)
    hospital = street.partner.hospitals[number]
    face_sid = street.simulator.meet("zhangsan", sub_mch_id=hospital.sub_mch_id)

    with street.client(hospital, (FIRST, SECOND)[number]) as client:
        identity = client.open(client.ask(face_sid).body)

    assert identity.real_name == "张三"
    assert identity.sub_openid
    [decision] = [json.loads(one) for one in caplog.messages if one.startswith("{")]
    assert decision["sub_mchid"] == hospital.sub_mch_id
    assert decision["verdict"] == "signed"
    assert face_sid not in caplog.text


def test_a_hospital_learns_a_union_id_in_the_same_way(street):
    hospital = street.partner.hospitals[0]
    token = street.simulator.meet("zhangsan", sub_mch_id=hospital.sub_mch_id, is_token=True)

    with street.client(hospital, FIRST) as client:
        membership = client.open_union(client.ask_union(token).body)

    assert membership.union_id


def test_a_hospital_cannot_ask_in_the_name_of_another(street):
    other = street.partner.hospitals[1]
    face_sid = street.simulator.meet("zhangsan", sub_mch_id=other.sub_mch_id)

    with street.client(other, FIRST) as client, pytest.raises(Misconfigured) as refused:
        client.ask(face_sid)

    assert refused.value.fact == "signer"
    assert street.simulator.requests()["users"] == 0


def answered_by(answer):
    """Return what comes of a signature asked of a service that gives this answer."""
    transport = httpx.MockTransport(lambda _request: answer)
    signer = RemoteSigner(
        URL, key_id=FIRST.key_id, private_key_pem=pem(FIRST.key), transport=transport
    )
    credential = Credential(MCH_ID, signer)
    channel = signer._channel
    return run(
        credential.authorize("GET", "/", timestamp=NOW),
        lambda asked: channel.send(asked.request, until=float("inf")),
    )


def streamed(status, content=b"", *, headers=()):
    return httpx.Response(status, headers=dict(headers), stream=httpx.ByteStream(content))


@pytest.mark.parametrize(
    "content",
    [
        json.dumps({"serial_no": "序列", "signature": "QUJD"}).encode(),
        json.dumps({"serial_no": "²", "signature": "QUJD"}).encode(),
        json.dumps({"serial_no": "A" * 41, "signature": "QUJD"}).encode(),
        json.dumps({"serial_no": 'A",x="', "signature": "QUJD"}).encode(),
        json.dumps({"serial_no": "A", "signature": "签"}).encode(),
        b"a" * 100_000,
        b"\xff\xfe\x00\xd8",
    ],
)
def test_an_answer_of_the_service_that_is_no_signature_goes_no_further(content):
    with pytest.raises(Misconfigured) as refused:
        answered_by(streamed(200, content))

    assert refused.value.fact == "signer"


@pytest.mark.parametrize(("status", "fact"), [(429, "signer_http_429"), (503, "signer_http_5xx")])
def test_a_service_that_asks_for_patience_is_given_it(status, fact):
    with pytest.raises(Unavailable, match=fact) as caught:
        answered_by(streamed(status, headers={"Retry-After": "7"}))

    assert caught.value.retry_after == 7.0


def test_a_hospital_cannot_have_the_certificates_of_its_provider_fetched(street):
    hospital = street.partner.hospitals[0]
    face_sid = street.simulator.meet("zhangsan", sub_mch_id=hospital.sub_mch_id)
    keys = {"certificates": [], "apiv3_key": street.partner.apiv3_key}

    with street.client(hospital, FIRST, **keys) as client, pytest.raises(Untrusted) as refused:
        client.ask(face_sid)

    assert refused.value.fact == "unknown_serial"
    assert street.simulator.requests()["certificates"] == 0


# The process


def granian(path, *arguments):
    return subprocess.Popen(
        [
            *(sys.executable, "-m", "granian", "--interface", "wsgi", *arguments),
            "faceauth.signing.app:application",
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "SIGNING_CONFIG": str(path), "PYTHONUTF8": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_a_process_with_an_unusable_configuration_ends_and_says_why(write):
    process = granian(write((SERIAL, "xyz")), "--port", "0")

    said, _ = process.communicate(timeout=60)

    assert process.returncode != 0
    assert "签名服务无法启动：配置文件 的 serial_no 缺失或格式不对" in said
    assert "Traceback" not in said


def certificate(folder):
    key, name = ec.generate_private_key(ec.SECP256R1()), x509.Name([])
    now = dt.datetime.now(dt.UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + dt.timedelta(1))
        .add_extension(loopback, critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "tls.key").write_bytes(pem(key))
    (folder / "tls.pem").write_bytes(made.public_bytes(Encoding.PEM))
    return folder / "tls.pem", folder / "tls.key"


@pytest.fixture
def over_tls(write, tmp_path):
    """The service under granian, a client that trusts its certificate, and what it printed."""
    chain, key = certificate(tmp_path)
    port = str(free_ports(1)[0])
    tls = ("--ssl-certificate", str(chain), "--ssl-keyfile", str(key))
    process = granian(write(), "--port", port, *tls)
    printed = []
    reader = threading.Thread(target=lambda: printed.extend(process.stdout), daemon=True)
    reader.start()
    trust = ssl.create_default_context(cafile=str(chain))
    with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trust, trust_env=False) as http:
        try:
            until(lambda: is_alive(http), "granian answers", seconds=60)
            yield http, printed
        finally:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # its worker, too, if it ended badly
            process.wait(5)
            reader.join(5)
            process.stdout.close()


def decisions(printed):
    return [json.loads(one)["verdict"] for one in printed if one.startswith("{")]


def is_alive(http):
    with contextlib.suppress(httpx.TransportError):  # before its worker is there, no answer either
        return http.get("/healthz").is_success


def test_it_signs_under_a_real_server_over_tls(over_tls):
    http, printed = over_tls
    now = int(dt.datetime.now(dt.UTC).timestamp())
    message = ask(timestamp=now)
    request = FIRST.request(message, created=now, url=f"{http.base_url}/v1/%E7%AD%BE")

    answers = [http.send(request), http.get("/healthz"), http.post("/", content=b"x" * 10_000)]

    signature_of(answers[0], message)
    assert [answer.status_code for answer in answers] == [200, 204, 415]
    until(lambda: len(decisions(printed)) == 2, "two decisions in the log")
    assert decisions(printed) == ["signed", "unsupported_media_type"]
    assert FACE_SID not in "".join(printed)
