import base64
import contextlib
import json
import secrets
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given
from hypothesis import strategies as st
from stdnum.iso7064 import mod_11_2

from faceauth.simulator import Simulator
from faceauth.simulator.people import citizen_number
from faceauth.simulator.world import World
from faceauth.wechat import (
    FACE_SID,
    Decryptor,
    LocalSigner,
    Undecryptable,
    Untrusted,
    Verifier,
    WeChatError,
    v3,
)
from faceauth.wechat.documents import judge_name, judge_number
from faceauth.wechat.steps import run

FOLDER = Path(__file__).parents[1] / "vectors"
VECTORS = json.loads((FOLDER / "wechat_v3.json").read_text())
NOW = 1_790_000_000
WORLD = World.fresh()
WECHAT = LocalSigner.from_pem(WORLD.platform_key.encode(), serial=WORLD.platform_serial)
KEYS = Verifier(certificates=[WORLD.platform_certificate.encode()], apiv3_key=WORLD.apiv3_key)
HOSPITAL = Decryptor.from_pem(WORLD.merchant_key.encode())
ZHANGSAN = citizen_number(999901, datetime(1990, 3, 7, tzinfo=UTC).date(), 1)


def published(name):
    return (FOLDER / VECTORS[name]["key_file"]).read_bytes()


def headers(body, *, timestamp=NOW, signer=WECHAT, **changed):
    nonce = secrets.token_hex(16)
    signature = signed(signer, v3.signed_message(str(timestamp), nonce, body))
    return {
        "Wechatpay-Timestamp": str(timestamp),
        "Wechatpay-Nonce": nonce,
        "Wechatpay-Serial": signature.serial,
        "Wechatpay-Signature": signature.value,
        **{name.replace("_", "-"): value for name, value in changed.items()},
    }


def signed(signer, message):
    return run(signer.sign(message), send=None)


def seal(text, *, padded=None):
    public = HOSPITAL._key.public_key()
    data = text if isinstance(text, bytes) else text.encode()
    return base64.b64encode(public.encrypt(data, padded or padding.PKCS1v15())).decode()


def answer(*, name="张三", number=ZHANGSAN, kind=1, **changed):
    info = {
        "encrypted_real_name": seal(name),
        "credential_type": kind,
        "encrypted_credential_id": seal(number),
    }
    return json.dumps({"openid": "oA", "real_name_info": info, **changed}).encode()


def certificates(pem, *, key=WORLD.apiv3_key, nonce="0123456789ab"):
    sealed = AESGCM(key.encode()).encrypt(nonce.encode(), pem, b"certificate")
    item = {
        "algorithm": "AEAD_AES_256_GCM",
        "nonce": nonce,
        "associated_data": "certificate",
        "ciphertext": base64.b64encode(sealed).decode(),
    }
    return json.dumps({"data": [{"serial_no": "X", "encrypt_certificate": item}]}).encode()


def numbered(digits):
    return digits + mod_11_2.calc_check_digit(digits)


# published bytes


@pytest.mark.parametrize("name", ["signature", "another_signature"])
def test_a_signature_is_the_published_one(name):
    vector = VECTORS[name]

    signer = LocalSigner.from_pem(published(name), serial="F5765756002FDD77")

    assert signed(signer, vector["message"].encode()).value == vector["signature"]


def test_a_message_is_the_published_one():
    vector = VECTORS["request"]

    message = v3.message_to_sign(
        vector["method"], vector["target"], timestamp=vector["timestamp"], nonce=vector["nonce"]
    )

    assert message.decode() == vector["message"]


def test_an_authorization_is_the_published_one():
    vector = VECTORS["request"]
    signer = LocalSigner.from_pem(published("pkcs1v15"), serial=vector["serial"])
    signature = signed(signer, vector["message"].encode())

    header = v3.authorization(
        vector["mch_id"],
        serial=signature.serial,
        signature=signature.value,
        timestamp=vector["timestamp"],
        nonce=vector["nonce"],
    )

    assert header == (
        'WECHATPAY2-SHA256-RSA2048 mchid="1234567891",'
        'nonce_str="eBYqCOxa0QudMnPvVilkTzOg3gHh5Z3u",timestamp="1652750623",'
        'serial_no="5F1C72E2A8931B72A2E13AF8DEE92471EB397115",'
        f'signature="{signature.value}"'
    )


