"""Somebody else's SDK talks to the simulator: that is what makes it a WeChat."""

import asyncio
from urllib.parse import urlencode

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType, core
from wechatpayv3.async_ import AsyncWeChatPay

from faceauth.simulator import people

OFFICIAL = "https://api.mch.weixin.qq.com"
SEEN = "stranger-5"


@pytest.fixture
def terms(papers):
    """The SDK's arguments, from the exported files alone."""
    return {
        "wechatpay_type": WeChatPayType.NATIVE,
        "mchid": papers["mch_id"],
        "private_key": papers.pem("merchant_key"),
        "cert_serial_no": papers["merchant_serial"],
        "apiv3_key": papers["apiv3_key"],
        "appid": papers["appid"],
        "notify_url": "https://hospital.invalid/",
    }


@pytest.fixture
def open_sdk(terms, papers, monkeypatch):
    """The blocking one; its host is written into its code, and it asks while it is made."""
    get = core.requests.get
    monkeypatch.setattr(
        core.requests,
        "get",
        lambda url, **options: get(url=url.replace(OFFICIAL, papers["v3_base_url"]), **options),
    )
    return lambda **more: WeChatPay(**{**terms, **more})


@pytest.fixture
def ask_async(terms, papers):
    """The asynchronous one, asked once; its host is an attribute it uses only when entered."""

    async def conversation(target, entered):
        sdk = AsyncWeChatPay(**terms)
        sdk._core._gate_way = papers["v3_base_url"]
        async with sdk:
            entered()
            return await sdk._core.request(target)

    return lambda target, entered=lambda: None: asyncio.run(conversation(target, entered))


@pytest.fixture
def target(simulator, papers):
    """The path and query that ask who was seen."""
    sid = simulator.meet(SEEN)
    return f"/v3/facemch/users/{sid}?info_type=ASK_REAL_NAME&appid={papers['appid']}"


def test_wechatpayv3_fetches_certificates_signs_and_verifies(open_sdk, target, simulator, name_in):
    status, body = open_sdk()._core.request(target)

    assert status == 200
    assert name_in(body) == people.find(SEEN).name
    assert simulator.requests()["certificates"] == 1


def test_wechatpayv3_verifies_with_the_public_key_alone(
    open_sdk, target, simulator, papers, name_in
):
    sdk = open_sdk(
        public_key=papers.pem("wechat_public_key"), public_key_id=papers["wechat_public_key_id"]
    )

    status, body = sdk._core.request(target)

    assert status == 200
    assert name_in(body) == people.find(SEEN).name
    assert simulator.requests()["certificates"] == 0


def test_wechatpayv3_does_not_believe_a_forged_answer(open_sdk, target, simulator):
    simulator.expect("forged", endpoint="users")

    with pytest.raises(Exception, match="verify"):
        open_sdk()._core.request(target)


def test_wechatpayv3_follows_a_rotation_of_the_certificates(open_sdk, target, simulator, name_in):
    sdk = open_sdk()
    simulator.expect("rotating", times=0)

    status, body = sdk._core.request(target)

    assert status == 200
    assert name_in(body) == people.find(SEEN).name
    assert simulator.requests()["certificates"] == 2


def test_wechatpayv3_asks_for_a_hospital_whose_key_opens_the_answer(
    open_sdk, simulator, partner, hospital, name_in
):
    sdk = open_sdk(
        mchid=partner["mch_id"],
        private_key=partner.pem("sp_key"),
        cert_serial_no=partner["sp_serial"],
        apiv3_key=partner["apiv3_key"],
        appid=partner["appid"],
        partner_mode=True,
    )
    query = urlencode(
        {
            "info_type": "ASK_REAL_NAME",
            "appid": partner["appid"],
            "sub_mchid": hospital["sub_mch_id"],
            "sub_serial_no": hospital["sub_serial_no"],
        }
    )
    sid = simulator.meet(SEEN, sub_mch_id=hospital["sub_mch_id"])

    status, body = sdk._core.request(f"/v3/facemch/users/{sid}?{query}")

    assert status == 200
    assert name_in(body, pem=hospital.pem("key")) == people.find(SEEN).name


def test_asynchronous_wechatpayv3_fetches_signs_and_verifies(ask_async, target, simulator, name_in):
    status, body = ask_async(target)

    assert status == 200
    assert name_in(body) == people.find(SEEN).name
    assert simulator.requests()["certificates"] == 1


def test_asynchronous_wechatpayv3_follows_a_rotation(ask_async, target, simulator, name_in):
    status, body = ask_async(target, lambda: simulator.expect("rotating", times=0))

    assert status == 200
    assert name_in(body) == people.find(SEEN).name
    assert simulator.requests()["certificates"] == 2


def test_asynchronous_wechatpayv3_does_not_believe_a_forged_answer(ask_async, target, simulator):
    simulator.expect("forged", endpoint="users")

    with pytest.raises(Exception, match="verify"):
        ask_async(target)
