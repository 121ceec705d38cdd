"""What the web posts to the worker: read there, for one purpose, and nowhere else."""

import errno
import hashlib
import hmac
import stat

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from django.core.management import call_command
from django.core.management.base import CommandError

from hospital.crypto import letterbox

INFO = b"merchant-key|a merchant|signing_key"
LETTER = b"what nobody else may read"

# https://www.rfc-editor.org/rfc/rfc9180#appendix-A.1.1; the RFC prints no vector for X25519 with
# AES-256-GCM, and none without associated data, which is what the library offers.
RFC_KEY = "4612c550263fc8ad58375df3f557aac531d26850903e55a9f23f21d8534e8ac8"
RFC_ENC = "37fda3567bdbd628e88668c3c8d7e97d1d1253b6d4ea6d44c150f741f1bf4431"
RFC_CIPHERTEXT = (
    "f938558b5d72f1a23810b4be2ab4f84331acc02fc97babc53a52ae8218a355a96d8770ac83d07bea87e13c512a"
)
RFC_INFO = b"Ode on a Grecian Urn"
RFC_PLAINTEXT = b"Beauty is truth, truth beauty"

# A letter of this very format, posted to RFC_KEY: what is in a database must stay readable.
KEPT = (
    "018b228cd75ab70bad154f1297927fc0f61bd8d10efdc02ee3761f1f2970e7a3"
    "c90f94d5efc9bad01f7a8277785280b21f987de39a852e47d673765ff95b0427"
    "a5d7110a9ab0d41725e527d23d66f91ffff5"
)


def hpke(aead_id, key_size):
    """RFC 9180 §4 and §5, receiving, base mode, written down a second time to judge the first."""
    kem = b"KEM" + bytes.fromhex("0020")
    suite = b"HPKE" + bytes.fromhex("00200001") + aead_id.to_bytes(2, "big")

    def extract(about, salt, label, ikm):
        return hmac.digest(salt or bytes(32), b"HPKE-v1" + about + label + ikm, "sha256")

    def expand(about, key, label, info, size):
        labeled = size.to_bytes(2, "big") + b"HPKE-v1" + about + label + info
        return hmac.digest(key, labeled + b"\1", "sha256")[:size]

    def opened(enc, ciphertext, *, key, info, aad):
        mine = key.public_key().public_bytes_raw()
        dh = key.exchange(X25519PublicKey.from_public_bytes(enc))
        shared = expand(kem, extract(kem, b"", b"eae_prk", dh), b"shared_secret", enc + mine, 32)
        ids = [extract(suite, b"", b"psk_id_hash", b""), extract(suite, b"", b"info_hash", info)]
        context = b"\0" + b"".join(ids)
        secret = extract(suite, shared, b"secret", b"")
        nonce = expand(suite, secret, b"base_nonce", context, 12)
        cipher = AESGCM(expand(suite, secret, b"key", context, key_size))
        return cipher.decrypt(nonce, ciphertext, aad)

    return opened


@pytest.fixture
def key():
    return X25519PrivateKey.generate()


@pytest.fixture
def posted(key):
    return letterbox.post(LETTER, to=key.public_key(), info=INFO)


def test_what_is_posted_is_read(key, posted):
    assert letterbox.read(posted, key=key, info=INFO) == LETTER
    assert LETTER not in posted
    assert len(posted) == len(LETTER) + 57


def test_a_second_implementation_gives_the_published_answer():
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_KEY))
    enc, ciphertext = bytes.fromhex(RFC_ENC), bytes.fromhex(RFC_CIPHERTEXT)

    opened = hpke(1, 16)(enc, ciphertext, key=key, info=RFC_INFO, aad=b"Count-0")

    assert opened == RFC_PLAINTEXT


def test_a_letter_is_what_the_second_implementation_reads(key, posted):
    version, ident, enc, ciphertext = posted[:1], posted[1:9], posted[9:41], posted[41:]

    assert version == b"\1"
    assert ident == hashlib.sha256(key.public_key().public_bytes_raw()).digest()[:8]
    assert hpke(2, 32)(enc, ciphertext, key=key, info=INFO, aad=b"") == LETTER


def test_a_letter_of_before_is_still_read():
    key = X25519PrivateKey.from_private_bytes(bytes.fromhex(RFC_KEY))

    assert letterbox.read(bytes.fromhex(KEPT), key=key, info=INFO) == LETTER


def test_no_two_letters_are_alike(key, posted):
    assert letterbox.post(LETTER, to=key.public_key(), info=INFO) != posted


@pytest.mark.parametrize("other", [b"", INFO + b"x", INFO.replace(b"signing", b"decrypting")])
def test_a_letter_for_one_purpose_does_not_open_for_another(key, posted, other):
    with pytest.raises(letterbox.Tampered):
        letterbox.read(posted, key=key, info=other)


