"""
Security keys: what a browser is asked, and whether what a key answered is right (WebAuthn 2).

allauth's tables keep them. The judging is here: allauth's takes any port and subdomain of ours,
algorithms nobody offered, and a key that counts backwards.
"""

import json
import struct
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

from allauth.core import context
from allauth.mfa.adapter import get_adapter
from allauth.mfa.models import Authenticator
from allauth.mfa.webauthn.internal import auth as webauthn
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from fido2.cose import CoseKey
from fido2.server import Fido2Server
from fido2.utils import websafe_decode
from fido2.webauthn import (
    AttestedCredentialData,
    AuthenticationResponse,
    PublicKeyCredentialRpEntity,
    RegistrationResponse,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from hospital.accounts.models import Staff

_ASKED: Final = "keys_asked"  # in a session: what was asked and is not answered
_AT_ONCE: Final = 3  # of them: people have several tabs open
_LONGEST: Final = 16 * 1024  # characters of an answer; a key's has some 1 500
_ALGORITHM: Final = 3  # the label of a COSE key's (RFC 9052, 7.1)
# What a browser sends may be anything, and the libraries fail on it in as many ways.
_FAILURES: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NotImplementedError,
    RecursionError,
    TypeError,
    UnsupportedAlgorithm,
    ValueError,
    struct.error,
)


class Unproven(Exception):
    """It answers nothing that was asked here, or not as one of their keys would."""


def read(text: str) -> Any:
    """
    Return what a browser's script sent.

    :raises ValueError: nothing a browser sends
    """
    if len(text) > _LONGEST:
        raise ValueError("too long")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("too deep") from None


def ask_to_bind(person: Staff, bound: Iterable[Authenticator]) -> str:
    """Return what a browser is to ask a new key, which is none of those bound already."""
    options, state = _server().register_begin(
        user=webauthn.build_user_payload(person),
        credentials=[_held(one) for one in bound],
        resident_key_requirement=ResidentKeyRequirement.DISCOURAGED,
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    _remember(state)
    return json.dumps(dict(options))


def ask_to_prove(bound: Iterable[Authenticator]) -> str:
    """Return what a browser is to ask one of somebody's keys."""
    options, state = _server().authenticate_begin(
        credentials=[_held(one) for one in bound],
        user_verification=UserVerificationRequirement.PREFERRED,
    )
    _remember(state)
    return json.dumps(dict(options))


def bound(answer: Any) -> int:
    """
    Return how often a new key has signed; each question is answered once.

    :raises Unproven:
    """
    with _judged():
        said = RegistrationResponse.from_dict(answer)
        server = _server()
        made = server.register_complete(_asked(said.response.client_data.challenge), said)
        if made.credential_data is None:
            raise Unproven
        key = made.credential_data.public_key
        if key[_ALGORITHM] not in {offered.alg for offered in server.allowed_algorithms}:
            raise Unproven
        _try(key)
        return int(made.counter)


def proven(answer: Any, candidates: Iterable[Authenticator]) -> tuple[Authenticator, int]:
    """
    Return whose signature it is, of `candidates`, and how often that key says it has signed.

    :raises Unproven:
    """
    held = [(_held(one), one) for one in candidates]
    with _judged():
        said = AuthenticationResponse.from_dict(answer)
        state = _asked(said.response.client_data.challenge)
        found = _server().authenticate_complete(state, [key for key, _ in held], said)
        whose = next(one for key, one in held if key.credential_id == found.credential_id)
        return whose, int(said.response.authenticator_data.counter)


def _try(key: CoseKey) -> None:
    """Fail now on a key that no signature could be checked with, rather than at each login."""
    with suppress(InvalidSignature):
        key.verify(b"", b"")


def _held(one: Authenticator) -> AttestedCredentialData:
    held: AttestedCredentialData = one.wrap().authenticator_data.credential_data
    return held


def _server() -> Fido2Server:
    party = PublicKeyCredentialRpEntity(**get_adapter().get_public_key_credential_rp_entity())
    return Fido2Server(party, verify_origin=_is_ours())


def _is_ours() -> Callable[[str], bool]:
    """One origin only: whatever else runs on this machine or under this name is not us."""
    ours = f"{context.request.scheme}://{context.request.get_host()}"
    return lambda origin: origin == ours


def _remember(state: Any) -> None:
    session = context.request.session
    session[_ASKED] = [*session.get(_ASKED, []), state][-_AT_ONCE:]


def _asked(challenge: bytes) -> Any:
    """Return what was asked with this challenge; from now on it is answered."""
    session = context.request.session
    asked = session.get(_ASKED, [])
    for state in asked:
        if websafe_decode(state["challenge"]) == challenge:
            session[_ASKED] = [one for one in asked if one is not state]
            return state
    raise Unproven


@contextmanager
def _judged() -> Iterator[None]:
    try:
        yield
    except _FAILURES:
        raise Unproven from None
