from urllib.parse import unquote

import pytest

from faceauth.wechat import flatxml
from tests.faceauth.asking import (
    NOW,
    Asking,
    authinfo_fields,
    authorization,
    rsa_signature,
    v2_signature,
    verify,
    xml,
)

MALFORMED = "Http头Authorization值格式错误，请参考《微信支付商户REST API签名规则》"
SKEWED = "Http头Authorization中的timestamp与发起请求的时间不得超过5分钟"
BAD_SIGNATURE = "错误的签名，验签失败"
FORMAT = "请按格式填写mch_id,appid以及sign_type"


@pytest.fixture
def wechat():
    return Asking()


def told(answer):
    fields = flatxml.read(answer.content)
    signed = "signed" if "sign" in fields else "unsigned"
    return fields["return_code"], fields["return_msg"], signed


def refusal(answer):
    number = int(answer.headers["request-id"].rpartition("-")[2])
    return answer.status_code, answer.json()["code"], answer.json()["message"], number


# authinfo


@pytest.mark.parametrize(
    ("changed", "expected", "verdict"),
    [
        ({"sign_type": None}, ("PARAM_ERROR", FORMAT, "unsigned"), "sign_type"),
        ({"sign_type": "SHA1"}, ("PARAM_ERROR", FORMAT, "unsigned"), "sign_type"),
        ({"mch_id": None}, ("PARAM_ERROR", FORMAT, "unsigned"), "mch_id"),
        ({"appid": None}, ("PARAM_ERROR", FORMAT, "unsigned"), "appid"),
        ({"store_name": "é—¨è¯Š"}, ("PARAM_ERROR", "请求报文格式错误", "unsigned"), "乱码"),
        ({"store_name": "门\ufffd"}, ("PARAM_ERROR", "请求报文格式错误", "unsigned"), "乱码"),
        ({"store_name": "\U00020bb7"}, ("PARAM_ERROR", "请求报文格式错误", "unsigned"), "乱码"),
        ({"appid": "wx1"}, ("ERROR", "商户号和appid不匹配", "signed"), "appid"),
        ({"mch_id": "1"}, ("ERROR", "商户号和appid不匹配", "signed"), "appid"),
        ({"sub_mch_id": "1900000101"}, ("ERROR", "受理关系不存在", "signed"), "普通商户"),
        ({"rawdata": None}, ("PARAM_ERROR", "参数错误", "signed"), "缺少 rawdata"),
        ({"version": "2"}, ("PARAM_ERROR", "参数错误", "signed"), "version"),
        ({"store_id": "s" * 33}, ("PARAM_ERROR", "参数错误", "signed"), "store_id 超过 32"),
        ({"store_name": "门" * 129}, ("PARAM_ERROR", "参数错误", "signed"), "store_name 超过 128"),
        ({"device_id": "d" * 33}, ("PARAM_ERROR", "参数错误", "signed"), "device_id 超过 32"),
        ({"rawdata": "A" * 2052}, ("PARAM_ERROR", "参数错误", "signed"), "rawdata 超过 2048"),
        ({"nonce_str": "n" * 33}, ("PARAM_ERROR", "参数错误", "signed"), "nonce_str 超过 32"),
        ({"now": f"{NOW}000"}, ("SYSTEMERROR", "生成authinfo失败", "signed"), "毫秒"),
        ({"now": "today"}, ("SYSTEMERROR", "生成authinfo失败", "signed"), "10 位秒数"),
        ({"now": str(NOW + 301)}, ("SYSTEMERROR", "生成authinfo失败", "signed"), "+301 秒"),
        ({"rawdata": "a b="}, ("ERROR", "无效的RawData数据", "signed"), "加号变成了空格"),
        ({"rawdata": "a-b="}, ("ERROR", "无效的RawData数据", "signed"), "Base64"),
        ({"rawdata": "A" * 2048}, ("SUCCESS", "请求成功", "signed"), "通过"),
        ({"attach": '{"a":"<&>"}'}, ("SUCCESS", "请求成功", "signed"), "通过"),
    ],
)
def test_an_authinfo_is_refused_in_wechats_words(wechat, changed, expected, verdict):
    answer = wechat.authinfo(**changed)

    assert told(answer) == expected
    assert verdict in wechat.verdict


def test_a_body_in_gbk_is_no_message(wechat):
    body = xml(authinfo_fields(wechat.world.direct)).encode("gbk")

    answer = wechat.post_xml(body)

    assert told(answer) == ("PARAM_ERROR", "请求报文格式错误", "unsigned")


V2_MISTAKES = {
    "与 sign_type 不一致": lambda fields, key, _kind: v2_signature(fields, key, "MD5"),
    "转成大写": lambda fields, key, kind: v2_signature(fields, key, kind).lower(),
    "sign_type 没有参加签名": lambda fields, key, kind: v2_signature(
        {**fields, "sign_type": ""}, key, kind
    ),
    "没有 sign": lambda _fields, _key, _kind: "",
    "签名错误。": lambda _fields, _key, _kind: "0" * 64,
}


