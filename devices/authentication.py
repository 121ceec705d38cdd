"""
Which terminal signed this: HTTP Message Signatures (RFC 9421), one fixed profile.

Components exactly `@method @path @query content-digest`; tag `face-terminal-v1`; `created`
at most five minutes ago and not in the future; each `nonce` once, across processes;
`keyid` and `alg` named.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from functools import cached_property, lru_cache
from typing import Any

import structlog
from django.http import HttpRequest
from django.utils import timezone
from http_message_signatures import (
    HTTPMessageVerifier,
    HTTPSignatureComponentResolver,
    HTTPSignatureKeyResolver,
    InvalidSignature,
    algorithms,
)
from http_message_signatures.digests import ContentDigest
from http_message_signatures.exceptions import HTTPMessageSignaturesException
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from devices import activation, counting
from devices.models import Terminal, TerminalKey
from hospital.prepared import Prepared

COMPONENTS = ("@method", "@path", "@query", "content-digest")
COVERED = (*(f'"{name}"' for name in COMPONENTS), '"@signature-params"')
PARAMETERS = {"created", "keyid", "alg", "nonce", "tag"}
TAG = "face-terminal-v1"
SKEW = timedelta(seconds=300)
AHEAD = timedelta(seconds=5)  # nobody signs in the future; clocks still disagree a little
# For as long as a signature could still be fresh.
NONCE_SECONDS = int((SKEW + AHEAD).total_seconds()) + 10
SHORTEST_NONCE, LONGEST_NONCE = 16, 128  # characters
HEADERS = ("Signature-Input", "Signature", "Content-Digest")  # all a signature can be about
REMEMBERED = 1024  # public keys, parsed

ALGORITHMS = {
    TerminalKey.Algorithm.P256: algorithms.ECDSA_P256_SHA256,
    TerminalKey.Algorithm.ED25519: algorithms.ED25519,
}


class Unsigned(exceptions.NotAuthenticated):
    default_detail = "请求没有签名"
    default_code = "signature_missing"


class Missigned(exceptions.AuthenticationFailed):
    default_detail = "签名无效"
    default_code = "signature_invalid"


class UnknownKey(exceptions.AuthenticationFailed):
    default_detail = "终端密钥未登记或已吊销，请联系工作人员"
    default_code = "key_unknown"


class ClockSkew(exceptions.AuthenticationFailed):
    """Carries our time, so that the terminal can correct itself."""

    default_detail = "终端时钟与服务器不一致"
    default_code = "clock_skew"

    def __init__(self) -> None:
        super().__init__()
        self.extra = {"server_time": timezone.now().isoformat()}


class Replayed(exceptions.AuthenticationFailed):
    default_detail = "请求重复：同一签名只能使用一次"
    default_code = "nonce_reused"


class Suspended(exceptions.PermissionDenied):
    """Says why, as staff put it, for the terminal's screen."""

    default_detail = "本终端已停用，请到人工窗口办理"
    default_code = "terminal_suspended"

    def __init__(self, reason: str = "") -> None:
        said = f"本终端已停用：{reason.rstrip('。；，')}。请到人工窗口办理"
        super().__init__(said if reason else None)


_PARSER = HTTPMessageVerifier(signature_algorithm=algorithms.ED25519, key_resolver=None)


class _Verifier(HTTPMessageVerifier):
    max_clock_skew = timedelta(0)  # judged here, with a code of its own

    def _get_sig_inputs_and_signatures(self, message: "_Message", **_selection: Any) -> Any:
        return message.signatures

    def validate_created_and_expires(self, sig_input: Any, max_age: Any = None) -> None:
        created: datetime = self._parse_integer_timestamp(
            sig_input.params.get("created"), "created"
        )
        if not -AHEAD <= datetime.now(UTC) - created <= SKEW:
            raise ClockSkew
        if sig_input.params.keys() != PARAMETERS:
            raise InvalidSignature("other parameters than the profile's")


class _Components(HTTPSignatureComponentResolver):
    """The profile's four and no other, without the library's search through all there could be."""

    def __init__(self, message: "_Message") -> None:
        self._values = {
            "@method": message.method,
            "@path": message.path,
            "@query": f"?{message.query}",
            "content-digest": message.headers.get("Content-Digest"),
        }

    def resolve(self, component_node: Any) -> str:
        value = None if component_node.params else self._values.get(component_node.value)
        if value is None:
            raise InvalidSignature("not a component of the profile's")
        return value