def test_a_published_ciphertext_opens():
    vector = VECTORS["pkcs1v15"]

    assert Decryptor.from_pem(published("pkcs1v15")).open(vector["ciphertext"]) == "plaintext"


def test_a_published_sealed_message_opens():
    vector = VECTORS["aes_gcm"]

    opened = v3.open_sealed(
        vector["ciphertext"],
        vector["key"].encode(),
        nonce=vector["nonce"],
        associated_data=vector["associated_data"],
    )

    assert opened == b"message"


def test_the_published_certificates_open():
    vector = VECTORS["certificates"]
    keys = Verifier()

    keys.add(v3.certificates(json.dumps(vector["body"]).encode(), vector["key"].encode()))

    assert keys._find(vector["serial"], now=NOW) is not None


# the shape of a face_sid


@pytest.mark.parametrize("face_sid", ["bbaf113f-4171-4332-9c79-dace6d35a917", "aabbccdd12345"])
def test_a_face_sid_looks_like_this(face_sid):
    assert FACE_SID.fullmatch(face_sid)


@pytest.mark.parametrize(
    "face_sid",
    [
        "",
        "short",
        "a" * 129,
        "../../v3/certificates",
        "a%2e%2eaaaaaa",
        "aaaaaaaa?b=c",
        "aaaaaaaa#",
        "aaaaaaaa\r\nX: y",
        "aaaaaaaa\n",
        "１２３４５６７８９",
        "张三张三张三张三",
        "a" * 10_240,
    ],
)
def test_a_face_sid_does_not_look_like_that(face_sid):
    assert not FACE_SID.fullmatch(face_sid)


# who signed


def test_an_answer_signed_now_is_trusted():
    KEYS.verify(headers(b"{}"), b"{}", now=NOW)


@pytest.mark.parametrize("timestamp", [NOW - 300, NOW + 300])
def test_five_minutes_are_forgiven(timestamp):
    KEYS.verify(headers(b"{}", timestamp=timestamp), b"{}", now=NOW)


@pytest.mark.parametrize("name", ["Timestamp", "Nonce", "Serial", "Signature"])
@pytest.mark.parametrize("value", [None, ""])
def test_an_answer_without_every_part_of_a_signature_is_not_trusted(name, value):
    given = {**headers(b"{}"), f"Wechatpay-{name}": value}
    given = {name: value for name, value in given.items() if value is not None}

    with pytest.raises(Untrusted, match="missing_signature"):
        KEYS.verify(given, b"{}", now=NOW)


@pytest.mark.parametrize(
    ("changed", "fact"),
    [
        ({"timestamp": NOW - 301}, "stale"),
        ({"timestamp": NOW + 301}, "future"),
        ({"Wechatpay_Timestamp": "１７９０００００００"}, "malformed"),
        ({"Wechatpay_Timestamp": "-1"}, "malformed"),
        ({"Wechatpay_Timestamp": str(NOW + 1)}, "bad_signature"),
        ({"Wechatpay_Nonce": "a\nb"}, "malformed"),
        ({"Wechatpay_Nonce": "another"}, "bad_signature"),
        ({"Wechatpay_Serial": "0A" * 20}, "unknown_serial"),
        ({"Wechatpay_Serial": "PUB_KEY_ID_0"}, "unknown_serial"),
        ({"Wechatpay_Signature": "WECHATPAY/SIGNTEST/nnBqhLgE"}, "signtest"),
        ({"Wechatpay_Signature": "not base64!"}, "base64"),
        ({"Wechatpay_Signature": "签名"}, "base64"),
        ({"Wechatpay_Signature": "AAAA"}, "bad_signature"),
        ({"Wechatpay_Signature_Type": "WECHATPAY2-SM2-WITH-SM3"}, "unknown_algorithm"),
    ],
)
def test_a_signature_that_is_wrong_says_how(changed, fact):
    with pytest.raises(Untrusted) as caught:
        KEYS.verify(headers(b"{}", **changed), b"{}", now=NOW)

    assert caught.value.fact == fact


def test_a_changed_body_is_not_trusted():
    with pytest.raises(Untrusted, match="bad_signature"):
        KEYS.verify(headers(b'{"a":1}'), b'{"a":2}', now=NOW)