@pytest.mark.parametrize("mistake", V2_MISTAKES)
def test_the_verdict_names_the_mistake_in_a_v2_signature(wechat, mistake):
    answer = wechat.authinfo(sign=V2_MISTAKES[mistake])

    assert told(answer) == ("PARAM_ERROR", "签名错误", "unsigned")
    assert mistake in wechat.verdict
    assert "待签名串是「appid=wx0000000000000001&device_id=T-1&" in wechat.verdict
    assert wechat.world.apiv2_key not in wechat.verdict


def test_the_verdict_names_another_key(wechat):
    world = wechat.world
    named = {world.apiv3_key: "APIv3密钥", world.partner.apiv2_key: "服务商的 APIv2 密钥"}

    for key, name in named.items():
        assert told(wechat.authinfo(key=key))[1] == "签名错误"
        assert name in wechat.verdict


# who it was: is it let in?


@pytest.mark.parametrize(
    ("changed", "message", "number", "verdict"),
    [
        ({"timestamp": str(NOW - 301)}, SKEWED, 268435456, "-301 秒"),
        ({"timestamp": str(NOW + 301)}, SKEWED, 268435456, "+301 秒"),
        ({"timestamp": f"{NOW}000"}, MALFORMED, 268443699, "10 位秒数"),
        ({"nonce_str": "not alphanumeric"}, MALFORMED, 268443699, "nonce_str"),
        ({"nonce_str": "n" * 33}, MALFORMED, 268443699, "nonce_str"),
        ({"serial_no": "AB"}, "商户证书序列号有误。", 268443699, "应为 "),
        ({"mchid": "1"}, "商户未申请过证书。", 268443699, "商户号不存在"),
        ({"mchid": "1900000101"}, "商户未申请过证书。", 268443699, "特约商户号"),
        ({"mchid": "1900000100"}, "商户证书序列号有误。", 268443699, "1900000100"),
        ({"signature": "!!"}, BAD_SIGNATURE, 268443699, "Base64"),
        ({"signature": "AAAA"}, BAD_SIGNATURE, 268443699, "待签名串是「GET⏎/v3/certificates⏎"),
    ],
)
def test_an_authorization_is_refused_in_wechats_words(wechat, changed, message, number, verdict):
    header = authorization("/v3/certificates", wechat.world.direct, **changed)

    answer = wechat.certificates(headers={"Authorization": header})

    assert refusal(answer) == (401, "SIGN_ERROR", message, number)
    assert "wechatpay-signature" not in answer.headers
    assert verdict in wechat.verdict


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", MALFORMED),
        ("WECHATPAY2-SHA256-RSA2048 ", MALFORMED),
        ('WECHATPAY2-SHA256-RSA2048 mchid="1900000001"', MALFORMED),
        ("Bearer x", "HTTP头Authorization认证类型不正确"),
        ("WECHATPAY2-SM2-WITH-SM3 x", "HTTP头Authorization认证类型不正确"),
    ],
)
def test_what_is_no_authorization_is_refused(wechat, header, message):
    answer = wechat.certificates(headers={"Authorization": header})

    assert refusal(answer) == (401, "SIGN_ERROR", message, 268443699)


@pytest.mark.parametrize("name", ["Accept", "User-Agent"])
def test_two_headers_may_not_be_missing(wechat, name):
    answer = wechat.certificates(headers={name: ""})

    assert refusal(answer)[:3] == (400, "INVALID_REQUEST", "Http头缺少Accept或User-Agent")


def test_a_platform_serial_in_its_place_is_named(wechat):
    for serial in (wechat.world.platform_serial, wechat.world.wechat_public_key_id):
        header = authorization("/v3/certificates", wechat.world.direct, serial_no=serial)

        wechat.certificates(headers={"Authorization": header})

        assert "应填商户 API 证书的序列号" in wechat.verdict


def with_target(change):
    """Spoil the second line of a message, which is path and query."""

    def spoil(message):
        method, target, rest = message.split("\n", 2)
        return "\n".join((method, change(target), rest))

    return spoil


def in_alphabetical_order(target):
    path, _, query = target.partition("?")
    return f"{path}?{'&'.join(sorted(query.split('&')))}"


V3_MISTAKES = {
    "查询参数没有参加签名": with_target(lambda target: target.partition("?")[0]),
    "签了解码后的地址": with_target(unquote),
    "查询参数的次序": with_target(in_alphabetical_order),
    "带域名的完整地址": with_target(lambda target: f"https://api.mch.weixin.qq.com{target}"),
    "签了带域名": with_target(lambda target: f"http://w{target}"),
    "少一个换行": lambda message: message[:-1],
    "少两个换行": lambda message: message[:-2],
    "小写": lambda message: message.replace("GET", "get"),
    "签成了 POST": lambda message: message.replace("GET", "POST"),
    "\\r\\n": lambda message: message.replace("\n", "\r\n"),
    "字面的 \\n": lambda message: message.replace("\n", "\\n"),
    "次序颠倒": lambda message: "\n".join(message.split("\n")[i] for i in (0, 1, 3, 2, 4, 5)),
}


