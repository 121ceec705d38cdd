from uuid import UUID

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given
from hypothesis import strategies as st

from hospital.crypto import sealing, suites
from hospital.crypto.sealing import (
    NotSealed,
    Tampered,
    Unopenable,
    UnsupportedSuite,
    generation_of,
    pack,
    seal,
    unseal,
)
from hospital.crypto.suites import Key, Suite

SECRET = bytes(range(32))
KEY = Key(Suite.AES_256_GCM, SECRET)
OTHER_KEY = Key(Suite.AES_256_GCM, bytes(32))
KEYS = {suite: Key(suite, SECRET[: suite.key_size]) for suite in Suite}
ROW = UUID("01890000-0000-7000-8000-000000000002")
SUBJECT = UUID("01890000-0000-7000-8000-000000000001")
HERE = {"context": "patient.name", "subject": SUBJECT, "row": ROW}
UUIDS = st.one_of(st.tuples(st.uuids(), st.uuids()), st.uuids().map(lambda one: (one, one)))

# 张三, under KEY with the nonce 00…0b, generation 7, at HERE. Made once from the
# layout in the module's docstring, and never to change: what is sealed today is read in
# thirty years.
REFERENCE = bytes.fromhex(
    "fe0101010000000700000000000000000000000b01adff5927d16ee168375165b03eafdd"
    "1fc634a0e06d001d3fde97ae76e97953e417d1de35a36dba6cccff8b7f712690"
)


def test_the_form_of_a_sealed_value_never_changes():
    assert unseal(REFERENCE, key=KEY, **HERE).decode() == "张三"
    assert generation_of(REFERENCE) == 7


def test_a_stranger_reads_it_from_the_description_alone():
    blob = seal("张三".encode(), key=KEY, generation=7, **HERE)

    header, nonce, rest = blob[:8], blob[8:20], blob[20:]
    parts = [b"hfe1", header, b"patient.name", SUBJECT.bytes, ROW.bytes]
    aad = b"".join(len(part).to_bytes(4, "big") + part for part in parts)
    padded = AESGCM(SECRET).decrypt(nonce, rest, aad)
    assert header.hex() == "fe01010100000007"
    assert padded == "张三".encode() + b"\x80" + bytes(25)


@given(suite=st.sampled_from(Suite), plaintext=st.binary(), generation=st.integers(1, 2**32 - 1))
def test_what_is_sealed_opens(suite, plaintext, generation):
    blob = seal(plaintext, key=KEYS[suite], generation=generation, **HERE)

    assert unseal(blob, key=KEYS[suite], **HERE) == plaintext
    assert generation_of(blob) == generation


@given(st.binary(max_size=31), st.binary(max_size=31))
def test_short_values_are_all_of_one_length(one, other):
    lengths = {len(seal(text, key=KEY, generation=1, **HERE)) for text in (one, other)}

    assert lengths == {68}


def test_sealing_twice_gives_two_values():
    blobs = {seal(b"", key=KEY, generation=1, **HERE) for _ in range(100)}

    assert len(blobs) == 100


@pytest.mark.parametrize("suite", Suite)
def test_a_change_of_any_bit_anywhere_is_noticed(suite):
    key = KEYS[suite]
    blob = seal("张三".encode(), key=key, generation=1, **HERE)

    for at in range(len(blob)):
        for bit in range(8):
            changed = blob[:at] + bytes([blob[at] ^ 1 << bit]) + blob[at + 1 :]
            with pytest.raises(Unopenable):
                unseal(changed, key=key, **HERE)


def test_a_shorter_or_longer_value_is_noticed():
    blob = seal(b"x", key=KEY, generation=1, **HERE)

    for length in range(len(blob)):
        with pytest.raises(Unopenable):
            unseal(blob[:length], key=KEY, **HERE)
    with pytest.raises(Tampered):
        unseal(blob + b"\0", key=KEY, **HERE)