class _Keys(HTTPSignatureKeyResolver):
    def __init__(self, public_key: str) -> None:
        self.public_key = _load(public_key)

    def resolve_public_key(self, key_id: str) -> Any:
        return self.public_key


class _Message:
    """What the verifier looks at. The authority is not signed: proxies rewrite it."""

    def __init__(self, request: HttpRequest) -> None:
        self.method = request.method or ""
        self.path, _, self.query = request.get_full_path().partition("?")
        # Not all there are: the library goes through them.
        self.headers = {name: request.headers[name] for name in HEADERS if name in request.headers}

    @cached_property
    def signatures(self) -> list[Any]:
        """Those with our tag: label, parameters and bytes of each."""
        return list(_PARSER._get_sig_inputs_and_signatures(self, expect_tag=TAG))  # noqa: SLF001


# What requests go by. Reading all there is of a terminal takes half as long again.
_IN_FORCE = Prepared(
    lambda key_id: (
        TerminalKey.objects.in_force()
        .select_related("terminal__store", "terminal__suspension")
        .only(
            "algorithm",
            "public_key",
            "terminal__serial",
            "terminal__silent_since",
            "terminal__store__code",
            "terminal__suspension__reason",
        )
        .filter(pk=key_id)
    )
)


class TerminalSignature(BaseAuthentication):
    """DRF: `request.user` becomes the terminal, `request.auth` its key."""

    def authenticate_header(self, request: Request) -> str:
        return "Signature"

    def authenticate(self, request: Request) -> tuple[Terminal, TerminalKey]:
        key = _IN_FORCE.first(named_key(request))
        if key is None:
            raise UnknownKey
        verify(request, public_key=key.public_key, algorithm=TerminalKey.Algorithm(key.algorithm))
        structlog.contextvars.bind_contextvars(terminal=str(key.terminal_id))
        return key.terminal, key


class IsTerminal(BasePermission):
    """A suspended terminal is told so on its next request."""

    def has_permission(self, request: Request, view: object) -> bool:
        terminal = terminal_of(request)
        if terminal is None:
            return False
        if hasattr(terminal, "suspension") and not getattr(view, "for_suspended", False):
            raise Suspended(terminal.suspension.reason)
        return True


def terminal_of(request: Request) -> Terminal | None:
    """Return the terminal that signed `request`, if one did."""
    user: object = request.user
    return user if isinstance(user, Terminal) else None


def named_key(request: Request) -> str:
    """
    Return the `keyid` of the one signature with our tag.

    :raises Unsigned, Missigned:
    """
    if "Signature-Input" not in request.headers or "Signature" not in request.headers:
        raise Unsigned
    try:
        found = _message(request).signatures
    except (InvalidSignature, HTTPMessageSignaturesException, ValueError):
        raise Missigned from None
    if len(found) != 1:
        raise Missigned
    key_id = found[0][1].params.get("keyid")
    if not isinstance(key_id, str):
        raise Missigned
    return key_id


def verify(request: Request, *, public_key: str, algorithm: TerminalKey.Algorithm) -> None:
    """
    Check the signature over this very request, and that it comes for the first time.

    :raises Missigned: anything about the signature or the digest is wrong
    :raises ClockSkew: made more than five minutes ago, or ahead of us
    :raises Replayed: its nonce was seen
    """
    try:
        [result] = _Verifier(
            signature_algorithm=ALGORITHMS[algorithm],
            key_resolver=_Keys(public_key),
            component_resolver_class=_Components,
        ).verify(_message(request), max_age=None, expect_tag=TAG)
        if tuple(result.covered_components) != COVERED:
            raise Missigned
        ContentDigest.verify(result.covered_components['"content-digest"'], request.body)
    except (InvalidSignature, HTTPMessageSignaturesException, ValueError):
        raise Missigned from None
    nonce = result.nonce or ""
    if not SHORTEST_NONCE <= len(nonce) <= LONGEST_NONCE:
        raise Missigned
    seen = hashlib.sha256(f"{result.parameters['keyid']} {nonce}".encode()).hexdigest()
    if not counting.is_first(f"nonce:{seen}", seconds=NONCE_SECONDS):
        raise Replayed


def _message(request: Request) -> _Message:
    """Return what was signed of `request`; taken apart once, however often it is looked at."""
    known = vars(request._request)  # noqa: SLF001
    if "signed_message" not in known:
        known["signed_message"] = _Message(request._request)  # noqa: SLF001
    message: _Message = known["signed_message"]
    return message


# By what was parsed, not by its id; whether a key is in force is read for every request.
_load = lru_cache(maxsize=REMEMBERED)(activation.load)
