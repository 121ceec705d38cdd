"""
Which hospital signed this: HTTP Message Signatures (RFC 9421), one fixed profile.

Label `sig1`; components exactly `@method @path content-digest`; tag `wechat-signing-v1`;
`created` at most five minutes ago and not in the future; `keyid`, `alg` and `nonce` named.

A nonce is not remembered. Whoever repeats a request gets the signature he has seen made
(RSASSA-PKCS1-v1_5 is deterministic), good for as long as its own timestamp and no longer.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureAlgorithm,
    InvalidSignature,
    algorithms,
)
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from http_message_signatures.resolvers import MappingKeyResolver

from faceauth.signing.configuration import Hospital
from faceauth.signing.problems import Missigned

LABEL: Final = "sig1"
TAG: Final = "wechat-signing-v1"
COMPONENTS: Final = ("@method", "@path", "content-digest")
SKEW: Final = 300  # seconds
AHEAD: Final = 5  # seconds; nobody signs in the future, clocks still disagree a little

_PARAMETERS = {"created", "keyid", "alg", "nonce", "tag"}
_ALGORITHMS = (algorithms.ED25519, algorithms.ECDSA_P256_SHA256)


@dataclass(frozen=True, slots=True)
class Signed:
    """What the signature is over. The authority is not: proxies rewrite it."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


def signer_of(
    request: Signed, *, body: bytes, hospitals: Mapping[str, Hospital], now: float
) -> Hospital:
    """
    Return the hospital whose key signed `request` and `body`, within five minutes of `now`.

    :raises Missigned: missing, profile, key, clock, invalid
    """
    if not {"signature", "signature-input", "content-digest"} <= request.headers.keys():
        raise Missigned("missing")
    for algorithm in _ALGORITHMS:
        verifier = _Verifier(algorithm, hospitals=hospitals, now=now)
        try:
            [result] = verifier.verify(
                request,
                max_age=None,
                expect_tag=TAG,
                expect_label=LABEL,
                require_components=COMPONENTS,
                body=body,
            )
        except HTTPMessageSignaturesException:
            continue  # perhaps by a key of the other kind
        if [name.strip('"') for name in result.covered_components][:-1] != list(COMPONENTS):
            raise Missigned("profile")
        return hospitals[str(result.parameters["keyid"])]
    raise Missigned("invalid")


class _Verifier(HTTPMessageVerifier):
    """Takes one algorithm, and of the keys known those that go with it."""

    max_clock_skew = timedelta(0)  # judged here, with a fact of its own

    def __init__(
        self,
        algorithm: type[HTTPSignatureAlgorithm],
        *,
        hospitals: Mapping[str, Hospital],
        now: float,
    ) -> None:
        keys = {key_id: one.public_key for key_id, one in hospitals.items()}
        super().__init__(
            signature_algorithm=algorithm,
            key_resolver=MappingKeyResolver(public_keys=keys, private_keys={}),
        )
        self._known = hospitals.keys()
        self._now = now

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        given = sig_input.params
        if given.keys() != _PARAMETERS:
            raise Missigned("profile")
        if given["keyid"] not in self._known:
            raise Missigned("key")
        if not -AHEAD <= self._now - given["created"] <= SKEW:
            raise Missigned("clock")
        if not given["nonce"]:
            raise InvalidSignature("an empty nonce")