def test_the_end_of_a_nonce_cannot_become_the_start_of_a_body():
    given = headers(b"first\nsecond")
    given["Wechatpay-Nonce"] += "\nfirst"

    with pytest.raises(Untrusted, match="malformed"):
        KEYS.verify(given, b"second", now=NOW)


def test_the_merchants_own_key_is_not_wechats():
    forger = LocalSigner.from_pem(WORLD.merchant_key.encode(), serial=WORLD.platform_serial)

    with pytest.raises(Untrusted, match="bad_signature"):
        KEYS.verify(headers(b"{}", signer=forger), b"{}", now=NOW)


def test_certificate_and_public_key_are_trusted_side_by_side(tmp_path):
    Simulator(WORLD).export(tmp_path, base_url="")
    keys = Verifier(
        certificates=[WORLD.platform_certificate.encode()],
        public_keys={WORLD.wechat_public_key_id: (tmp_path / "wechat_public_key.pem").read_bytes()},
    )
    newer = LocalSigner.from_pem(WORLD.wechat_key.encode(), serial=WORLD.wechat_public_key_id)

    keys.verify(headers(b"{}"), b"{}", now=NOW)
    keys.verify(headers(b"{}", signer=newer), b"{}", now=NOW)


def test_an_expired_certificate_is_nobodys():
    after = datetime(2050, 1, 1, tzinfo=UTC).timestamp()

    with pytest.raises(Untrusted, match="unknown_serial"):
        KEYS.verify(headers(b"{}", timestamp=int(after)), b"{}", now=after)


def test_a_serial_is_found_with_and_without_its_leading_zero():
    assert KEYS._find("0" + WORLD.platform_serial.lower(), now=NOW)


# which keys


def test_the_first_certificates_vouch_for_themselves():
    keys = Verifier(apiv3_key=WORLD.apiv3_key)
    body = certificates(WORLD.platform_certificate.encode())

    keys.learn(headers(body), body, now=NOW)

    assert keys._find(WORLD.platform_serial, now=NOW)


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        (certificates(WORLD.platform_certificate.encode(), key="k" * 32), "bad_certificate"),
        (certificates(b"not a certificate"), "bad_certificate"),
        (certificates(WORLD.merchant_certificate.encode()), "unknown_serial"),
        (b'{"data":[]}', "unknown_serial"),
        (b'{"data":[1]}', "malformed"),
        (b"{}", "malformed"),
    ],
)
def test_certificates_of_another_hand_are_not_learnt(body, fact):
    keys = Verifier(apiv3_key=WORLD.apiv3_key)

    with pytest.raises(Untrusted) as caught:
        keys.learn(headers(body), body, now=NOW)

    assert caught.value.fact == fact
    assert keys._find(WORLD.platform_serial, now=NOW) is None


# Made with OpenSSL: no library of ours makes keys on the curve SM2.
SM2_PUBLIC_KEY = b"""-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoEcz1UBgi0DQgAErXqwOFnzJMOOg/HF3SLVvX+/gbfP
fztTwcBV/sm2Ep0w3GVxZh9eHp9CJ8B423LZE/JwPgkpXq0Iu48wm5WwRA==
-----END PUBLIC KEY-----
"""
SM2_CERTIFICATE = b"""-----BEGIN CERTIFICATE-----
MIIBbjCCAROgAwIBAgIUdoeXqnCRKlqJC9lj6z0XJ3uVcMYwCgYIKoEcz1UBg3Uw
DDEKMAgGA1UEAwwBeDAeFw0yNjExMjExNTE3MjBaFw0yNjExMjQxNTE3MjBaMAwx
CjAIBgNVBAMMAXgwWTATBgcqhkjOPQIBBggqgRzPVQGCLQNCAASterA4WfMkw46D
8cXdItW9f7+Bt89/O1PBwFX+ybYSnTDcZXFmH14en0InwHjbctkT8nA+CSlerQi7
jzCblbBEo1MwUTAdBgNVHQ4EFgQU4Uu1IawrJe0zJZHXS49ncOOvwbMwHwYDVR0j
BBgwFoAU4Uu1IawrJe0zJZHXS49ncOOvwbMwDwYDVR0TAQH/BAUwAwEB/zAKBggq
gRzPVQGDdQNJADBGAiEAwcK0UvO53KRbb+klXBJFVCWZM49O9TUYfVOa2lweEzsC
IQCqm4TTO7Mp7tl52gJOewnxU4GsZQ2JYdH6kHLplbHlfA==
-----END CERTIFICATE-----
"""


