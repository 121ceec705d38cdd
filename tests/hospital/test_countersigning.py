"""A machine of the hospital's signs a checkpoint with SM2; what it says is verified, then kept."""

import base64
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from django.core.management import call_command

from hospital.audit import log, trail
from hospital.audit.anchors import Away, BadReceipt, checking, countersigning
from hospital.audit.anchors.countersigning import CounterSignatures
from hospital.audit.checkpoint import Note
from hospital.audit.notary import Notary
from hospital.audit.trail import NotConfigured
from tests.hospital.notarised import House, note

NOW = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)
SIGN = """#!/bin/sh
openssl dgst -sm3 -sign {key} -sigopt distid:1234567812345678 | base64 -w 0
"""


def sm2(directory, name):
    """Return the paths of a new private key and of its public half."""
    key, public = directory / f"{name}.key", directory / f"{name}.pem"
    for words in (
        ["genpkey", "-algorithm", "SM2", "-out", str(key)],
        ["pkey", "-in", str(key), "-pubout", "-out", str(public)],
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return key, public


@pytest.fixture
def house(db, tmp_path):
    return House(tmp_path)


@pytest.fixture
def sealed(house):
    house.seal(3)
    return note(log.Checkpoint.objects.get())


@pytest.fixture
def key(tmp_path):
    return sm2(tmp_path, "machine")


@pytest.fixture
def program(tmp_path):
    """Write the program that speaks to the machine; return its path."""

    def write(text):
        path = tmp_path / "countersign"
        path.write_text(text)
        path.chmod(0o700)
        return str(path)

    return write


@pytest.fixture
def sink(program, key):
    private, public = key
    return CounterSignatures.of(program(SIGN.format(key=private)), public)


def away(act):
    with pytest.raises(Away) as away:
        act()
    return str(away.value)


def test_the_body_is_signed_and_openssl_verifies_it(sealed, sink, key, tmp_path):
    receipt = sink.anchor(sealed, now=NOW)

    (tmp_path / "body").write_text(sealed.body)
    (tmp_path / "signature").write_bytes(base64.b64decode(receipt))
    checked = subprocess.run(
        ["openssl", "dgst", "-sm3", "-verify", key[1], "-sigopt", "distid:1234567812345678",
         "-signature", "signature", "body"], cwd=tmp_path, capture_output=True, text=True,
    )  # fmt: skip
    assert checked.stdout == "Verified OK\n"
    countersigning.verify(receipt, sealed, key[1])


def test_a_signature_as_two_numbers_side_by_side_is_taken_too(sealed, sink, key, program):
    der = base64.b64decode(sink.anchor(sealed, now=NOW))
    raw = b"".join(number.to_bytes(32) for number in decode_dss_signature(der))
    printed = base64.b64encode(raw).decode()
    other = CounterSignatures.of(program(f"#!/bin/sh\necho {printed}\n"), key[1])

    assert other.anchor(sealed, now=NOW) == base64.b64encode(der).decode()


def test_what_another_key_signed_is_not_kept(sealed, sink, tmp_path):
    _, public = sm2(tmp_path, "other")
    other = CounterSignatures(sink.command, public)

    assert away(lambda: other.anchor(sealed, now=NOW)) == "not signed with this key"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("#!/bin/sh\ncat\n", "not base64"),
        ("#!/bin/sh\necho AAAA\n", "not signed with this key"),
        ("#!/bin/sh\n", "not signed with this key"),
        ("#!/bin/sh\nexit 7\n", "exit code 7"),
        ("#!/bin/sh\nhead -c 100000 /dev/zero\n", "too much"),
        ("no program", "OSError"),
    ],
    ids=["an echo", "another", "nothing", "failed", "too much", "no program"],
)
def test_what_is_no_signature_is_not_kept(sealed, key, program, text, reason):
    sink = CounterSignatures.of(program(text), key[1])

    assert away(lambda: sink.anchor(sealed, now=NOW)) == reason


def test_a_program_that_is_not_there_is_away(sealed, key):
    sink = CounterSignatures.of("/nowhere/countersign", key[1])

    assert away(lambda: sink.anchor(sealed, now=NOW)) == "FileNotFoundError"


def is_alive(process):
    try:
        return " Z " not in process.read_text()
    except OSError:
        return False