@pytest.mark.parametrize(
    "there",
    [
        {"context": "patient.names"},
        {"subject": ROW},
        {"row": SUBJECT},
        {"subject": ROW, "row": SUBJECT},
    ],
    ids=["column", "subject", "row", "subject-and-row"],
)
def test_a_value_moved_elsewhere_does_not_open(there):
    blob = seal(b"x", key=KEY, generation=1, **HERE)

    with pytest.raises(Tampered):
        unseal(blob, key=KEY, **{**HERE, **there})


def test_another_key_does_not_open_it():
    blob = seal(b"x", key=KEY, generation=1, **HERE)

    with pytest.raises(Tampered):
        unseal(blob, key=OTHER_KEY, **HERE)


def test_the_header_cannot_choose_another_cipher():
    blob = seal(b"x", key=KEY, generation=1, **HERE)
    downgraded = blob[:2] + bytes([Suite.SM4_GCM]) + blob[3:]

    with pytest.raises(Tampered):
        unseal(downgraded, key=KEY, **HERE)
    with pytest.raises(UnsupportedSuite):
        unseal(blob[:2] + b"\x03" + blob[3:], key=KEY, **HERE)


@pytest.mark.parametrize(
    "stranger", [b"", "张三".encode(), "张三".encode() * 20, b"gAAAAABn" * 12, bytes(68)]
)
def test_what_was_never_sealed_is_told_apart(stranger):
    with pytest.raises(NotSealed):
        unseal(stranger, key=KEY, **HERE)


@pytest.mark.parametrize(
    "version_and_flags", ["fe020101", "fe010100", "fe010103", "fe010181", "fd010101"]
)
def test_another_version_or_an_unknown_flag_is_not_read(version_and_flags):
    blob = seal(b"x", key=KEY, generation=1, **HERE)

    with pytest.raises(NotSealed):
        unseal(bytes.fromhex(version_and_flags) + blob[4:], key=KEY, **HERE)


@pytest.mark.parametrize("padding", [b"", bytes(32), b"x" * 32, b"\x80" + bytes(30) + b"x"])
def test_padding_that_is_none_is_not_read(padding):
    header = sealing.header_of(Suite.AES_256_GCM, 1)
    aad = pack(b"hfe1", header, b"patient.name", SUBJECT.bytes, ROW.bytes)
    body = suites.encrypt(
        Suite.AES_256_GCM, key=SECRET, nonce=bytes(12), plaintext=padding, aad=aad
    )

    with pytest.raises(Tampered):
        unseal(header + bytes(12) + body, key=KEY, **HERE)


@given(
    header=st.binary(min_size=8, max_size=8), context=st.text("abc._é姓", max_size=40), uuids=UUIDS
)
def test_what_is_authenticated_is_the_packed_place(header, context, uuids):
    subject, row = uuids
    parts = (b"hfe1", header, context.encode(), subject.bytes, row.bytes)

    begin = sealing.begin_of(header, context)

    assert begin + subject.bytes + sealing._SIZED + row.bytes == pack(*parts)


@pytest.mark.parametrize("suite", Suite)
def test_a_shortened_tag_is_no_tag(suite):
    blob = seal(b"x", key=KEYS[suite], generation=1, **HERE)

    for length in range(len(blob) - 16, len(blob)):
        with pytest.raises(Unopenable):
            unseal(blob[:length], key=KEYS[suite], **HERE)


@pytest.mark.parametrize("generation", [0, -1, 2**32])
def test_a_generation_is_a_u32_from_one(generation):
    with pytest.raises(ValueError, match="generation"):
        seal(b"", key=KEY, generation=generation, **HERE)


@given(st.lists(st.binary(max_size=4)), st.lists(st.binary(max_size=4)))
def test_different_parts_never_pack_alike(some, others):
    assert (pack(*some) == pack(*others)) == (some == others)


def test_nothing_about_a_failure_names_the_value():
    blob = seal("张三".encode(), key=KEY, generation=1, **HERE)

    with pytest.raises(Tampered) as caught:
        unseal(blob, key=OTHER_KEY, **HERE)
    assert caught.value.args == ()
    assert caught.value.__cause__ is None
