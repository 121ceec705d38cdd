"""`docker/prepare.sh`: made once, nothing replaced, certificates renewed by the same authority."""

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.engine import DOCKER, NAME

pytestmark = pytest.mark.skipif(
    not shutil.which("openssl"), reason="prepare.sh calls openssl: apt install openssl"
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "chown").write_text("#!/bin/sh\n")  # whose they are takes root
    (tmp_path / "chown").chmod(0o755)
    place = tmp_path / "secrets"
    assert prepare(place).returncode == 0
    return place


def prepare(place: Path) -> "subprocess.CompletedProcess[str]":
    env = {"PATH": f"{place.parent}:/usr/sbin:/usr/bin:/bin"}
    return subprocess.run(
        [DOCKER / "prepare.sh", NAME, place], env=env, capture_output=True, text=True
    )


def contents(place: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in place.iterdir() if one.is_file()}


def is_signed(place: Path, name: str) -> bool:
    verify = ["openssl", "verify", "-CAfile", place / "ca.pem", place / f"{name}.pem"]
    return subprocess.run(verify, capture_output=True).returncode == 0


def test_what_is_there_stays_with_its_authority_or_without(place):
    made = contents(place)
    assert prepare(place).returncode == 0
    assert contents(place) == made

    (place / "ca.key").unlink()  # taken off the host
    del made["ca.key"]

    assert prepare(place).returncode == 0
    assert contents(place) == made


def test_no_certificate_is_renewed_by_another_authority(place):
    for end in ("pem", "key"):
        (place / f"db.{end}").unlink()
    key = (place / "ca.key").read_bytes()
    (place / "ca.key").unlink()
    left = contents(place)

    refused = prepare(place)

    assert refused.returncode == 1
    assert "先把 ca.key 放回" in refused.stderr
    assert contents(place) == left

    (place / "ca.key").write_bytes(key)

    assert prepare(place).returncode == 0
    assert is_signed(place, "db")


def test_why_a_certificate_was_not_signed_is_not_kept_quiet(place):
    (place / "cache.pem").unlink()
    another = ["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out"]
    subprocess.run([*another, place / "ca.key"], check=True, capture_output=True)

    refused = prepare(place)

    assert refused.returncode != 0
    assert "match" in refused.stderr
