import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from faceauth.wechat import Rejected, Unavailable, Untrusted, WeChatError, flatxml, v2

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "wechat_v2.json").read_text())
KEY = VECTORS["key"]
REQUEST = {
    "store_id": "IMG001",
    "store_name": "爱马哥南山店",
    "device_id": "DEV001",
    "rawdata": "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG",
    "appid": "wx31fdaErqR31",
    "mch_id": "12345689",
    "now": 1239878956,
    "version": "1",
    "nonce_str": "ibuaiVcKdpRxkhJA",
}
# What v2 may carry: at most three bytes of UTF-8, no control characters.
WRITABLE = st.characters(min_codepoint=0x20, max_codepoint=0xFFFD, exclude_categories=["Cc", "Cs"])
SUCCESS = {"return_code": "SUCCESS", "authinfo": "q3OPhFtQ", "expires_in": "7200"}


def answer(fields, *, sign_type="HMAC-SHA256", key=KEY):
    return flatxml.write({**fields, "sign": v2.sign(fields, key, sign_type)})


def published():
    return [
        pytest.param(vector["fields"], sign_type, vector[sign_type], id=f"{place}-{sign_type}")
        for place, vector in enumerate(VECTORS["signatures"])
        for sign_type in ("MD5", "HMAC-SHA256")
        if sign_type in vector
    ]


@pytest.mark.parametrize(("fields", "sign_type", "signature"), published())
def test_a_signature_is_the_published_one(fields, sign_type, signature):
    assert v2.sign(fields, KEY, sign_type) == signature


def test_a_signature_of_another_kind_is_not_made():
    with pytest.raises(ValueError, match=r"^sign_type$"):
        v2.sign({}, KEY, "SM3")


def test_a_request_says_its_sign_type_and_signs_it():
    fields = flatxml.read(v2.build(REQUEST, KEY, "MD5"))

    assert fields["sign_type"] == "MD5"
    assert fields.pop("sign") == v2.sign(fields, KEY, "MD5")


def test_a_value_that_looks_like_markup_survives_the_journey():
    fields = {**REQUEST, "attach": '{"k":"v&<>]]>"}'}

    read = flatxml.read(v2.build(fields, KEY))

    assert read["attach"] == fields["attach"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("store_id", "S" * 33),
        ("store_id", ""),
        ("store_name", "店" * 129),
        ("store_name", "店\U00020bb7"),
        ("store_name", "店\n"),
        ("store_name", "店\ud800"),
        ("device_id", None),
        ("rawdata", "A" * 2049),
        ("rawdata", "AB CD"),
        ("now", 1588731658665),
        ("nonce_str", "n" * 33),
    ],
)
def test_a_field_beyond_its_limits_is_named_and_not_shown(name, value):
    with pytest.raises(ValueError, match=f"^{name}$"):
        v2.build({**REQUEST, name: value}, KEY)


@pytest.mark.parametrize("sign_type", ["MD5", "HMAC-SHA256"])
def test_the_length_of_a_signature_says_how_to_verify_it(sign_type):
    assert v2.parse(answer(SUCCESS, sign_type=sign_type), KEY)["authinfo"] == "q3OPhFtQ"


def test_a_field_nobody_told_us_of_is_verified_too():
    fields = {**SUCCESS, "added_in_2031": " 值 "}

    assert v2.parse(answer(fields), KEY)["added_in_2031"] == " 值 "
    with pytest.raises(Untrusted, match="bad_signature"):
        v2.parse(answer(fields).replace(b"2031", b"2032"), KEY)


