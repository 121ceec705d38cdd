"""
The ciphers and MACs a value may be sealed with, and the proof that they work here.

Pure: bytes to bytes, no framework. Nonces are always 12 bytes and tags always 16,
because the library underneath would also accept shorter ones.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import Final, Self

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import constant_time
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, SM3, Hash, HashAlgorithm
from cryptography.hazmat.primitives.hmac import HMAC

NONCE_SIZE: Final = 12  # bytes
TAG_SIZE: Final = 16  # bytes
MAC_SIZE: Final = 32  # bytes, of either MAC; also the size of a MAC key we make


class WrongTag(Exception):
    """The ciphertext, its associated data or the key is not what it was when it was made."""


class SelfTestFailed(Exception):
    """An algorithm does not give its published answer on this machine."""


class Mac(IntEnum):
    """A keyed digest; the number is stored beside the keys made for it."""

    HMAC_SHA256 = 1
    HMAC_SM3 = 2

    def digest(self, key: bytes, data: bytes) -> bytes:
        """Return the 32-byte MAC of `data`."""
        mac = HMAC(key, SM3() if self is Mac.HMAC_SM3 else SHA256())
        mac.update(data)
        return mac.finalize()


class Suite(IntEnum):
    """An AEAD; the number is the third byte of every sealed value."""

    AES_256_GCM = 1
    SM4_GCM = 2

    @classmethod
    def named(cls, name: str) -> Self:
        """
        Return the suite a configuration calls `aes-256-gcm` or `sm4-gcm`.

        :raises ValueError: there is no such suite
        """
        try:
            return cls[name.upper().replace("-", "_")]
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


def encrypt(suite: Suite, *, key: bytes, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """
    Return ciphertext ‖ 16-byte tag.

    :raises ValueError: the key or nonce has the wrong length
    """
    _measure(suite, key, nonce)
    if suite is Suite.AES_256_GCM:
        return AESGCM(key).encrypt(nonce, plaintext, aad)
    encryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    encryptor.authenticate_additional_data(aad)
    return encryptor.update(plaintext) + encryptor.finalize() + encryptor.tag


def decrypt(suite: Suite, *, key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    """
    Return the plaintext of ciphertext ‖ tag, once the tag has been found right.

    :raises ValueError: the key or nonce has the wrong length
    :raises WrongTag: nothing of the plaintext may be used
    """
    _measure(suite, key, nonce)
    if len(ciphertext) < TAG_SIZE:
        raise WrongTag
    try:
        if suite is Suite.AES_256_GCM:
            return AESGCM(key).decrypt(nonce, ciphertext, aad)
        return _decrypt_sm4(key, nonce, ciphertext, aad)
    except InvalidTag:
        raise WrongTag from None


def self_test() -> None:
    """
    Compare every algorithm with its published answer.

    :raises SelfTestFailed: with the name of the algorithm
    """
    for name, test in _KNOWN_ANSWERS.items():
        try:
            passed = test()
        except (UnsupportedAlgorithm, WrongTag) as exc:
            raise SelfTestFailed(name) from exc
        if not passed:
            raise SelfTestFailed(name)


def _measure(suite: Suite, key: bytes, nonce: bytes) -> None:
    if len(key) != suite.key_size:
        raise ValueError(f"{suite.name} takes a key of {suite.key_size} bytes")
    if len(nonce) != NONCE_SIZE:
        raise ValueError(f"a nonce is {NONCE_SIZE} bytes")


def _decrypt_sm4(key: bytes, nonce: bytes, ciphertext: bytes, aad: bytes) -> bytes:
    body, tag = ciphertext[:-TAG_SIZE], ciphertext[-TAG_SIZE:]
    decryptor = Cipher(algorithms.SM4(key), modes.GCM(nonce, tag)).decryptor()
    decryptor.authenticate_additional_data(aad)
    # update() already yields plaintext; it only leaves here after finalize() checked the tag.
    unverified = decryptor.update(body)
    return unverified + decryptor.finalize()


# Published answers.

_KNOWN_AAD = bytes.fromhex("feedfacedeadbeeffeedfacedeadbeefabaddad2")


def _aes_256_gcm() -> bool:
    # McGrew and Viega, The Galois/Counter Mode of Operation, appendix B, test case 16.
    return _both_ways(
        Suite.AES_256_GCM,
        key="feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        nonce="cafebabefacedbaddecaf888",
        plaintext=(
            "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
            "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39"
        ),
        ciphertext=(
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b"
        ),
    )


def _sm4_gcm() -> bool:
    # https://www.rfc-editor.org/rfc/rfc8998#appendix-A.1
    return _both_ways(
        Suite.SM4_GCM,
        key="0123456789abcdeffedcba9876543210",
        nonce="00001234567800000000abcd",
        plaintext="".join(letter * 16 for letter in "abcdefea"),
        ciphertext=(
            "17f399f08c67d5ee19d0dc9969c4bb7d5fd46fd3756489069157b282bb200735"
            "d82710ca5c22f0ccfa7cbf93d496ac15a56834cbcf98c397b4024a2691233b8d"
            "83de3541e4c2b58177e065a9bf7b62ec"
        ),
    )


def _sm3() -> bool:
    # GB/T 32905-2016, appendix A.1.
    return _digest(SM3(), b"abc") == bytes.fromhex(
        "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    )


def _hmac_sm3() -> bool:
    # GM/T 0042-2015, appendix D.3, as in intel/intel-ipsec-mb:test/kat-app/hmac_sm3.json.c
    message = b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq" * 2
    return constant_time.bytes_eq(
        Mac.HMAC_SM3.digest(bytes(range(1, 33)), message),
        bytes.fromhex("ca05e144ed05d1857840d1f318a4a8669e559fc8391f414485bfdf7bb408963a"),
    )


def _hmac_sha256() -> bool:
    # https://www.rfc-editor.org/rfc/rfc4231#section-4.3
    return constant_time.bytes_eq(
        Mac.HMAC_SHA256.digest(b"Jefe", b"what do ya want for nothing?"),
        bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    )


_KNOWN_ANSWERS: Final[dict[str, Callable[[], bool]]] = {
    "AES-256-GCM": _aes_256_gcm,
    "SM4-GCM": _sm4_gcm,
    "SM3": _sm3,
    "HMAC-SM3": _hmac_sm3,
    "HMAC-SHA256": _hmac_sha256,
}


def _both_ways(suite: Suite, *, key: str, nonce: str, plaintext: str, ciphertext: str) -> bool:
    k, n, p, c = (bytes.fromhex(part) for part in (key, nonce, plaintext, ciphertext))
    sealed = encrypt(suite, key=k, nonce=n, plaintext=p, aad=_KNOWN_AAD)
    opened = decrypt(suite, key=k, nonce=n, ciphertext=c, aad=_KNOWN_AAD)
    return sealed == c and opened == p


def _digest(algorithm: HashAlgorithm, data: bytes) -> bytes:
    digest = Hash(algorithm)
    digest.update(data)
    return digest.finalize()
