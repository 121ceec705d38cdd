"""Bytes that others published of WeChat Pay's wire; each says in its data where it is from."""

import base64
import json
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from faceauth.wechat import (
    Decryptor,
    LocalSigner,
    Undecryptable,
    Untrusted,
    Verifier,
    flatxml,
    v2,
    v3,
)
from faceauth.wechat.steps import run

FOLDER = Path(__file__).parents[1] / "vectors"
V2 = json.loads((FOLDER / "wechat_v2.json").read_text())
V3 = json.loads((FOLDER / "wechat_v3.json").read_text())
NOW = 1_790_000_000
OAEP = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
GO_KEY = "wechatpay_go_private_key.pem"
GO_PUBLIC_KEY = "wechatpay_go_public_key.pem"


def pem(name):
    return (FOLDER / name).read_bytes()


def each(vectors):
    return [
        pytest.param(vector, id=f"{place}-{Path(vector['source'].split(' ')[0]).name}")
        for place, vector in enumerate(vectors)
    ]


def signed(message, *, key=GO_KEY):
    return run(LocalSigner.from_pem(pem(key), serial="1").sign(message.encode()), send=None).value


def at_now(text):
    for written, moment in (("{now}", NOW), ("{now-360}", NOW - 360), ("{now+360}", NOW + 360)):
        text = text.replace(written, str(moment))
    return text


def sent(vector):
    # A test there signs by putting the message itself where the signature belongs. Here a key
    # that its authors published too signs that message.
    headers = {name: at_now(value) for name, value in vector["headers"].items()}
    if "signature" in vector:
        headers["Wechatpay-Signature"] = vector["signature"]
    elif "Wechatpay-Signature" in headers:
        headers["Wechatpay-Signature"] = signed(headers["Wechatpay-Signature"])
    return headers


def knowing(vector):
    serial = vector["headers"].get("Wechatpay-Serial", "")
    known = {serial: pem(GO_PUBLIC_KEY)} if vector["fact"] != "unknown_serial" else {}
    return Verifier(public_keys=known)


def open_sealed(vector):
    return v3.open_sealed(
        vector["ciphertext"],
        vector["key"].encode(),
        nonce=vector["nonce"],
        associated_data=vector["associated_data"],
    )


# fields and XML


def test_no_fields_are_signed_as_the_key_alone():
    vector = V2["key_alone"]

    assert v2.sign({}, vector["key"], "MD5") == vector["MD5"].upper()


def test_fields_are_written_as_published():
    vector = V2["written"]

    assert flatxml.write(vector["fields"]).decode() == vector["body"]


@pytest.mark.parametrize("vector", each(V2["xml"]))
def test_published_xml_is_read_as_its_fields(vector):
    assert flatxml.read(vector["body"].encode()) == vector["fields"]


def test_xml_of_another_writer_carries_the_signature_of_its_fields():
    fields = flatxml.read(V2["xml"][0]["body"].encode())

    assert fields["sign"] == v2.sign(fields, V2["key"], "MD5")
    # Not the same bytes: that writer wraps every value in CDATA, which nothing signs.
    assert flatxml.read(flatxml.write(fields)) == fields


# Each lacks what an answer has, or was signed with a key nobody published.
@pytest.mark.parametrize("vector", each(V2["xml"]))
def test_a_published_sample_is_not_an_answer_of_ours(vector):
    with pytest.raises(Untrusted) as caught:
        v2.parse(vector["body"].encode(), "0" * 32)

    assert caught.value.fact == vector["fact"]


@pytest.mark.parametrize("vector", each(V2["refused_xml"]))
def test_published_attacks_and_oddities_are_not_read(vector):
    with pytest.raises(Untrusted) as caught:
        flatxml.read(vector["body"].encode())

    assert caught.value.fact == vector["fact"]


# what is signed


@pytest.mark.parametrize("case", V3["credential"]["cases"], ids=lambda case: case["method"])
def test_a_message_and_its_header_are_the_published_ones(case):
    vector = V3["credential"]
    when = {"timestamp": vector["timestamp"], "nonce": vector["nonce"]}

    message = v3.message_to_sign(case["method"], case["target"], body=case["body"].encode(), **when)
    header = v3.authorization(
        vector["mch_id"],
        serial=vector["serial"],
        signature=f"Sign:{message.decode()}",
        **when,
    )

    assert message.decode() == case["message"]
    # Only the name of the algorithm, which is a mock's there, differs.
    assert header == case["authorization"].replace("WECHATPAY2-Mock", v3.SCHEME)


@pytest.mark.parametrize("case", V3["formatted"]["requests"])
def test_a_request_is_its_five_parts_each_ending_in_a_line_feed(case):
    method, target, timestamp, nonce, body = case["parts"]

    message = v3.message_to_sign(
        method, target, timestamp=timestamp, nonce=nonce, body=body.encode()
    )

    assert message.decode() == case["message"]


@pytest.mark.parametrize("case", V3["formatted"]["answers"])
def test_an_answer_is_its_three_parts_each_ending_in_a_line_feed(case):
    timestamp, nonce, body = case["parts"]

    assert v3.signed_message(timestamp, nonce, body.encode()).decode() == case["message"]


def test_an_authorization_has_the_published_items():
    vector = dict(V3["formatted"]["authorization"])
    items = vector.pop("items")

    scheme, _, written = v3.authorization(**vector).partition(" ")

    assert scheme == "WECHATPAY2-SHA256-RSA2048"
    assert sorted(written.split(",")) == items  # their order is free, and another one there


