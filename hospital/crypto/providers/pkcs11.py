"""
A root key in a token that does not let it go: AES-256, wrapping by AES-GCM on the token.

The key is made there, is sensitive and not extractable, and encrypts and decrypts, nothing else.
What is wrapped reads nonce 12 ‖ ciphertext ‖ tag 16.
"""

import os
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

import pkcs11
from pkcs11 import Attribute, GCMParams, KeyType, Mechanism, MechanismFlag, ObjectClass

from hospital.crypto.providers import KeyRefused, KeyUnavailable, RootKeyExists
from hospital.crypto.providers.tokens import Token
from hospital.crypto.suites import NONCE_SIZE, TAG_SIZE

if TYPE_CHECKING:
    from collections.abc import Iterator

T = TypeVar("T")
_Key = Any  # the library puts its class together from what the token lets the key do

_BITS: Final = 256
_CAPTIVE: Final = {
    Attribute.PRIVATE: True,
    Attribute.SENSITIVE: True,
    Attribute.EXTRACTABLE: False,
}

_EXPECTED: Final = (
    Attribute.ALWAYS_SENSITIVE,
    Attribute.NEVER_EXTRACTABLE,
    Attribute.ENCRYPT,
    Attribute.DECRYPT,
)


@dataclass(frozen=True, kw_only=True)
class Pkcs11Provider:
    """The secret key labelled `key` on `token`."""

    token: Token
    key: str
    name: ClassVar[str] = "pkcs11"

    def create_root(self) -> None:
        """
        Make the root key, on the token.

        :raises RootKeyExists: there is one; with another one beside it neither would be used
        :raises KeyUnavailable:
        """
        with self._saying_why():
            self.token.use(self._generate, writing=True)

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """
        Return nonce 12 ‖ ciphertext ‖ tag 16, made on the token.

        :raises KeyUnavailable:
        """
        return self._use(lambda root: _encrypt(root, key, context))

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """
        Return the key that was wrapped for this context.

        :raises KeyUnavailable:
        :raises KeyRefused: it was wrapped by another key, or for another context
        """
        if len(wrapped) < NONCE_SIZE + TAG_SIZE:
            raise KeyRefused
        return self._use(lambda root: _decrypt_or_refuse(root, wrapped, context))

    def _use(self, act: Callable[[_Key], T]) -> T:
        with self._saying_why():
            return self.token.use(lambda session: act(self._root(session)))

    def _root(self, session: pkcs11.Session) -> _Key:
        _require(session, Mechanism.AES_GCM)
        roots = self._labelled(session)
        if not roots:
            raise KeyUnavailable(f"no key on the token is labelled {self.key!r}: createrootkey")
        if len(roots) > 1:
            raise KeyUnavailable(f"more than one key on the token is labelled {self.key!r}")
        if not _is_captive(roots[0]):
            raise KeyUnavailable(f"key {self.key!r}: not an AES-256 key that never left its token")
        return roots[0]

    def _labelled(self, session: pkcs11.Session) -> list[_Key]:
        wanted = {Attribute.CLASS: ObjectClass.SECRET_KEY, Attribute.LABEL: self.key}
        return list(session.get_objects(wanted))

    def _generate(self, session: pkcs11.Session) -> None:
        _require(session, Mechanism.AES_KEY_GEN, Mechanism.AES_GCM)
        if self._labelled(session):
            raise RootKeyExists(self.key)
        session.generate_key(
            KeyType.AES,
            _BITS,
            label=self.key,
            store=True,
            capabilities=MechanismFlag.ENCRYPT | MechanismFlag.DECRYPT,
            template=_CAPTIVE,
        )

    @contextmanager
    def _saying_why(self) -> "Iterator[None]":
        try:
            yield
        except pkcs11.PKCS11Error as exc:
            fact = f"token {self.token.label!r}: {type(exc).__name__}"
            raise KeyUnavailable(fact) from None


def _is_captive(key: _Key) -> bool:
    return (
        key.key_type is KeyType.AES
        and key.key_length == _BITS
        and all(key[one] for one in _EXPECTED)
    )


def _require(session: pkcs11.Session, *mechanisms: Mechanism) -> None:
    missing = set(mechanisms) - session.token.slot.get_mechanisms()
    if missing:
        names = ", ".join(sorted(f"CKM_{one.name}" for one in missing))
        raise KeyUnavailable(f"token {session.token.label!r} lacks a mechanism it needs: {names}")


def _encrypt(root: _Key, key: bytes, context: bytes) -> bytes:
    nonce = os.urandom(NONCE_SIZE)
    return nonce + _gcm(root.encrypt, nonce, context)(key)


def _decrypt(root: _Key, wrapped: bytes, context: bytes) -> bytes:
    return _gcm(root.decrypt, wrapped[:NONCE_SIZE], context)(wrapped[NONCE_SIZE:])


def _decrypt_or_refuse(root: _Key, wrapped: bytes, context: bytes) -> bytes:
    try:
        return _decrypt(root, wrapped, context)
    except pkcs11.PKCS11Error:
        # Tokens call a wrong tag many things, CKR_GENERAL_ERROR among them. One that opens what
        # it wrapped this moment is well: then it is this value that it refuses.
        _decrypt(root, _encrypt(root, bytes(_BITS // 8), context), context)
    raise KeyRefused


def _gcm(operation: Callable[..., bytes], nonce: bytes, context: bytes) -> Callable[[bytes], bytes]:
    parameters = GCMParams(nonce, context, TAG_SIZE * 8)
    return partial(operation, mechanism=Mechanism.AES_GCM, mechanism_param=parameters)