def test_a_letter_to_another_key_says_so(posted):
    with pytest.raises(letterbox.KeyUnknown):
        letterbox.read(posted, key=X25519PrivateKey.generate(), info=INFO)


def test_no_bit_of_a_letter_can_be_changed(key, posted):
    for at in range(len(posted)):
        bent = bytearray(posted)
        bent[at] ^= 1
        with pytest.raises(letterbox.Unreadable):
            letterbox.read(bytes(bent), key=key, info=INFO)


@pytest.mark.parametrize("size", [0, 1, 8, 9, 40, 41, 56])
def test_a_piece_of_a_letter_is_no_letter(key, posted, size):
    with pytest.raises(letterbox.Unreadable):
        letterbox.read(posted[:size], key=key, info=INFO)


def test_a_text_is_no_letter(key):
    with pytest.raises(letterbox.Tampered):
        letterbox.read(b"-----BEGIN PRIVATE KEY-----", key=key, info=INFO)


def test_both_halves_are_made_and_belong_together(tmp_path):
    private, public = tmp_path / "worker" / "worker.key", tmp_path / "worker.pub"

    ident = letterbox.create(private=private, public=public)

    key = letterbox.private_key(private)
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    assert letterbox.key_id(letterbox.public_key(public)) == ident
    assert letterbox.key_id(key.public_key()) == ident


@pytest.mark.parametrize("kept", ["worker.key", "worker.pub"])
def test_no_half_is_ever_replaced(tmp_path, kept):
    (tmp_path / kept).write_text("kept")

    with pytest.raises(FileExistsError):
        letterbox.create(private=tmp_path / "worker.key", public=tmp_path / "worker.pub")

    assert [path.name for path in tmp_path.iterdir()] == [kept]
    assert (tmp_path / kept).read_text() == "kept"


def test_a_key_others_may_read_is_not_used(tmp_path):
    letterbox.create(private=tmp_path / "k", public=tmp_path / "p")
    (tmp_path / "k").chmod(0o640)

    with pytest.raises(letterbox.NoKeyFile, match="others may read it"):
        letterbox.private_key(tmp_path / "k")


@pytest.mark.parametrize("content", [None, b"", b"nonsense", b"ed25519"])
def test_a_file_that_holds_no_such_key_says_so(tmp_path, content):
    path = tmp_path / "k"
    if content is not None:
        other = ed25519.Ed25519PrivateKey.generate()
        pem = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        path.write_bytes(pem if content == b"ed25519" else content)
        path.chmod(0o600)

    for load in (letterbox.private_key, letterbox.public_key):
        with pytest.raises(letterbox.NoKeyFile):
            load(path)


def test_the_command_makes_the_files_the_settings_name(tmp_path, settings, capsys):
    settings.WORKER_KEY_FILE = str(tmp_path / "worker.key")
    settings.WORKER_PUBLIC_KEY_FILE = str(tmp_path / "worker.pub")

    call_command("createworkerkey")

    made = letterbox.public_key(tmp_path / "worker.pub")
    said = capsys.readouterr().out
    secret = (tmp_path / "worker.key").read_text().splitlines()[1]
    assert letterbox.key_id(made).hex() in said
    assert secret not in said


def test_the_command_replaces_nothing(tmp_path, settings):
    settings.WORKER_KEY_FILE = str(tmp_path / "worker.key")
    settings.WORKER_PUBLIC_KEY_FILE = str(tmp_path / "worker.pub")
    call_command("createworkerkey")
    before = (tmp_path / "worker.key").read_bytes()

    with pytest.raises(CommandError, match="已存在"):
        call_command("createworkerkey")

    assert (tmp_path / "worker.key").read_bytes() == before


def test_the_command_asks_where_to(settings):
    settings.WORKER_KEY_FILE = ""

    with pytest.raises(CommandError, match="WORKER_KEY_FILE"):
        call_command("createworkerkey")


def test_the_command_leaves_no_half_alone(tmp_path, settings):
    (tmp_path / "file").write_text("no directory")
    settings.WORKER_KEY_FILE = str(tmp_path / "file" / "keys" / "worker.key")
    settings.WORKER_PUBLIC_KEY_FILE = str(tmp_path / "worker.pub")

    with pytest.raises(CommandError, match="无法写入"):
        call_command("createworkerkey")

    assert not (tmp_path / "worker.pub").exists()


@pytest.mark.parametrize("lasting", [0, 1])
def test_a_half_that_could_not_be_written_is_not_left(tmp_path, monkeypatch, lasting):
    private, public = tmp_path / "worker.key", tmp_path / "worker.pub"
    written = []

    def full(descriptor):
        written.append(descriptor)
        if len(written) > lasting:
            raise OSError(errno.ENOSPC, "no space")

    with monkeypatch.context() as disk, pytest.raises(OSError, match="no space"):
        disk.setattr("os.fsync", full)
        letterbox.create(private=private, public=public)

    assert list(tmp_path.iterdir()) == []
    assert letterbox.create(private=private, public=public)