def test_a_key_of_another_kind_is_refused_and_not_learnt():
    keys = Verifier(apiv3_key=WORLD.apiv3_key)
    body = certificates(SM2_CERTIFICATE)

    with pytest.raises(Untrusted, match="bad_certificate"):
        keys.learn(headers(body), body, now=NOW)
    with pytest.raises(ValueError, match="RSA"):
        Verifier(public_keys={"PUB_KEY_ID_1": SM2_PUBLIC_KEY})


def pem_of(key):
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


@pytest.mark.parametrize(
    "pem",
    [
        b"nothing",
        pem_of(ec.generate_private_key(ec.SECP256R1())),
        pem_of(rsa.generate_private_key(public_exponent=65537, key_size=1024)),  # noqa: S505
    ],
    ids=["not PEM", "not RSA", "short"],
)
def test_a_weak_or_foreign_key_is_refused(pem):
    with pytest.raises(ValueError, match=r"\w"):
        Decryptor.from_pem(pem)
    with pytest.raises(ValueError, match=r"\w"):
        LocalSigner.from_pem(pem, serial="2")


# who was seen


def test_an_answer_becomes_an_identity():
    identity = v3.identity(answer(sub_openid="oB"), HOSPITAL)

    assert identity == v3.Identity("oA", "oB", "张三", 1, ZHANGSAN)


def test_an_identity_does_not_show_the_person():
    shown = repr(v3.identity(answer(), HOSPITAL))

    assert shown == "Identity(document_type=1)"


def test_the_three_fields_may_lie_flat():
    nested = json.loads(answer())
    body = json.dumps({**nested.pop("real_name_info"), **nested}).encode()

    assert v3.identity(body, HOSPITAL).real_name == "张三"


def test_a_document_of_a_type_not_listed_yet_is_passed_on():
    identity = v3.identity(answer(kind=12, number="RFPF123456"), HOSPITAL)

    assert (identity.document_type, identity.document_number) == (12, "RFPF123456")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"{",
        b"[" * 60_000,
        b'{"a":' + b"9" * 5000 + b"}",
        answer(openid=None),
        answer(openid="张三"),
        answer(sub_openid=7),
        answer(openid="\ud800"),
        answer(kind=True),
        answer(kind="1"),
        answer(kind=0),
        answer(real_name_info=None),
    ],
)
def test_an_answer_of_another_shape_is_malformed(body):
    with pytest.raises(Untrusted, match="malformed"):
        v3.identity(body, HOSPITAL)


@pytest.mark.parametrize(
    ("changed", "fact"),
    [
        ({"name": "\x02\x1f"}, "name"),
        ({"number": "\x02\x1f"}, "document"),
        ({"number": "110105194912310021"}, "checksum"),
    ],
)
def test_name_and_number_are_both_judged(changed, fact):
    with pytest.raises(Undecryptable) as caught:
        v3.identity(answer(**changed), HOSPITAL)

    assert caught.value.fact == fact


def test_noise_is_not_a_person():
    other = Decryptor.from_pem(WORLD.platform_key.encode())

    for _ in range(50):
        with pytest.raises(Undecryptable):
            v3.identity(answer(), other)


def test_the_usual_padding_is_not_this_apis():
    oaep = padding.OAEP(padding.MGF1(hashes.SHA1()), hashes.SHA1(), None)  # noqa: S303
    info = {
        "encrypted_real_name": seal("张三", padded=oaep),
        "credential_type": 1,
        "encrypted_credential_id": seal(ZHANGSAN, padded=oaep),
    }

    with pytest.raises(Undecryptable):
        v3.identity(answer(real_name_info=info), HOSPITAL)


