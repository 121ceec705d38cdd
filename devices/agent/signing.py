"""Every request is signed by the terminal's own key: RFC 9421, one fixed profile."""

import secrets
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime

import httpx
from cryptography.hazmat.primitives.asymmetric import ed25519
from http_message_signatures import HTTPMessageSigner, algorithms
from http_message_signatures.resolvers import MappingKeyResolver

from devices.agent.keys import PrivateKey

# Not the authority: a TLS proxy in between may rewrite it.
COMPONENTS = ("@method", "@path", "@query", "content-digest")
TAG = "face-terminal-v1"
LABEL = "sig1"
NONCE_BYTES = 24


class TerminalAuth(httpx.Auth):
    """
    Signs the request as sent; a GET is signed with the digest of its empty body.

    `offset` (seconds) is added to the device's clock: a terminal whose battery is flat
    still signs in the server's time, once the server has told it what that is.
    """

    requires_request_body = True

    def __init__(
        self, private_key: PrivateKey, key_id: str, clock: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self.offset = 0.0
        self.use(private_key, key_id)

    def use(self, private_key: PrivateKey, key_id: str) -> None:
        """Sign with another key from the next request on."""
        is_ed25519 = isinstance(private_key, ed25519.Ed25519PrivateKey)
        self._signer = HTTPMessageSigner(
            signature_algorithm=algorithms.ED25519 if is_ed25519 else algorithms.ECDSA_P256_SHA256,
            key_resolver=MappingKeyResolver(public_keys={}, private_keys={key_id: private_key}),
        )
        self._key_id = key_id

    def now(self) -> float:
        """Return the server's time, as far as it is known, in unix seconds."""
        return self._clock() + self.offset

    def correct(self, server_time: float) -> None:
        """Sign in the server's time from now on (`server_time` in unix seconds)."""
        self.offset = server_time - self._clock()

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        self._signer.sign(
            request,
            key_id=self._key_id,
            created=datetime.fromtimestamp(self.now(), tz=UTC),
            nonce=secrets.token_urlsafe(NONCE_BYTES),
            label=LABEL,
            tag=TAG,
            covered_component_ids=COMPONENTS,
            body=request.content,
        )
        yield request
