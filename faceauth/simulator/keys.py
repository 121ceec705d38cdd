"""RSA keys and certificates of everybody in the simulator, as PEM."""

import functools
from datetime import UTC, datetime

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

BEGIN, END = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 12, 31, tzinfo=UTC)


@functools.cache
def private_key(pem: str) -> rsa.RSAPrivateKey:
    """Load a key, once: it costs 36 ms."""
    loaded = load_pem_private_key(pem.encode(), password=None)
    assert isinstance(loaded, rsa.RSAPrivateKey)  # noqa: S101 - this module wrote it
    return loaded


@functools.cache
def key(_owner: str) -> str:
    """Make the owner's RSA key, once per process."""
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


@functools.cache
def certificate(owner: str, *, end: datetime = END) -> str:
    """Make the owner's certificate, once per process, valid from 2020 to `end`."""
    signing = private_key(key(owner))
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, f"simulated {owner}")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(signing.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .sign(signing, hashes.SHA256())
    )
    return made.public_bytes(Encoding.PEM).decode()


@functools.cache
def serial(pem: str) -> str:
    """Return the serial of a certificate, as WeChat writes it."""
    return f"{x509.load_pem_x509_certificate(pem.encode()).serial_number:X}"


def is_serial(given: str, pem: str) -> bool:
    """Return whether `given` is the serial of a certificate; tools differ on a leading zero."""
    return given.upper().lstrip("0") == serial(pem)


def end(pem: str) -> datetime:
    """Return when a certificate ends."""
    return x509.load_pem_x509_certificate(pem.encode()).not_valid_after_utc


def public_key(pem: str) -> str:
    """Return the public half of a private key."""
    public = private_key(pem).public_key()
    return public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