def test_a_program_that_hangs_ends_with_what_it_started(
    sealed, key, program, tmp_path, monkeypatch
):
    monkeypatch.setattr(countersigning, "PATIENCE", 1)
    text = f"#!/bin/sh\nsleep 60 &\necho $! > {tmp_path}/started\nwait\n"
    sink = CounterSignatures.of(program(text), key[1])
    began = time.monotonic()

    assert away(lambda: sink.anchor(sealed, now=NOW)) == "too slow"

    assert time.monotonic() - began < 30
    process = Path("/proc") / (tmp_path / "started").read_text().strip() / "stat"
    while is_alive(process) and time.monotonic() - began < 30:  # a signal takes its time
        time.sleep(0.05)
    assert not is_alive(process)


def test_a_program_that_prints_without_end_is_not_read_to_its_end(sealed, key):
    sink = CounterSignatures.of("yes", key[1])
    began = time.monotonic()

    assert away(lambda: sink.anchor(sealed, now=NOW)) == "too much"

    assert time.monotonic() - began < countersigning.PATIENCE / 2


def test_a_program_that_closes_its_output_and_stays_is_ended(sealed, key, program, monkeypatch):
    monkeypatch.setattr(countersigning, "PATIENCE", 0.5)
    sink = CounterSignatures.of(program("#!/bin/sh\nexec >&-\nsleep 60\n"), key[1])

    assert away(lambda: sink.anchor(sealed, now=NOW)) == "too slow"


def test_what_nothing_is_there_to_verify_with_is_counted(house, sink, settings, capsys):
    house.seal()
    for name in ("sm2", "rfc3161", "rfc3161"):
        log.Anchor.objects.create(size=1, sink=name, at=house.now, receipt="forged")
    keys = house.directory / "keys"
    keys.write_text(f"{house.signer.verifier}\n")
    settings.VERIFIED_STATE = house.directory / "verified"

    call_command("verifyaudit", "--verifiers", str(keys))

    assert "时间戳 2 个、副署 1 个未核验（没有设置证书或公钥）" in capsys.readouterr().out


def test_the_program_is_told_none_of_our_secrets(sealed, key, program, tmp_path, monkeypatch):
    monkeypatch.setenv("AUDIT_MAC_KEY", "secret")
    sink = CounterSignatures.of(program(f"#!/bin/sh\nenv > {tmp_path}/told\n"), key[1])

    away(lambda: sink.anchor(sealed, now=NOW))

    assert "secret" not in (tmp_path / "told").read_text()


def test_arguments_are_the_programs_own_and_no_shells(key, program, sealed, tmp_path):
    path = program(f'#!/bin/sh\nprintf "%s\\n" "$@" > {tmp_path}/told\n')
    sink = CounterSignatures.of(f"{path} 'two words' ; touch {tmp_path}/done", key[1])

    away(lambda: sink.anchor(sealed, now=NOW))

    assert (tmp_path / "told").read_text().splitlines()[:2] == ["two words", ";"]
    assert not (tmp_path / "done").exists()


# Kept


def test_the_notary_keeps_it(house, sink, key):
    works = Notary(house.signer, house.mark, now=house.now, sinks=[sink])
    house.write(2)
    works.step(now=house.now)

    works.anchor(now=house.now)
    works.settle(now=house.now)

    kept = log.Anchor.objects.get(sink="sm2")
    assert kept.size == 2
    countersigning.verify(kept.receipt, note(log.Checkpoint.objects.get()), key[1])


def test_what_is_kept_is_checked(house, sink, key, settings):
    settings.COUNTERSIGN_PUBLIC_KEY = str(key[1])
    house.seal()
    house.seal()
    first, second = map(note, log.Checkpoint.objects.order_by("size"))
    log.Anchor.objects.create(size=1, sink="sm2", at=house.now, receipt=sink.anchor(first, now=NOW))
    wrong = log.Anchor.objects.create(
        size=2, sink="sm2", at=house.now, receipt=sink.anchor(first, now=NOW)
    )
    with pytest.raises(BadReceipt):
        countersigning.verify(wrong.receipt, second, key[1])

    assert [pk for _, pk in checking.faults()] == [wrong.pk]


def test_a_receipt_is_of_one_body_only(sealed, sink, key):
    receipt = sink.anchor(sealed, now=NOW)

    with pytest.raises(BadReceipt):
        countersigning.verify(
            receipt, Note(sealed.body.replace("\n3\n", "\n4\n"), sealed.signatures), key[1]
        )


def test_without_the_public_key_nothing_is_signed(house, settings):
    settings.TRAIL_ORIGIN = house.origin
    settings.NOTARY_KEY_FILE = str(house.directory / "notary.pem")
    call_command("createlogkey")
    settings.COUNTERSIGN_COMMAND = "/bin/true"

    with pytest.raises(NotConfigured, match="COUNTERSIGN_PUBLIC_KEY"):
        trail.notary()
