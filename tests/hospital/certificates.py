"""Certificates for a test's own authority, server and client."""

import datetime as dt
import ipaddress

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = dt.timedelta(days=1)


class Authority:
    """Gives certificates; its own is in `directory`/ca.pem."""

    def __init__(self, directory, name="CA"):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(
            self.name,
            self.key.public_key(),
            [
                (x509.BasicConstraints(ca=True, path_length=None), True),
                (_usage(key_cert_sign=True, crl_sign=True), True),
            ],
            days=(-10, 10),
        )
        self.path = directory / "ca.pem"
        self.path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def give(self, name, *, purpose=None, host=None, days=(-1, 1)):
        """Return the paths of a new certificate and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        extensions = [
            (x509.BasicConstraints(ca=False, path_length=None), True),
            (_usage(digital_signature=True), True),
        ]
        if purpose:
            extensions.append((x509.ExtendedKeyUsage([purpose]), True))
        if host:
            address = x509.IPAddress(ipaddress.ip_address(host))
            extensions.append((x509.SubjectAlternativeName([address]), False))
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._signed(subject, key.public_key(), extensions, days=days)
        stem = self.directory / f"{name}-{certificate.serial_number:x}"
        paths = stem.with_suffix(".pem"), stem.with_suffix(".key")
        paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        paths[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return paths

    def server(self, host="127.0.0.1", **how):
        return self.give("server", purpose=ExtendedKeyUsageOID.SERVER_AUTH, host=host, **how)

    def client(self):
        return self.give("client", purpose=ExtendedKeyUsageOID.CLIENT_AUTH)

    def time_stamper(self, **how):
        return self.give("tsa", purpose=ExtendedKeyUsageOID.TIME_STAMPING, **how)

    def _signed(self, subject, public_key, extensions, *, days):
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + days[0] * DAY)
            .not_valid_after(now + days[1] * DAY)
        )
        for extension, is_critical in [
            *extensions,
            (x509.SubjectKeyIdentifier.from_public_key(public_key), False),
            (x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), False),
        ]:
            builder = builder.add_extension(extension, critical=is_critical)
        return builder.sign(self.key, hashes.SHA256())


def _usage(**granted):
    names = [
        "digital_signature", "content_commitment", "key_encipherment", "data_encipherment",
        "key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only",
    ]  # fmt: skip
    return x509.KeyUsage(**{name: granted.get(name, False) for name in names})