@pytest.mark.parametrize(
    ("body", "fact"),
    [
        (flatxml.write(SUCCESS), "missing_signature"),
        (answer(SUCCESS, key="0" * 32), "bad_signature"),
        (answer(SUCCESS).replace(b"7200", b"9999"), "bad_signature"),
        (flatxml.write({**SUCCESS, "sign": "0" * 31}), "bad_signature"),
        (flatxml.write({**SUCCESS, "sign": "签" * 32}), "bad_signature"),
        (answer(SUCCESS)[:-9], "not_xml"),
        (b"", "not_xml"),
        (b'{"return_code":"SUCCESS"}', "not_xml"),
        (b"<html><body>502</body></html>", "not_xml"),
        (b"<!DOCTYPE html><html></html>", "not_xml"),
        (b"<xml><a>\xff</a></xml>", "not_xml"),
        ("<?xml version='1.0' encoding='gbk'?><xml><a>名</a></xml>".encode("gbk"), "not_xml"),
        (b'<!DOCTYPE xml [<!ENTITY a "b">]><xml><a>&a;</a></xml>', "entities"),
        (b'<!DOCTYPE xml SYSTEM "file:///etc/passwd"><xml/>', "entities"),
        (
            b"<xml><return_code>FAIL</return_code><return_code>SUCCESS</return_code></xml>",
            "malformed",
        ),
        (b"<xml><a><b>1</b></a></xml>", "malformed"),
        (b"<xml>loose<a>1</a></xml>", "malformed"),
        (b'<xml><a b="c">1</a></xml>', "malformed"),
        (b"<xml></xml>", "malformed"),
        (b"<xml>" + b" " * 65_536 + b"</xml>", "too_large"),
    ],
)
def test_what_is_not_provably_wechats_is_not_read(body, fact):
    with pytest.raises(Untrusted) as caught:
        v2.parse(body, KEY)

    assert caught.value.fact == fact
    assert str(caught.value) == fact


def test_an_answer_is_utf8_whatever_it_says_it_is():
    body = b'<?xml version="1.0" encoding="iso-8859-1"?>' + answer({**SUCCESS, "note": "门诊"})

    assert v2.parse(body, KEY)["note"] == "门诊"


@pytest.mark.parametrize("code", ["PARAM_ERROR", "ERROR", "FAIL"])
def test_an_unsigned_failure_is_believed_as_a_failure(code):
    body = flatxml.write({"return_code": code, "return_msg": "签名错误"})

    with pytest.raises(Rejected) as caught:
        v2.parse(body, KEY)

    assert caught.value.code == code
    assert "签名错误" not in repr(caught.value)


def test_wechats_own_trouble_may_pass():
    body = answer({"return_code": "SYSTEMERROR", "return_msg": "生成authinfo失败"})

    with pytest.raises(Unavailable, match="system_error"):
        v2.parse(body, KEY)


def test_a_code_that_is_not_one_is_not_repeated():
    body = flatxml.write({"return_code": "张三 110101199003070011"})

    with pytest.raises(Rejected) as caught:
        v2.parse(body, KEY)

    assert caught.value.code == "UNKNOWN"
    assert str(caught.value) == "UNKNOWN (refused)"


def test_success_with_a_failed_result_is_a_failure():
    fields = {**SUCCESS, "result_code": "FAIL", "err_code": "NOAUTH"}

    with pytest.raises(Rejected, match="NOAUTH"):
        v2.parse(answer(fields), KEY)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text(WRITABLE)))
def test_what_is_signed_and_written_is_read_as_it_was(fields):
    fields = {**fields, **SUCCESS, "result_code": "SUCCESS"}
    fields.pop("sign", None)

    read = v2.parse(answer(fields), KEY)

    assert read.pop("sign")
    assert read == fields


@given(st.binary(max_size=300) | st.binary(max_size=200).map(lambda b: b"<xml><a>" + b))
def test_no_bytes_surprise_the_reader(body):
    with pytest.raises(WeChatError):
        v2.parse(body, KEY)


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.text()))
def test_nothing_unsigned_passes_for_success(fields):
    fields = {"return_code": "SUCCESS", **fields, "sign": "A" * 64}

    with pytest.raises(WeChatError):
        v2.parse(flatxml.write(fields) if _encodes(fields) else b"", KEY)


def _encodes(fields):
    try:
        flatxml.write(fields)
    except UnicodeEncodeError:
        return False
    return True
