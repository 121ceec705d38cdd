"""Keys and numbers: WeChat's, and those of the one merchant it knows. They outlive a restart."""

import functools
import json
import os
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

_FILE = "simulator.json"


@dataclass(frozen=True, slots=True)
class World:
    """Everything that is agreed between WeChat and the merchant, and both sides' keys."""

    mch_id: str
    appid: str
    store_id: str
    wechat_public_key_id: str
    apiv2_key: str = field(repr=False)
    apiv3_key: str = field(repr=False)
    authinfo_key: str = field(repr=False)  # hex
    merchant_key: str = field(repr=False)  # these are PEM
    merchant_certificate: str = field(repr=False)
    platform_key: str = field(repr=False)
    platform_certificate: str = field(repr=False)
    wechat_key: str = field(repr=False)

    @classmethod
    def fresh(cls) -> Self:
        """Make new secrets; the RSA keys, which are slow to make, once per process."""
        return cls(
            mch_id="1900000001",
            appid="wx0000000000000001",
            store_id="SIM001",
            wechat_public_key_id="PUB_KEY_ID_0119000000012026010100000001",
            apiv2_key=secrets.token_hex(16),
            apiv3_key=secrets.token_hex(16),
            authinfo_key=secrets.token_hex(32),
            merchant_key=key("merchant"),
            merchant_certificate=_certificate("merchant"),
            platform_key=key("platform"),
            platform_certificate=_certificate("platform"),
            wechat_key=key("wechat"),
        )

    @classmethod
    def load(cls, directory: Path) -> Self:
        """Load the world kept in `directory`, or make one and keep it there."""
        path = directory / _FILE
        if path.exists():
            return cls(**json.loads(path.read_text()))
        world = cls.fresh()
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        _keep(path, json.dumps({name: getattr(world, name) for name in cls.__slots__}))
        return world

    @property
    def merchant_serial(self) -> str:
        """The serial of the merchant's API certificate."""
        return _serial(self.merchant_certificate)

    @property
    def platform_serial(self) -> str:
        """The serial of WeChat's platform certificate."""
        return _serial(self.platform_certificate)

    def export(self, directory: Path, *, base_url: str) -> None:
        """Write what the merchant holds, as merchant.json and the PEM files it names."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        files = {
            "merchant_key_file": ("merchant_key.pem", self.merchant_key),
            "merchant_certificate_file": ("merchant_certificate.pem", self.merchant_certificate),
            "platform_certificate_file": ("platform_certificate.pem", self.platform_certificate),
            "wechat_public_key_file": ("wechat_public_key.pem", _public(self.wechat_key)),
        }
        for name, pem in files.values():
            _keep(directory / name, pem)
        merchant = {
            "mch_id": self.mch_id,
            "appid": self.appid,
            "store_id": self.store_id,
            "apiv2_key": self.apiv2_key,
            "apiv3_key": self.apiv3_key,
            "merchant_serial": self.merchant_serial,
            "platform_serial": self.platform_serial,
            "wechat_public_key_id": self.wechat_public_key_id,
            "v2_base_url": base_url,
            "v3_base_url": base_url,
            **{field_name: name for field_name, (name, _) in files.items()},
        }
        _keep(directory / "merchant.json", json.dumps(merchant, indent=2))


@functools.cache
def private_key(pem: str) -> rsa.RSAPrivateKey:
    """Load a key, once: it costs 36 ms."""
    loaded = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(loaded, rsa.RSAPrivateKey)  # noqa: S101 - this module wrote it
    return loaded


@functools.cache
def key(_owner: str) -> str:
    """Make the owner's RSA key, once per process, as PEM."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@functools.cache
def _certificate(owner: str) -> str:
    signing = private_key(key(owner))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"simulated {owner}")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signing.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2049, 12, 31, tzinfo=UTC))
        .sign(signing, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.PEM).decode()


def _serial(pem: str) -> str:
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:X}"


def _public(pem: str) -> str:
    public = private_key(pem).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def _keep(path: Path, text: str) -> None:
    """Write a file only its owner may read, whole or not at all."""
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    draft.replace(path)