# what is verified


def test_the_answer_in_wechats_document_is_wechats():
    vector = V3["response"]
    headers = vector["headers"]
    stamp, nonce = headers["Wechatpay-Timestamp"], headers["Wechatpay-Nonce"]
    keys = Verifier(public_keys={headers["Wechatpay-Serial"]: pem(vector["key_file"])})

    keys.verify(headers, vector["body"].encode(), now=int(stamp))

    message = v3.signed_message(stamp, nonce, vector["body"].encode())
    assert message.decode() == vector["message"]


def test_the_answer_in_wechats_document_is_no_others():
    vector = V3["response"]
    headers = vector["headers"]
    keys = Verifier(public_keys={headers["Wechatpay-Serial"]: pem(vector["key_file"])})

    with pytest.raises(Untrusted, match="bad_signature"):
        keys.verify(
            headers,
            vector["body"].replace("pr=J", "pr=j").encode(),
            now=int(headers["Wechatpay-Timestamp"]),
        )


def test_a_probe_that_was_seen_is_known_for_one():
    headers = V3["signtest"]["headers"]
    keys = Verifier(public_keys={headers["Wechatpay-Serial"]: pem(GO_PUBLIC_KEY)})

    with pytest.raises(Untrusted, match="signtest"):
        keys.verify(headers, b"{}", now=int(headers["Wechatpay-Timestamp"]))


@pytest.mark.parametrize(
    "vector",
    [pytest.param(vector, id=vector["name"]) for vector in V3["answers"] if not vector["fact"]],
)
def test_what_others_accept_is_accepted(vector):
    knowing(vector).verify(sent(vector), vector["body"].encode(), now=NOW)


@pytest.mark.parametrize(
    "vector",
    [pytest.param(vector, id=vector["name"]) for vector in V3["answers"] if vector["fact"]],
)
def test_what_others_refuse_is_refused(vector):
    with pytest.raises(Untrusted) as caught:
        knowing(vector).verify(sent(vector), vector["body"].encode(), now=NOW)

    assert caught.value.fact == vector["fact"]


def test_without_any_key_nothing_is_believed():
    vector = V3["answers"][0]

    with pytest.raises(Untrusted, match="unknown_serial"):
        Verifier().verify(sent(vector), vector["body"].encode(), now=NOW)


def test_downloaded_certificates_vouch_for_the_answer_that_brought_them():
    vector = V3["downloaded"]
    body = vector["body"].encode()
    message = v3.signed_message(str(NOW), vector["nonce"], body).decode()
    headers = {
        "Wechatpay-Serial": vector["serial"],
        "Wechatpay-Nonce": vector["nonce"],
        "Wechatpay-Timestamp": str(NOW),
        "Wechatpay-Signature": signed(message, key=vector["key_file"]),
    }

    brought = v3.certificates(body, vector["key"].encode())
    keys = Verifier(certificates=brought)

    assert b"".join(brought).split() == pem(vector["certificate_file"]).split()
    keys.verify(headers, body, now=NOW)


def test_the_short_apiv3_key_of_a_published_test_is_no_real_one():
    with pytest.raises(ValueError, match="apiv3_key"):
        Verifier(apiv3_key=V3["downloaded"]["key"])


# what is sealed


@pytest.mark.parametrize("vector", each(V3["sealed"]))
def test_a_published_sealed_text_opens(vector):
    assert open_sealed(vector).decode() == vector["plaintext"]


@pytest.mark.parametrize("vector", each(V3["unsealable"]))
def test_a_published_bad_seal_does_not_open(vector):
    with pytest.raises(Untrusted, match="bad_certificate"):
        open_sealed(vector)


# The padding alone tells these from what this API sends: opened, each would do for the name and
# for the number of a passport. OpenSSL makes noise of them instead, which is then judged.
@pytest.mark.parametrize("vector", each(V3["oaep"]))
def test_a_published_ciphertext_of_the_other_padding_names_nobody(vector):
    ciphertext = vector["ciphertext"]
    info = {
        "encrypted_real_name": ciphertext,
        "credential_type": 2,
        "encrypted_credential_id": ciphertext,
    }
    body = json.dumps({"openid": "oA", "real_name_info": info}).encode()
    key = load_pem_private_key(pem(vector["key_file"]), password=None)

    with pytest.raises(Undecryptable):
        v3.identity(body, Decryptor.from_pem(pem(vector["key_file"])))

    assert key.decrypt(base64.b64decode(ciphertext), OAEP).decode() == vector["plaintext"]


def test_a_published_key_opens_what_its_key_and_its_certificate_close():
    vector = V3["both_paddings"]
    decryptor = Decryptor.from_pem(pem(vector["key_file"]))
    certificate = x509.load_pem_x509_certificate(pem(vector["certificate_file"]))

    for public in (certificate.public_key(), load_pem_public_key(pem(vector["public_key_file"]))):
        made = public.encrypt(vector["plaintext"].encode(), padding.PKCS1v15())

        assert decryptor.open(base64.b64encode(made).decode()) == vector["plaintext"]


@pytest.mark.parametrize("vector", each(V3["not_ciphertexts"]))
def test_what_is_no_ciphertext_does_not_open(vector):
    with pytest.raises(Undecryptable, match="size"):
        Decryptor.from_pem(pem(vector["key_file"])).open(vector["ciphertext"])
