import copy
import pickle

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hospital.crypto import known_answers, suites
from hospital.crypto.known_answers import SelfTestFailed
from hospital.crypto.suites import Key, Mac, MacKey, Suite, WrongTag

NONCE = bytes(12)


def test_every_algorithm_gives_its_published_answer():
    known_answers.self_test()


@pytest.mark.parametrize("name", ["AES-256-GCM", "SM4-GCM", "SM3", "HMAC-SM3", "HMAC-SHA256"])
def test_an_algorithm_that_gives_another_answer_is_named(monkeypatch, name):
    monkeypatch.setitem(known_answers._KNOWN_ANSWERS, name, lambda: False)

    with pytest.raises(SelfTestFailed, match=name):
        known_answers.self_test()


def test_a_cipher_that_is_wrong_one_way_fails_the_self_test(monkeypatch):
    monkeypatch.setattr(
        known_answers, "encrypt", lambda *_, **given: given["plaintext"] + bytes(16)
    )

    with pytest.raises(SelfTestFailed, match="GCM"):
        known_answers.self_test()


@given(suite=st.sampled_from(Suite), plaintext=st.binary(), aad=st.binary())
def test_what_goes_in_comes_out(suite, plaintext, aad):
    key = bytes(range(suite.key_size))

    sealed = suites.encrypt(suite, key=key, nonce=NONCE, plaintext=plaintext, aad=aad)

    opened = suites.decrypt(suite, key=key, nonce=NONCE, ciphertext=sealed, aad=aad)
    assert opened == plaintext
    assert len(sealed) == len(plaintext) + 16


@pytest.mark.parametrize("suite", Suite)
def test_a_change_of_any_byte_releases_nothing(suite):
    key = bytes(suite.key_size)
    sealed = suites.encrypt(suite, key=key, nonce=NONCE, plaintext=b"a name", aad=b"here")

    for at in range(len(sealed)):
        changed = sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]
        with pytest.raises(WrongTag):
            suites.decrypt(suite, key=key, nonce=NONCE, ciphertext=changed, aad=b"here")
    with pytest.raises(WrongTag):
        suites.decrypt(suite, key=key, nonce=NONCE, ciphertext=sealed, aad=b"there")


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("kept", [0, 4, 8, 12, 15])
def test_a_short_tag_is_no_tag(suite, kept):
    key = bytes(suite.key_size)
    sealed = suites.encrypt(suite, key=key, nonce=NONCE, plaintext=b"", aad=b"")

    with pytest.raises(WrongTag):
        suites.decrypt(suite, key=key, nonce=NONCE, ciphertext=sealed[:kept], aad=b"")


@pytest.mark.parametrize("suite", Suite)
@pytest.mark.parametrize("nonce", [b"", bytes(8), bytes(11), bytes(13), bytes(16)])
def test_a_nonce_is_twelve_bytes(suite, nonce):
    key = bytes(suite.key_size)

    with pytest.raises(ValueError, match="12 bytes"):
        suites.encrypt(suite, key=key, nonce=nonce, plaintext=b"", aad=b"")
    with pytest.raises(ValueError, match="12 bytes"):
        suites.decrypt(suite, key=key, nonce=nonce, ciphertext=bytes(16), aad=b"")


def test_an_aes_key_is_not_cut_down_for_sm4_nor_a_shorter_one_taken_for_aes():
    with pytest.raises(ValueError, match="16 bytes"):
        suites.encrypt(Suite.SM4_GCM, key=bytes(32), nonce=NONCE, plaintext=b"", aad=b"")
    with pytest.raises(ValueError, match="32 bytes"):
        suites.encrypt(Suite.AES_256_GCM, key=bytes(16), nonce=NONCE, plaintext=b"", aad=b"")


def test_a_cipher_and_its_mac_are_of_one_family():
    assert Suite.named("aes-256-gcm").mac is Mac.HMAC_SHA256
    assert Suite.named("sm4-gcm").mac is Mac.HMAC_SM3
    with pytest.raises(ValueError, match="des"):
        Suite.named("des")


def test_aes_is_the_aes_everybody_has():
    key = bytes(range(32))

    ours = suites.encrypt(Suite.AES_256_GCM, key=key, nonce=NONCE, plaintext=b"p", aad=b"a")

    assert AESGCM(key).decrypt(NONCE, ours, b"a") == b"p"


@pytest.mark.parametrize("suite", Suite)
def test_a_key_shows_itself_to_nobody(suite):
    secret = bytes(range(1, suite.key_size + 1))
    key, mac = Key(suite, secret), MacKey(suite.mac, secret)

    for held in (key, mac):
        assert secret.hex() not in repr(held) + str(held)
        assert not hasattr(held, "__dict__")
        for leave in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError, match="not pickled"):
                leave(held)


@pytest.mark.parametrize("mac", Mac)
def test_a_mac_key_gives_the_same_digest_every_time(mac):
    key = MacKey(mac, b"k" * 32)

    assert key.digest(b"a") == key.digest(b"a") == mac.digest(b"k" * 32, b"a")
    assert key.digest(b"b") != key.digest(b"a")
