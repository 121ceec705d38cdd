"""An authority's time stamp of a checkpoint is kept, and anybody can check it with OpenSSL."""

import base64
import subprocess
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from django.core.management import call_command
from django.db import connection

from hospital.audit import log, trail
from hospital.audit.anchors import Away, BadReceipt, checking, rfc3161
from hospital.audit.anchors.rfc3161 import TimeStamps
from hospital.audit.checkpoint import Note
from hospital.audit.notary import Notary
from hospital.audit.trail import NotConfigured
from tests.hospital.certificates import Authority
from tests.hospital.notarised import House, note
from tests.hospital.time_stamper import TimeStamper


@pytest.fixture
def house(db, tmp_path):
    return House(tmp_path)


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), name="TSA root")


@pytest.fixture(scope="module")
def certified(authority):
    return authority.time_stamper()


@pytest.fixture
def stamper(certified, tmp_path):
    with TimeStamper(tmp_path / "tsa", *certified) as stamper:
        yield stamper


@pytest.fixture
def sink(stamper, authority):
    return TimeStamps(stamper.url, rfc3161.certificates(authority.path))


@pytest.fixture
def sealed(house):
    house.seal(3)
    return note(log.Checkpoint.objects.get())


def now():
    return datetime.now(UTC)


def roots(authority):
    return rfc3161.certificates(authority.path)


def away(act):
    with pytest.raises(Away) as away:
        act()
    return str(away.value)


def test_a_note_is_stamped_and_the_stamp_says_when(sealed, sink, stamper, authority):
    receipt = sink.anchor(sealed, now=now())

    said = rfc3161.verify(receipt, sealed, roots(authority))
    assert abs(said - datetime.now(UTC)) < timedelta(seconds=10)
    [(kind, _)] = stamper.asked
    assert kind == "application/timestamp-query"


def test_openssl_checks_it_with_the_note_and_the_authoritys_certificate(
    sealed, sink, authority, tmp_path
):
    (tmp_path / "note").write_text(str(sealed))
    (tmp_path / "note.tsr").write_bytes(base64.b64decode(sink.anchor(sealed, now=now())))
    command = [
        *("openssl", "ts", "-verify", "-data", "note", "-in", "note.tsr"),
        *("-CAfile", str(authority.path)),
    ]

    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    (tmp_path / "note").write_text(str(sealed).replace("\n3\n", "\n4\n"))
    forged = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    assert "Verification: OK" in checked.stdout + checked.stderr
    assert forged.returncode != 0


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("another_nonce", "Nonce"),
        ("another_text", "Mismatch"),
        ("refused", "Missing"),
        ("garbage", "ASN.1"),
        ("huge", "too much"),
        ("error", "HTTP 500"),
    ],
)
def test_what_is_no_stamp_of_this_note_is_not_kept(sealed, sink, stamper, manner, reason):
    stamper.manner = manner

    assert reason in away(lambda: sink.anchor(sealed, now=now()))


def test_an_old_answer_is_no_answer(sealed, sink, stamper):
    stamper.manner = "again"
    sink.anchor(sealed, now=now())

    assert "Nonce" in away(lambda: sink.anchor(sealed, now=now()))


def test_an_authority_that_is_slow_is_not_waited_for(sealed, sink, stamper, monkeypatch):
    monkeypatch.setattr(rfc3161, "PATIENCE", 0.2)
    stamper.manner = "slow"

    assert away(lambda: sink.anchor(sealed, now=now())) == "too slow"
    stamper.manner = "drips"
    assert away(lambda: sink.anchor(sealed, now=now())) == "too slow"


def test_an_authority_that_is_not_there_is_away(sealed, authority):
    nowhere = TimeStamps("http://127.0.0.1:1/", roots(authority))

    assert away(lambda: nowhere.anchor(sealed, now=now())) == "ConnectError"


@pytest.mark.parametrize("how", ["expired", "of another root"])
def test_a_stamp_by_somebody_else_is_not_kept(sealed, authority, tmp_path, how):
    other = Authority(tmp_path / "other")
    certified = {
        "expired": lambda: authority.time_stamper(days=(-5, -2)),
        "of another root": other.time_stamper,
    }[how]()

    with TimeStamper(tmp_path / "wrong", *certified) as stamper:
        sink = TimeStamps(stamper.url, roots(authority))

        assert "certificate" in away(lambda: sink.anchor(sealed, now=now()))


@pytest.fixture
def signed(authority, certified, tmp_path):
    """Return who has its stamps signed by whoever it is, which OpenSSL's authority refuses."""

    def signed(by, *, at=None):
        return TimeStamper(tmp_path / "cms", *certified, manner="signed", by=by, at=at)

    return signed


def test_what_is_signed_by_one_for_time_stamps_is_kept(sealed, authority, signed):
    with signed(authority.time_stamper()) as stamper:
        sink = TimeStamps(stamper.url, roots(authority))

        assert rfc3161.verify(sink.anchor(sealed, now=now()), sealed, roots(authority))


def test_what_is_signed_by_one_that_is_not_for_time_stamps_is_not_kept(sealed, authority, signed):
    by = authority.give("server", purpose=ExtendedKeyUsageOID.SERVER_AUTH)
    with signed(by) as stamper:
        sink = TimeStamps(stamper.url, roots(authority))

        assert "certificate" in away(lambda: sink.anchor(sealed, now=now()))


