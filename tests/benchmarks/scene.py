"""Questions and their answers, asked of the simulator once and then measured many times."""

import base64
import hashlib
import hmac
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache

import httpx
import xmltodict
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from faceauth.simulator import Simulator, people

SEEN = "zhangsan"
PERSON = people.CAST[SEEN]
STORE = {"store_id": "SIM001", "store_name": "爱马哥南山店", "device_id": "T-1"}
RAWDATA = base64.b64encode(bytes(range(256)) * 2 + bytes(104)).decode()  # 616 bytes: a real one's


@dataclass(frozen=True)
class Scene:
    """Everything both sides hold, and one answer good for five minutes."""

    simulator: Simulator
    face_sid: str
    message: bytes  # as the request was signed
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    @property
    def target(self) -> str:
        return _target(self.face_sid, self.simulator)

    @property
    def merchant_key(self) -> RSAPrivateKey:
        return _private(self.simulator.world.merchant_key)

    @property
    def wechat_key(self) -> RSAPublicKey:
        """Answers are signed with WeChat's public key: every SDK takes it without a fetch."""
        return _private(self.simulator.world.wechat_key).public_key()

    @property
    def wechat_public_pem(self) -> bytes:
        return self.wechat_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)

    @property
    def signed(self) -> bytes:
        """The message WeChat signed."""
        stamp, nonce = self.headers["wechatpay-timestamp"], self.headers["wechatpay-nonce"]
        return f"{stamp}\n{nonce}\n".encode() + self.body + b"\n"

    @property
    def sealed(self) -> list[bytes]:
        """Name and number, encrypted."""
        given = json.loads(self.body)["real_name_info"]
        names = ("encrypted_real_name", "encrypted_credential_id")
        return [base64.b64decode(given[name]) for name in names]

    @property
    def raw(self) -> bytes:
        """The answer as it goes over the wire."""
        head = "".join(f"{name}: {value}\r\n" for name, value in self.headers.items())
        return f"HTTP/1.1 200 OK\r\n{head}\r\n".encode() + self.body


def play() -> Scene:
    """Let somebody be seen, and ask who it was; nothing of ours takes part but the simulator."""
    simulator = Simulator.fresh()
    return ask(simulator, simulator.meet(SEEN))


def ask(simulator: Simulator, face_sid: str) -> Scene:
    """Ask the simulator who was seen under this face_sid."""
    world = simulator.world
    stamp, nonce = int(time.time()), secrets.token_hex(16)
    message = f"GET\n{_target(face_sid, simulator)}\n{stamp}\n{nonce}\n\n".encode()
    signature = _private(world.merchant_key).sign(message, padding.PKCS1v15(), hashes.SHA256())
    items = {
        "mchid": world.mch_id,
        "nonce_str": nonce,
        "timestamp": stamp,
        "serial_no": world.merchant_serial,
        "signature": base64.b64encode(signature).decode(),
    }
    pairs = ",".join(f'{name}="{value}"' for name, value in items.items())
    with httpx.Client(transport=httpx.WSGITransport(app=simulator)) as http:
        answer = http.get(
            f"http://simulator{_target(face_sid, simulator)}",
            headers={
                "Accept": "application/json",
                "Authorization": f"WECHATPAY2-SHA256-RSA2048 {pairs}",
                "Wechatpay-Serial": world.wechat_public_key_id,
            },
        )
    answer.raise_for_status()
    headers = {**answer.headers, "content-length": str(len(answer.content))}
    return Scene(simulator, face_sid, message, headers, answer.content)


@dataclass(frozen=True)
class Talk:
    """A request for an authinfo by its fields, and what came back."""

    key: str
    fields: Mapping[str, str]
    body: bytes

    @property
    def question(self) -> bytes:
        """What is signed of the request."""
        return _joined(self.fields, self.key)

    @property
    def answer(self) -> bytes:
        """What is signed of the answer."""
        return _joined(xmltodict.parse(self.body)["xml"], self.key)


def talk() -> Talk:
    """Ask for an authinfo; nothing of ours takes part but the simulator."""
    simulator = Simulator.fresh()
    world = simulator.world
    fields = {
        **STORE,
        "rawdata": RAWDATA,
        "appid": world.appid,
        "mch_id": world.mch_id,
        "now": str(int(time.time())),
        "version": "1",
        "nonce_str": secrets.token_hex(16),
        "sign_type": "HMAC-SHA256",
    }
    message = _joined(fields, world.apiv2_key)
    sign = hmac.new(world.apiv2_key.encode(), message, hashlib.sha256).hexdigest().upper()
    with httpx.Client(transport=httpx.WSGITransport(app=simulator)) as http:
        answer = http.post(
            "http://simulator/face/get_wxpayface_authinfo",
            content=xmltodict.unparse({"xml": {**fields, "sign": sign}}).encode(),
            headers={"Content-Type": "application/xml; charset=utf-8"},
        )
    answer.raise_for_status()
    assert b"SUCCESS" in answer.content, answer.text
    return Talk(world.apiv2_key, fields, answer.content)


def _joined(fields: Mapping[str, str], key: str) -> bytes:
    given = sorted((name, value) for name, value in fields.items() if value and name != "sign")
    return f"{'&'.join(f'{name}={value}' for name, value in given)}&key={key}".encode()


def _target(face_sid: str, simulator: Simulator) -> str:
    query = f"info_type=ASK_REAL_NAME&appid={simulator.world.appid}"
    return f"/v3/facemch/users/{face_sid}?{query}"


@cache
def _private(pem: str) -> RSAPrivateKey:
    key = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(key, RSAPrivateKey)
    return key
