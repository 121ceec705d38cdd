"""The floor: `cryptography` and `httpx` doing what must be done, and not one thing more."""

import base64
import hashlib
import hmac
from collections.abc import Callable

import httpx
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from tests.benchmarks.scene import PERSON, Scene


class Floor:
    """Messages made, base64 undone, keys loaded beforehand; `base_url` is asked by query()."""

    def __init__(self, scene: Scene, base_url: str = "") -> None:
        self._merchant, self._wechat = scene.merchant_key, scene.wechat_key
        self._message, self._signed, self._sealed = scene.message, scene.signed, scene.sealed
        self._signature = base64.b64decode(scene.headers["wechatpay-signature"])
        self._url = base_url + scene.target
        # The headers that must be sent, with a signature as long as one.
        self._headers = {
            "Accept": "application/json",
            "Authorization": f"WECHATPAY2-SHA256-RSA2048 {'x' * 550}",
            "Wechatpay-Serial": scene.simulator.world.wechat_public_key_id,
        }
        self.http = httpx.Client(trust_env=False)
        self.async_http = httpx.AsyncClient(trust_env=False)

    def sign(self) -> bytes:
        return self._merchant.sign(self._message, padding.PKCS1v15(), hashes.SHA256())

    def verify(self) -> None:
        self._wechat.verify(self._signature, self._signed, padding.PKCS1v15(), hashes.SHA256())

    def decrypt(self) -> None:
        name, number = (self._merchant.decrypt(one, padding.PKCS1v15()) for one in self._sealed)
        assert name.decode() == PERSON.name
        assert number.decode() == PERSON.document_number

    def get(self) -> None:
        assert self.http.get(self._url, headers=self._headers).status_code == httpx.codes.OK

    def query(self) -> None:
        self.sign()
        self.get()
        self.verify()
        self.decrypt()

    async def async_query(self) -> None:
        self.sign()
        answer = await self.async_http.get(self._url, headers=self._headers)
        assert answer.status_code == httpx.codes.OK
        self.verify()
        self.decrypt()


def digest(message: bytes, key: str) -> Callable[[], str]:
    """Return the one HMAC of a v2 message, or of a blind index."""
    return lambda: hmac.new(key.encode(), message, hashlib.sha256).hexdigest()