@pytest.mark.parametrize("hours", [12, -3 * 24])
def test_a_stamp_of_another_time_is_not_kept(sealed, authority, signed, hours):
    by = authority.time_stamper(days=(-5, 1) if hours > 0 else (-5, -2))
    with signed(by, at=now() + timedelta(hours=hours)) as stamper:
        sink = TimeStamps(stamper.url, roots(authority))

        assert away(lambda: sink.anchor(sealed, now=now())) == "another time"


# Kept


def test_a_stamp_is_over_the_signatures_there_were(sealed, sink, authority, house):
    receipt = sink.anchor(sealed, now=now())
    line = house.desk.signer.line(sealed.body, at=1_763_625_600)

    later = sealed.with_lines([line])

    assert rfc3161.verify(receipt, later, roots(authority))


@pytest.mark.parametrize("change", ["another note", "a bit", "not base64", "nothing"])
def test_a_changed_receipt_is_found(sealed, sink, authority, change):
    receipt = sink.anchor(sealed, now=now())
    der = bytearray(base64.b64decode(receipt))
    der[-20] ^= 1
    changed = {
        "another note": receipt,
        "a bit": base64.b64encode(der).decode(),
        "not base64": "…",
        "nothing": "",
    }[change]
    body = sealed.body.replace("\n3\n", "\n4\n") if change == "another note" else sealed.body

    with pytest.raises(BadReceipt):
        rfc3161.verify(changed, Note(body, sealed.signatures), roots(authority))


def test_no_octet_of_a_receipt_can_be_changed_so_that_it_says_another_time(sealed, sink, authority):
    receipt = sink.anchor(sealed, now=now())
    said = rfc3161.verify(receipt, sealed, roots(authority))
    der = base64.b64decode(receipt)

    for place in range(0, len(der), 7):
        changed = bytearray(der)
        changed[place] ^= 0x55
        try:
            again = rfc3161.verify(base64.b64encode(changed).decode(), sealed, roots(authority))
        except BadReceipt:
            continue
        assert again == said  # of what is not signed: the wrapping


def test_the_notary_asks_every_ten_minutes_and_keeps_what_it_gets(house, sink, authority):
    house.now = now() - timedelta(minutes=10)
    works = Notary(house.signer, house.mark, now=house.now, sinks=[sink])
    house.write(2)
    works.step(now=house.now)
    house.later(minutes=10)

    works.step(now=house.now)
    works.settle(now=house.now)
    house.later(minutes=10)
    works.step(now=house.now)  # nothing new, nothing to stamp
    works.settle(now=house.now)

    kept = log.Anchor.objects.get(sink="rfc3161")
    assert kept.size == 2
    assert rfc3161.verify(kept.receipt, note(log.Checkpoint.objects.get()), roots(authority))


def test_receipts_that_are_kept_are_checked(house, sink, authority, settings):
    settings.TIMESTAMP_CA = str(authority.path)
    for _ in range(3):
        house.seal()
    first, second, third = map(note, log.Checkpoint.objects.order_by("size"))
    log.Anchor.objects.create(
        size=1, sink="rfc3161", at=house.now, receipt=sink.anchor(first, now=now())
    )
    wrong = log.Anchor.objects.create(
        size=2, sink="rfc3161", at=house.now, receipt=sink.anchor(third, now=now())
    )
    lost = log.Anchor.objects.create(
        size=9, sink="rfc3161", at=house.now, receipt=sink.anchor(second, now=now())
    )

    found = list(checking.faults())

    assert [pk for _, pk in found] == [wrong.pk, lost.pk]
    assert [pk for _, pk in checking.faults(after=2)] == [lost.pk]


def test_a_forged_signature_of_a_witness_does_not_make_a_stamp_wrong(
    house, sink, authority, settings
):
    settings.TIMESTAMP_CA = str(authority.path)
    house.seal()
    signed = note(log.Checkpoint.objects.get())
    late = house.desk.signer.line(signed.body, at=1_763_625_600)
    for receipt in ("— witness.example AAAAAAAA\n", late):
        log.Anchor.objects.create(size=1, sink="witness", at=house.now, receipt=receipt)
    log.Anchor.objects.create(
        size=1,
        sink="rfc3161",
        at=house.now,
        receipt=sink.anchor(signed.with_lines([late]), now=now()),
    )

    assert list(checking.faults()) == []


@pytest.mark.postgresql
def test_a_receipt_of_no_time_is_checked_as_others_are(house, authority, settings):
    if connection.vendor != "postgresql":
        pytest.skip("postgresql only")
    settings.TIMESTAMP_CA = str(authority.path)
    house.seal()
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO audit_anchor (size, sink, receipt, at)"
            " VALUES (1, 'rfc3161', '', 'infinity')"
        )

    assert len(list(checking.faults())) == 1


def test_without_the_authoritys_certificate_nobody_is_asked(house, settings, tmp_path):
    key = house.directory / "notary.pem"
    settings.TRAIL_ORIGIN, settings.NOTARY_KEY_FILE = house.origin, str(key)
    call_command("createlogkey")
    settings.TIMESTAMP_URL = "http://127.0.0.1:1/"

    with pytest.raises(NotConfigured, match="TIMESTAMP_CA"):
        trail.notary()
