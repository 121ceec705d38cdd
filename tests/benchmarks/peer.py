"""wechatpayv3 on the work both of us do; it can neither open this API's answer nor speak v2."""

from collections.abc import Callable

import httpx
from wechatpayv3 import core, utils

from tests.benchmarks.scene import Scene


def authorization(scene: Scene) -> Callable[[], None]:
    world, key = scene.simulator.world, scene.merchant_key

    def act() -> None:
        made = utils.build_authorization(
            scene.target, "GET", world.mch_id, world.merchant_serial, key
        )
        assert made.startswith("WECHATPAY2")

    return act


def verify(scene: Scene) -> Callable[[], None]:
    """Headers to verdict, as it does with every answer."""
    sdk, headers, body = _sdk(scene), dict(scene.headers), scene.body.decode()

    def act() -> None:
        assert sdk._verify_signature(headers, body)

    return act


def ask(scene: Scene, base_url: str) -> Callable[[], None]:
    """Sign, GET, verify."""
    sdk, target = _sdk(scene), scene.target
    sdk._gate_way = base_url  # written into its code

    def act() -> None:
        status, body = sdk.request(target)
        assert status == httpx.codes.OK
        assert "encrypted_real_name" in body

    return act


def _sdk(scene: Scene) -> core.Core:
    world = scene.simulator.world
    return core.Core(
        mchid=world.mch_id,
        cert_serial_no=world.merchant_serial,
        private_key=world.merchant_key,
        apiv3_key=world.apiv3_key,
        public_key=scene.wechat_public_pem.decode(),
        public_key_id=world.wechat_public_key_id,
    )
