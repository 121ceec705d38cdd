"""Asking the simulator by hand: bytes, headers and signatures made here, not by our client."""

import base64
import functools
import hashlib
import hmac
from urllib.parse import urlencode

import httpx
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from faceauth.simulator import Simulator
from faceauth.simulator.wire import Request

NOW = 1_790_000_000
RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"
NONCE = "5K8264ILTKCH16CQ2502SI8ZNMTM67VS"
SCHEME = "WECHATPAY2-SHA256-RSA2048"


class Clock:
    """A clock that stands still unless told."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


class Asking:
    """A simulator, and somebody who asks it and hears its verdict."""

    def __init__(self):
        self.clock = Clock()
        self.simulator = Simulator.fresh(clock=self.clock)
        self.world = self.simulator.world
        self.http = httpx.Client(transport=httpx.WSGITransport(self._wsgi), base_url="http://w")
        self.reply = None

    def restart(self, folder):
        """Begin again with what is kept in `folder`."""
        self.simulator = Simulator.load(folder, clock=self.clock)
        self.world = self.simulator.world

    @property
    def verdict(self):
        return self.reply.verdict

    def authinfo(self, merchant=None, *, sign=None, key=None, **changed):
        """Ask for an authinfo; a field of None is left out."""
        merchant = merchant or self.world.direct
        fields = {**authinfo_fields(merchant), **changed}
        fields = {name: value for name, value in fields.items() if value is not None}
        kind = fields.get("sign_type", "MD5")
        signature = (sign or v2_signature)(fields, key or merchant.apiv2_key, kind)
        return self.post_xml(xml({**fields, "sign": signature}).encode())

    def post_xml(self, body):
        headers = {"Content-Type": "text/xml"}
        return self.http.post("/face/get_wxpayface_authinfo", content=body, headers=headers)

    def users(self, face_sid, merchant=None, *, headers=None, spoil=None, **changed):
        """Ask who a face_sid is; `spoil` makes the signed message a wrong one."""
        merchant = merchant or self.world.direct
        query = {"info_type": "ASK_REAL_NAME", "appid": merchant.appid, **changed}
        query = {name: value for name, value in query.items() if value is not None}
        return self.get(
            f"/v3/facemch/users/{face_sid}?{urlencode(query)}",
            merchant,
            headers=headers,
            spoil=spoil,
        )

    def hospital_users(self, face_sid, *, number=0, **changed):
        """Ask as the 服务商, for one of its hospitals."""
        hospital = self.world.partner.hospitals[number]
        query = {
            "sub_mchid": hospital.sub_mch_id,
            "sub_appid": hospital.sub_appid,
            "sub_serial_no": hospital.serial,
            **changed,
        }
        return self.users(face_sid, self.world.partner, **query)

    def certificates(self, merchant=None, *, query="", headers=None):
        return self.get(f"/v3/certificates{query}", merchant, headers=headers)

    def get(self, target, merchant=None, *, headers=None, spoil=None):
        merchant = merchant or self.world.direct
        signed = {"Authorization": authorization(target, merchant, spoil=spoil)}
        return self.http.get(target, headers={**signed, **(headers or {})})

    def _wsgi(self, environ, start_response):
        self.reply = self.simulator.reply(Request.read(environ))
        return self.reply.send(start_response)


def authinfo_fields(merchant):
    hospital = merchant.hospitals[0] if merchant.hospitals else None
    return {
        "store_id": "SIM001",
        "store_name": "门诊大厅",
        "device_id": "T-1",
        "rawdata": RAWDATA,
        "appid": merchant.appid,
        "mch_id": merchant.mch_id,
        "sub_appid": hospital and hospital.sub_appid,
        "sub_mch_id": hospital and hospital.sub_mch_id,
        "now": str(NOW),
        "version": "1",
        "nonce_str": NONCE,
        "sign_type": "HMAC-SHA256",
    }


def xml(fields):
    return f"<xml>{''.join(f'<{n}><![CDATA[{v}]]></{n}>' for n, v in fields.items())}</xml>"


def v2_signature(fields, key, kind):
    given = sorted((name, value) for name, value in fields.items() if value and name != "sign")
    message = "&".join(f"{name}={value}" for name, value in [*given, ("key", key)]).encode()
    if kind == "MD5":
        return hashlib.md5(message, usedforsecurity=False).hexdigest().upper()
    return hmac.new(key.encode(), message, "sha256").hexdigest().upper()


def authorization(target, merchant, *, spoil=None, **changed):
    items = {
        "mchid": merchant.mch_id,
        "nonce_str": NONCE,
        "timestamp": str(NOW),
        "serial_no": merchant.serial,
        **changed,
    }
    message = f"GET\n{target}\n{items['timestamp']}\n{items['nonce_str']}\n\n"
    items.setdefault("signature", rsa_signature(spoil(message) if spoil else message, merchant.key))
    return f"{SCHEME} " + ",".join(f'{name}="{value}"' for name, value in items.items())


def rsa_signature(message, key):
    made = loaded(key).sign(message.encode(), padding.PKCS1v15(), hashes.SHA256())
    return base64.b64encode(made).decode()


@functools.cache
def loaded(key):
    return load_pem_private_key(key.encode(), password=None)


def verify(response, key):
    """Return if the holder of `key` (PEM, private or certificate) signed an answer."""
    headers = response.headers
    message = f"{headers['wechatpay-timestamp']}\n{headers['wechatpay-nonce']}\n".encode()
    public = (
        x509.load_pem_x509_certificate(key.encode()).public_key()
        if "CERTIFICATE" in key
        else loaded(key).public_key()
    )
    public.verify(
        base64.b64decode(headers["wechatpay-signature"], validate=True),
        message + response.content + b"\n",
        padding.PKCS1v15(),
        hashes.SHA256(),
    )


def opened(response, key):
    """Return the plain name and number of an answer, as bytes."""
    info = response.json()["real_name_info"]
    return tuple(
        loaded(key).decrypt(base64.b64decode(info[name]), padding.PKCS1v15())
        for name in ("encrypted_real_name", "encrypted_credential_id")
    )
