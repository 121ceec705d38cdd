"""
A root key in Vault's transit engine (or OpenBao's): it is named here, and stays there.

The context is bound twice. As `associated_data`, which Vault checks; and inside what is
encrypted, which we check, so that nothing depends on how the key in Vault was set up. What is
wrapped is the text Vault answers with, `vault:v1:…`, which names the version of its key.
"""

from base64 import b64decode, b64encode
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, ClassVar, Final
from urllib.parse import quote

from cryptography.hazmat.primitives import constant_time

from hospital.crypto.providers import KeyRefused, KeyUnavailable, RootKeyExists
from hospital.crypto.providers.vault_wire import Vault

_TYPE: Final = "aes256-gcm96"
_DIGEST_SIZE: Final = 32  # bytes


@dataclass(frozen=True, kw_only=True)
class VaultProvider:
    """The transit key `key` of the engine mounted at `mount`."""

    vault: Vault
    key: str
    mount: str = "transit"
    name: ClassVar[str] = "vault"

    def create_root(self) -> None:
        """
        Make the transit key: AES-256-GCM, never exportable. Takes a token that may.

        :raises RootKeyExists: there is one
        :raises KeyUnavailable:
        """
        # A second creation is answered as the first one was: so it is asked beforehand.
        path = self._path("keys")
        if self.vault.has(path):
            raise RootKeyExists(self.key)
        self.vault.ask("POST", path, {"type": _TYPE, "exportable": False})

    def wrap(self, key: bytes, *, context: bytes) -> bytes:
        """
        Return the ciphertext as Vault writes it, in ASCII.

        :raises KeyUnavailable:
        """
        question = {"plaintext": _base64(_digest(context) + key), **_bound_to(context)}
        answer = self.vault.ask("POST", self._path("encrypt"), question)
        return _text(answer, "ciphertext").encode()

    def unwrap(self, wrapped: bytes, *, context: bytes) -> bytes:
        """
        Return the key that was wrapped for this context.

        :raises KeyUnavailable:
        :raises KeyRefused: it was wrapped by another key, or for another context
        """
        if not wrapped.isascii():
            raise KeyRefused
        question = {"ciphertext": wrapped.decode(), **_bound_to(context)}
        answer = self.vault.ask("POST", self._path("decrypt"), question)
        opened = _bytes(_text(answer, "plaintext"))
        if not constant_time.bytes_eq(opened[:_DIGEST_SIZE], _digest(context)):
            raise KeyRefused
        return opened[_DIGEST_SIZE:]

    def _path(self, verb: str) -> str:
        return f"/v1/{quote(self.mount.strip('/'))}/{verb}/{quote(self.key, safe='')}"


def _digest(context: bytes) -> bytes:
    return sha256(context).digest()


def _bound_to(context: bytes) -> dict[str, str]:
    return {"associated_data": _base64(context)}


def _text(answer: dict[str, Any], name: str) -> str:
    value = answer.get(name)
    if not isinstance(value, str) or not value.isascii():
        raise KeyUnavailable("vault: the answer is not Vault's")
    return value


def _bytes(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        raise KeyUnavailable("vault: the answer is not Vault's") from None


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
