import base64
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from hospital.audit.checkpoint import BadNote, Checkpoint, Note, Signer, Verifier
from hospital.audit.merkle import EMPTY_ROOT

ORIGIN = "hospital.example/trail"
CHECKPOINT = Checkpoint(ORIGIN, 25, EMPTY_ROOT)

# https://pkg.go.dev/golang.org/x/mod/sumdb/note, its example
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgK"
    "vqfqdngotpRZb6KE6RyyBwJnAM=\n"
)


def signer(name=ORIGIN, *, is_witness=False, seed=b"k"):
    return Signer(name, Ed25519PrivateKey.from_private_bytes(seed * 32), is_witness=is_witness)


def signed(*signers, checkpoint=CHECKPOINT):
    body = checkpoint.body()
    return Note(body, tuple(one.line(body, at=1763630000) for one in signers))


def test_a_note_of_gos_sum_database_is_read_and_verified():
    note = Note.parse(PETERS_NOTE)

    assert note.verify(Verifier.parse(PETER)) is None
    assert str(note) == PETERS_NOTE
    assert str(Verifier.parse(PETER)) == PETER


@pytest.mark.parametrize(
    "vkey",
    [PETER, "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"],
    ids=["PeterNeumann", "sum.golang.org"],
)
def test_a_published_key_has_the_id_it_says(vkey):
    assert str(Verifier.parse(vkey)) == vkey


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("Peter", "Petra"),
        PETER[:-4],
        PETER.replace("+ARpc", "+BRpc"),
        "a b+00000000+AQ==",
    ],
)
def test_a_key_that_is_not_what_it_says_is_refused(vkey):
    with pytest.raises(BadNote):
        Verifier.parse(vkey)


def test_a_checkpoint_says_origin_size_and_root():
    assert CHECKPOINT.body() == f"{ORIGIN}\n25\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
    assert Checkpoint.parse(CHECKPOINT.body()) == CHECKPOINT
    assert Checkpoint.parse(CHECKPOINT.body() + "an extension\n") == CHECKPOINT


@pytest.mark.parametrize(
    ("said", "instead"),
    [
        ("25", "025"),
        ("25", "-1"),
        ("25", "２５"),
        ("25", "2" * 20),
        (ORIGIN, ""),
        ("47DE", "47D"),
        ("47DEQpj8HBSa", ""),
        ("SuFU=\n", "SuFU="),
    ],
)
def test_what_is_no_checkpoint_is_refused(said, instead):
    with pytest.raises(BadNote):
        Checkpoint.parse(CHECKPOINT.body().replace(said, instead, 1))


def test_a_signed_checkpoint_survives_its_text():
    log, witness = signer(), signer("witness.example", is_witness=True, seed=b"w")
    note = Note.parse(str(signed(log, witness)))

    assert note.checkpoint == CHECKPOINT
    assert note.verify(log.verifier) is None
    assert note.verify(witness.verifier) == 1763630000


def test_every_changed_character_of_the_body_is_noticed():
    log, witness = signer(), signer("witness.example", is_witness=True, seed=b"w")
    note = signed(log, witness)
    for at in range(len(note.body)):
        body = note.body[:at] + chr(ord(note.body[at]) ^ 1) + note.body[at + 1 :]
        for by in (log, witness):
            with pytest.raises(BadNote):
                Note(body, note.signatures).verify(by.verifier)


def test_a_witness_cannot_be_made_to_have_signed_at_another_time():
    witness = signer("witness.example", is_witness=True, seed=b"w")
    name, encoded = signed(witness).signatures[0].removeprefix("— ").split()
    blob = bytearray(base64.b64decode(encoded))
    blob[11] ^= 1  # the last byte of the time

    forged = Note(CHECKPOINT.body(), (f"— {name} {base64.b64encode(blob).decode()}\n",))

    with pytest.raises(BadNote):
        forged.verify(witness.verifier)


@pytest.mark.parametrize(
    "by",
    [signer(seed=b"x"), signer("other.example"), signer(is_witness=True)],
    ids=["another key", "another name", "the same key as a witness"],
)
def test_who_did_not_sign_is_not_taken_for_who_did(by):
    with pytest.raises(BadNote, match="not signed by"):
        signed(by).verify(signer().verifier)
    with pytest.raises(BadNote, match="not signed by"):
        signed(signer()).verify(by.verifier)


def test_of_two_signatures_by_one_key_both_must_be_right():
    log = signer()
    other = log.line(Checkpoint(ORIGIN, 26, EMPTY_ROOT).body())

    with pytest.raises(BadNote):
        signed(log).with_lines([other]).verify(log.verifier)


@pytest.mark.parametrize(
    "text",
    [
        "",
        CHECKPOINT.body(),
        CHECKPOINT.body() + "\n",
        CHECKPOINT.body() + "\n- a AAAA\n",
        CHECKPOINT.body() + "\n— a b AAAA\n",
        str(signed(signer()))[:-1],
    ],
    ids=["nothing", "no signature", "no line", "a hyphen", "three words", "no end"],
)
def test_what_is_no_note_is_refused(text):
    with pytest.raises(BadNote):
        Note.parse(text)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\nb"])
def test_a_signer_has_a_name_that_fits_a_line(name):
    with pytest.raises(ValueError, match="name"):
        signer(name)


def test_stock_openssl_verifies_a_checkpoint(tmp_path):
    log = signer()
    note = signed(log)
    encoded = note.signatures[0].split()[-1]
    pem = log.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "log.pem").write_bytes(pem)
    (tmp_path / "signature").write_bytes(base64.b64decode(encoded)[4:])

    def openssl(body):
        (tmp_path / "body").write_text(body)
        command = "pkeyutl -verify -pubin -inkey log.pem -rawin -in body -sigfile signature"
        return subprocess.run(
            ["openssl", *command.split()], cwd=tmp_path, capture_output=True
        ).returncode

    assert openssl(note.body) == 0
    assert openssl(note.body.replace("25", "24")) != 0