@pytest.mark.parametrize(
    ("sealed", "fact"),
    [
        ("!", "base64"),
        ("密文", "base64"),
        ("MTIzNA==", "size"),
        (base64.b64encode(b"\xff" * 256).decode(), "size"),
        (seal("张三".encode("gbk")), "text"),
    ],
)
def test_what_does_not_open_says_why_and_shows_nothing(sealed, fact):
    with pytest.raises(Undecryptable) as caught:
        HOSPITAL.open(sealed)

    assert caught.value.fact == fact
    assert caught.value.__context__ is None


def test_no_failure_carries_the_answer_along():
    with pytest.raises(Untrusted) as caught:
        v3.identity(b'{"openid": "o-secret", ', HOSPITAL)

    assert caught.value.__context__ is None


@pytest.mark.parametrize(
    "name",
    [
        "张三",
        "欧阳若曦",
        "阿依努尔·买买提吐尔逊·阿卜杜热合曼",
        "买买提•吐尔逊",
        "MARIA D'ANGELO-SMITH",
        "José Müller",
        "李〇",
        "王\U00020bb7",
        "刘\U000323af",
        "𠮷野",
        "张\ue815",
        "葛\U000e0100",
        "ئاينۇر",
        "J. R. Smith",
        "好" * 64,
    ],
)
def test_a_person_may_be_called(name):
    assert judge_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "··",
        "张三1",
        "张\n三",
        "张\x00三",
        "张\u202e三",
        "<b>",
        "好" * 65,
        "\x02\x1f",
        "张\u200b三",
        "a@b",
        "张三;",
        "😀",
        "\ufffd",
    ],
)
def test_nobody_is_called(name):
    with pytest.raises(Undecryptable, match="name"):
        judge_name(name)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (ZHANGSAN, 1),
        ("11010519491231002X", 1),  # the example of GB 11643-1999
        ("440524188001010014", 6),  # likewise
        ("130503670401001", 7),
        ("E99000001", 2),
        ("H9900000100", 5),
        ("99000001", 9),
        ("军字第990001号", 3),
    ],
)
def test_a_document_may_be_numbered(number, kind):
    assert judge_number(number, document_type=kind) == number


def test_a_small_x_is_printed_large():
    assert judge_number("11010519491231002x", document_type=1) == "11010519491231002X"


@pytest.mark.parametrize(
    ("number", "kind", "fact"),
    [
        ("110105194912310021", 1, "checksum"),
        (f"{ZHANGSAN[:17]}Z", 1, "document"),
        (numbered("99990119900230001"), 1, "document"),
        (numbered("99990119901301001"), 1, "document"),
        (numbered("99990117900101001"), 1, "document"),
        ("130503671301001", 1, "document"),
        ("E99000001", 1, "document"),
        ("１１０１０５１９４９１２３１００２X", 1, "document"),
        ("\x00\x01\x02\x03\x04", 2, "document"),
        ("E9", 2, "document"),
        ("", 9, "document"),
        ("9" * 65, 9, "document"),
    ],
)
def test_no_document_is_numbered(number, kind, fact):
    with pytest.raises(Undecryptable) as caught:
        judge_number(number, document_type=kind)

    assert caught.value.fact == fact


# anything at all


@given(st.dictionaries(st.sampled_from(sorted(headers(b""))), st.text()), st.binary())
def test_no_headers_surprise_the_verifier(given, body):
    with pytest.raises(Untrusted):
        KEYS.verify(given, body, now=NOW)


@given(st.text("王李欧阳若曦\U00020bb7", min_size=2), st.from_regex(r"E[0-9]{8}", fullmatch=True))
def test_what_is_sealed_to_us_is_read_as_it_was(name, number):
    identity = v3.identity(answer(name=name, number=number, kind=2), HOSPITAL)

    assert (identity.real_name, identity.document_number) == (name, number)


@given(st.binary() | st.binary(max_size=60).map(lambda b: answer()[: -len(b) or None] + b))
def test_no_bytes_surprise_the_reader(body):
    with contextlib.suppress(WeChatError):
        v3.identity(body, HOSPITAL)


@given(st.binary(min_size=256, max_size=256))
def test_no_ciphertext_opens_to_a_person(sealed):
    text = base64.b64encode(sealed).decode()
    info = {
        "encrypted_real_name": text,
        "credential_type": 1,
        "encrypted_credential_id": text,
    }

    with pytest.raises(Undecryptable):
        v3.identity(json.dumps({"openid": "o", "real_name_info": info}).encode(), HOSPITAL)
