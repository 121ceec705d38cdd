"""
Time stamps: an authority says that it saw a note, and when (RFC 3161).

The stamp is over the whole text of the note, its signatures included, so `openssl ts -verify -data`
checks it with nothing but the note, the receipt and the authority's certificate.
"""

import asyncio
import base64
import binascii
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from hospital.audit.anchors import Away, BadReceipt
from hospital.audit.checkpoint import Note

NAME: Final = "rfc3161"
PATIENCE: Final = 5.0  # seconds for the whole exchange
SKEW: Final = timedelta(minutes=5)  # between the authority's clock and ours
LARGEST: Final = 64 * 1024  # octets of an answer; one with its certificates has some 6,000

_PORTS: Final = {"http": 80, "https": 443}

Certificates = Sequence[x509.Certificate]


@dataclass(frozen=True)
class TimeStamps:
    """
    A time-stamp authority at a URL.

    :param roots: certificates its own has to chain to
    :param permit: told host and port, says whether they may be connected to
    """

    url: str
    roots: Certificates
    name: str = NAME
    permit: Callable[[str, int], bool] = lambda _host, _port: True

    def anchor(self, note: Note, *, now: datetime) -> str:
        """
        Return its time stamp of a note: DER of the whole answer, base64.

        :raises Away: also if it stamped another time than `now`: to be certified with an old key
        """
        text = str(note).encode()
        request = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).build()
        answer = asyncio.run(self._asked(request.as_bytes()))
        try:
            stamped_at = _checked(
                answer, hashlib.sha256(text).digest(), self.roots, nonce=request.nonce
            )
        except BadReceipt as exc:
            raise Away(str(exc)) from None
        if abs(stamped_at - now) > SKEW:
            raise Away("another time")
        return base64.b64encode(answer).decode()

    async def _asked(self, request: bytes) -> bytes:
        """:raises Away:"""
        url = httpx.URL(self.url)
        if not self.permit(url.host, url.port or _PORTS.get(url.scheme, 0)):
            raise Away("egress")
        try:
            # httpx knows deadlines for each read only, and every octet would begin another.
            async with asyncio.timeout(PATIENCE):
                return await self._answered(request)
        except TimeoutError:
            raise Away("too slow") from None
        except httpx.HTTPError as exc:
            raise Away(type(exc).__name__) from None

    async def _answered(self, request: bytes) -> bytes:
        headers = {
            "Content-Type": "application/timestamp-query",
            "Accept-Encoding": "identity",
        }
        content = b""
        async with (
            httpx.AsyncClient(
                timeout=2 * PATIENCE, trust_env=False, follow_redirects=False
            ) as http,
            http.stream("POST", self.url, content=request, headers=headers) as answer,
        ):
            if answer.status_code != httpx.codes.OK:
                raise Away(f"HTTP {answer.status_code}")
            async for part in answer.aiter_raw():
                content += part
                if len(content) > LARGEST:
                    raise Away("too much")
        return content


def verify(receipt: str, note: Note, roots: Certificates) -> datetime:
    """
    Return when the authority saw a note.

    The certificates have to be valid at that time, not today. A witness may have signed the note
    after it was stamped, so the stamp may be over its first signatures only.

    :raises BadReceipt:
    """
    try:
        answer = base64.b64decode(receipt, validate=True)
    except (binascii.Error, ValueError):
        raise BadReceipt("not base64") from None
    digests = {hashlib.sha256(str(one).encode()).digest() for one in _stages(note)}
    stamped = _read(answer).tst_info.message_imprint.message
    if stamped not in digests:
        raise BadReceipt("of something else")
    return _checked(answer, stamped, roots)


def certificates(path: Path) -> Certificates:
    """
    Return the certificates in a PEM file.

    :raises OSError:
    :raises ValueError: there is none, or one is damaged
    """
    return x509.load_pem_x509_certificates(path.read_bytes())


def _stages(note: Note) -> Iterator[Note]:
    for count in range(1, len(note.signatures) + 1):
        yield Note(note.body, note.signatures[:count])


def _checked(
    answer: bytes, digest: bytes, roots: Certificates, *, nonce: int | None = None
) -> datetime:
    """:raises BadReceipt:"""
    read = _read(answer)
    builder = VerifierBuilder(roots=list(roots), nonce=nonce)
    try:
        builder.build().verify(read, digest)
    except (VerificationError, ValueError) as exc:
        raise BadReceipt(_reason(exc)) from None
    return read.tst_info.gen_time


def _read(answer: bytes) -> TimeStampResponse:
    """:raises BadReceipt:"""
    try:
        read = decode_timestamp_response(answer)
        _ = read.tst_info  # an answer that refuses has none
    except (VerificationError, ValueError) as exc:
        raise BadReceipt(_reason(exc)) from None
    return read


def _reason(exc: Exception) -> str:
    """Return what the library says; it quotes no more than words of ASN.1 and of OpenSSL."""
    return str(exc)[:200]
