"""
The ciphers and MACs a value may be sealed with.

Pure: bytes to bytes, no framework. Nonces are always 12 bytes and tags always 16,
because the library underneath would also accept shorter ones.
"""

from enum import IntEnum
from typing import Final, NoReturn, Protocol, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SM3
from cryptography.hazmat.primitives.hmac import HMAC

NONCE_SIZE: Final = 12  # bytes
TAG_SIZE: Final = 16  # bytes
MAC_SIZE: Final = 32  # bytes, of either MAC; also the size of a MAC key we make


class WrongTag(Exception):
    """The ciphertext, its associated data or the key is not what it was when it was made."""


class Mac(IntEnum):
    """A keyed digest; the number is stored beside the keys made for it."""

    HMAC_SHA256 = 1
    HMAC_SM3 = 2

    def digest(self, key: bytes, data: bytes) -> bytes:
        """Return the 32-byte MAC of `data`."""
        mac = HMAC(key, self.hash)
        mac.update(data)
        return mac.finalize()

    @property
    def hash(self) -> SHA256 | SM3:
        return SM3() if self is Mac.HMAC_SM3 else SHA256()


class Suite(IntEnum):
    """An AEAD; the number is the third byte of every sealed value."""

    AES_256_GCM = 1
    SM4_GCM = 2

    @classmethod
    def named(cls, name: str) -> Self:
        """
        Return the suite a configuration calls `aes-256-gcm` or `sm4-gcm`, in short `sm4`.

        :raises ValueError: there is no such suite
        """
        try:
            return cls[name.upper().removesuffix("-GCM").replace("-", "_") + "_GCM"]
        except KeyError:
            raise ValueError(f"no suite is called {name!r}") from None

    @property
    def key_size(self) -> int:
        """Bytes in a key. An SM4 key is made as 16 bytes, never cut from a longer one."""
        return 16 if self is Suite.SM4_GCM else 32

    @property
    def mac(self) -> Mac:
        """The MAC of the same family."""
        return Mac.HMAC_SM3 if self is Suite.SM4_GCM else Mac.HMAC_SHA256


class MacKey:
    """A MAC with its key set up once: a second digest costs a third of the first."""

    __slots__ = ("_keyed", "algorithm")

    def __init__(self, algorithm: Mac, key: bytes) -> None:
        self.algorithm = algorithm
        self._keyed = HMAC(key, algorithm.hash)

    def digest(self, data: bytes) -> bytes:
        """Return the 32-byte MAC of `data`."""
        mac = self._keyed.copy()
        mac.update(data)
        return mac.finalize()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled")


class _Aead(Protocol):
    def encrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes: ...

    def decrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes: ...


class Key:
    """
    A key set up once for its cipher; it shows itself to nobody.

    :raises ValueError: the key has the wrong length
    """

    __slots__ = ("bare_decrypt", "bare_encrypt", "suite")

    def __init__(self, suite: Suite, key: bytes) -> None:
        if len(key) != suite.key_size:
            raise ValueError(f"{suite.name} takes a key of {suite.key_size} bytes")
        self.suite = suite
        aead: _Aead = AESGCM(key) if suite is Suite.AES_256_GCM else _SM4GCM(key)
        # For `sealing`, which is sure of the sizes; what does not open is the library's InvalidTag.
        self.bare_encrypt, self.bare_decrypt = aead.encrypt, aead.decrypt

    def encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """
        Return ciphertext ‖ 16-byte tag.

        :raises ValueError: the nonce has the wrong length
        """
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"a nonce is {NONCE_SIZE} bytes")
        return self.bare_encrypt(nonce, plaintext, aad)

    def decrypt(self, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
        """
        Return the plaintext of ciphertext ‖ tag, once the tag has been found right.

        :raises ValueError: the nonce has the wrong length
        :raises WrongTag: nothing of the plaintext may be used
        """
        if len(nonce) != NONCE_SIZE:
            raise ValueError(f"a nonce is {NONCE_SIZE} bytes")
        if len(ciphertext) < TAG_SIZE:
            raise WrongTag
        try:
            return self.bare_decrypt(nonce, ciphertext, aad)
        except InvalidTag:
            raise WrongTag from None

    def __reduce__(self) -> NoReturn:
        raise TypeError("a key is not pickled")


class _SM4GCM:
    """SM4 in the library's streaming interface, made to look like its AESGCM (RFC 8998 2)."""

    __slots__ = ("_cipher",)

    def __init__(self, key: bytes) -> None:
        self._cipher = algorithms.SM4(key)

    def encrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        encryptor = Cipher(self._cipher, modes.GCM(nonce)).encryptor()
        encryptor.authenticate_additional_data(aad)
        return encryptor.update(data) + encryptor.finalize() + encryptor.tag

    def decrypt(self, nonce: bytes, data: bytes, aad: bytes) -> bytes:
        body, tag = data[:-TAG_SIZE], data[-TAG_SIZE:]
        decryptor = Cipher(self._cipher, modes.GCM(nonce, tag)).decryptor()
        decryptor.authenticate_additional_data(aad)
        # update() already yields plaintext; it only leaves here after finalize() checked the tag.
        unverified = decryptor.update(body)
        return unverified + decryptor.finalize()


def encrypt(suite: Suite, *, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """
    Return ciphertext ‖ 16-byte tag, with a key that is used once.

    :raises ValueError: the key or nonce has the wrong length
    """
    return Key(suite, key).encrypt(nonce, plaintext, aad)


def decrypt(suite: Suite, *, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """
    Return the plaintext of ciphertext ‖ tag, once the tag has been found right.

    :raises ValueError: the key or nonce has the wrong length
    :raises WrongTag: nothing of the plaintext may be used
    """
    return Key(suite, key).decrypt(nonce, ciphertext, aad)
