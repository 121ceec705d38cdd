"""Somebody else's SDK talks to the simulator: that is what makes it a WeChat."""

import json

import pytest
from wechatpayv3 import WeChatPay, WeChatPayType, core

from faceauth.wechat import Decryptor, v3

OFFICIAL = "https://api.mch.weixin.qq.com"


@pytest.fixture
def sdk(simulator, wechat_url, tmp_path, monkeypatch):
    """wechatpayv3, set up from the exported files alone; its host is written into its code."""
    simulator.export(tmp_path, base_url=wechat_url)
    merchant = json.loads((tmp_path / "merchant.json").read_text())
    get = core.requests.get
    monkeypatch.setattr(
        core.requests,
        "get",
        lambda url, **options: get(url=url.replace(OFFICIAL, merchant["v3_base_url"]), **options),
    )
    return WeChatPay(
        wechatpay_type=WeChatPayType.NATIVE,
        mchid=merchant["mch_id"],
        private_key=(tmp_path / merchant["merchant_key_file"]).read_text(),
        cert_serial_no=merchant["merchant_serial"],
        apiv3_key=merchant["apiv3_key"],
        appid=merchant["appid"],
        notify_url="https://hospital.invalid/",
    )


def test_wechatpayv3_fetches_signs_and_verifies(sdk, simulator):
    path = f"/v3/facemch/users/{simulator.meet('stranger-5')}"
    query = f"?info_type=ASK_REAL_NAME&appid={simulator.world.appid}"

    status, body = sdk._core.request(path + query)

    assert status == 200
    mine = Decryptor.from_pem(simulator.world.merchant_key.encode())
    assert v3.identity(body.encode(), mine).real_name
    assert simulator.requests()["certificates"] == 1


def test_wechatpayv3_does_not_believe_a_forged_answer(sdk, simulator):
    simulator.expect("forged", endpoint="users")
    path = f"/v3/facemch/users/{simulator.meet('stranger-5')}"

    with pytest.raises(Exception, match="verify"):
        sdk._core.request(f"{path}?info_type=ASK_REAL_NAME&appid={simulator.world.appid}")