@pytest.mark.parametrize("mistake", V3_MISTAKES)
def test_the_verdict_names_the_mistake_in_a_v3_signature(wechat, mistake):
    face_sid = wechat.simulator.meet("zhangsan")

    answer = wechat.users(face_sid, spoil=V3_MISTAKES[mistake], attach="a b:c")

    assert refusal(answer) == (401, "SIGN_ERROR", BAD_SIGNATURE, 268443699)
    assert mistake in wechat.verdict
    assert f"⏎{answer.request.url.raw_path.decode()}⏎{NOW}⏎" in wechat.verdict


def test_the_answer_repeats_the_message_as_wechat_does(wechat):
    answer = wechat.users(wechat.simulator.meet("zhangsan"), spoil=str.lower)

    detail = answer.json()["detail"]
    target = answer.request.url.raw_path.decode()
    assert detail["field"] == "signature"
    assert detail["location"] == "authorization"
    assert detail["detail"] == {"issue": "sign not match"}
    assert detail["sign_information"]["url"] == target
    assert f"GET\n{target}".startswith(detail["sign_information"]["truncated_sign_message"][:60])
    assert detail["sign_information"]["sign_message_length"] == len(wechat.reply.to_sign)


def test_the_verdict_names_the_owner_of_another_key(wechat):
    world = wechat.world
    hospital = world.partner.hospitals[1]
    owners = {world.partner.key: "服务商", hospital.key: hospital.sub_mch_id}

    for key, owner in owners.items():
        message = f"GET\n/v3/certificates\n{NOW}\nabc\n\n"
        header = authorization(
            "/v3/certificates",
            world.direct,
            nonce_str="abc",
            signature=rsa_signature(message, key),
        )

        answer = wechat.certificates(headers={"Authorization": header})

        assert answer.status_code == 401
        assert owner in wechat.verdict
        assert "不是一对" in wechat.verdict


# who it was: is it answered?


@pytest.mark.parametrize(
    ("changed", "expected", "verdict"),
    [
        (
            {"info_type": "ASK_UNION_ID"},
            (400, "PARAM_ERROR", "info_type参数错误", 268435456),
            "ASK_UNIONID",
        ),
        ({"info_type": None}, (400, "PARAM_ERROR", "info_type参数错误", 268435456), "info_type"),
        ({"appid": "wx1"}, (400, "PARAM_ERROR", "appid和mch_id不匹配", 268445527), "1900000001"),
        ({"appid": None}, (400, "PARAM_ERROR", "appid和mch_id不匹配", 268445527), "1900000001"),
        ({"sub_mchid": "1900000101"}, (403, "NO_AUTH", "受理关系不存在", 268443701), "普通商户"),
    ],
)
def test_a_question_is_refused_in_wechats_words(wechat, changed, expected, verdict):
    answer = wechat.users(wechat.simulator.meet("zhangsan"), **changed)

    assert refusal(answer) == expected
    assert verdict in wechat.verdict
    verify(answer, wechat.world.platform_certificate)


def test_a_refused_parameter_is_named_without_its_value(wechat):
    answer = wechat.users(wechat.simulator.meet("zhangsan"), appid="wxsecret")

    assert answer.json()["detail"]["field"] == "appid"
    assert answer.json()["detail"]["location"] == "query"
    assert "wxsecret" not in answer.text


def test_a_face_sid_nobody_has_is_not_found(wechat):
    answer = wechat.users("bbaf113f-4171-4332-9c79-dace6d35a917")

    expected = (404, "RESOURCE_NOT_EXISTS", "face_sid不存在或已过期", 268435456)
    assert refusal(answer) == expected
    verify(answer, wechat.world.platform_certificate)


def test_another_merchants_face_sid_is_not_found(wechat):
    hospital = wechat.world.partner.hospitals[0].sub_mch_id
    theirs = wechat.simulator.meet("zhangsan", sub_mch_id=hospital)

    answer = wechat.users(theirs)

    assert refusal(answer)[:2] == (404, "RESOURCE_NOT_EXISTS")
    assert wechat.verdict == "凭证属于另一商户"


def test_without_consent_nobody_is_told(wechat):
    answer = wechat.users(wechat.simulator.meet("zhangsan", authorized=False))

    assert refusal(answer)[:3] == (403, "NO_AUTH", "用户未授权")


def test_what_is_answered_ends_in_zero(wechat):
    answer = wechat.users(wechat.simulator.meet("zhangsan"))

    assert answer.status_code == 200
    assert answer.headers["request-id"].endswith("-0")
    assert wechat.verdict == "通过"


# the platform certificates


@pytest.mark.parametrize("query", ["", "?algorithm_type=RSA", "?algorithm_type=ALL"])
def test_the_certificate_is_handed_out(wechat, query):
    answer = wechat.certificates(query=query)

    assert [item["serial_no"] for item in answer.json()["data"]] == [wechat.world.platform_serial]
    verify(answer, wechat.world.platform_certificate)


def test_there_is_no_certificate_of_another_kind(wechat):
    assert wechat.certificates(query="?algorithm_type=SM2").status_code == 404
    assert wechat.certificates(query="?algorithm_type=DSA").status_code == 400
