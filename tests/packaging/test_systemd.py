"""The units for a hospital without containers, as systemd itself reads them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.engine import compose

UNITS = Path(__file__).resolve().parents[2] / "docker" / "systemd"
STARTED = "/opt/hospital/app/docker/entrypoint.sh"
EXPOSED = 20  # of 100, as `systemd-analyze security` counts

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a directory of their own; what they start is there and does nothing."""
    place = tmp_path / "units"
    shutil.copytree(UNITS, place)
    for unit in place.glob("*.service"):
        unit.write_text(unit.read_text().replace(STARTED, "/bin/true"))
    return place


def analyzed(place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *words],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{place}:", "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
    )


@needs_systemd
@pytest.mark.parametrize("unit", sorted(one.name for one in UNITS.iterdir() if one.is_file()))
def test_systemd_understands_every_line(installed, unit):
    said = analyzed(installed, "verify", "--man=no", str(installed / unit))
    ours = [line for line in said.stderr.splitlines() if "hospital" in line]

    assert (said.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", sorted(one.name for one in UNITS.glob("*.service")))
def test_a_unit_is_shut_in(installed, unit):
    said = analyzed(
        installed, "security", "--offline=yes", f"--threshold={EXPOSED}", str(installed / unit)
    )

    assert said.returncode == 0, said.stdout[-200:]


def test_each_process_has_its_own_keys_only():
    texts = {one.stem.removeprefix("hospital-"): one.read_text() for one in UNITS.glob("*.service")}

    assert [name for name, text in texts.items() if "NOTARY_KEY_FILE" in text] == ["notary"]
    assert [name for name, text in texts.items() if "WORKER_KEY_FILE" in text] == ["worker"]
    assert "/etc/hospital/secrets" not in texts["witness"]


def test_no_secret_is_written_into_a_unit():
    for unit in UNITS.glob("*.service"):
        for line in unit.read_text().splitlines():
            assert "PASSWORD=" not in line
            assert "SECRET_KEY=" not in line


def test_the_file_of_the_hospitals_choices_undoes_nothing_a_unit_sets():
    """What EnvironmentFile= says counts more than Environment=, wherever it stands."""
    env = (UNITS.parent / "env.example").read_text().splitlines()
    # docs/production.md: grep -v /run/secrets docker/env.example
    chosen = dict(
        line.split("=", 1) for line in env if line[:1].isupper() and "/run/secrets" not in line
    )

    for unit in UNITS.glob("*.service"):
        words = [
            word
            for line in unit.read_text().splitlines()
            if line.startswith("Environment=")
            for word in line.removeprefix("Environment=").split()
        ]
        ours = dict(word.split("=", 1) for word in words)
        assert {name for name in ours if chosen.get(name, ours[name]) != ours[name]} == set(), unit


def test_a_command_of_manage_has_what_the_units_have(tmp_path):
    """As far as it goes without a systemd: what it is told to run, and with what."""
    said = tmp_path / "said"
    stub = tmp_path / "systemd-run"
    stub.write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word" >> {said}; done\n')
    stub.chmod(0o755)
    env = {"PATH": f"{tmp_path}:/usr/bin:/bin", "DATABASE": "database_url_admin", "WRITES": "/x"}

    subprocess.run([UNITS.parent / "hospital-manage.sh", "restore", "a b"], env=env, check=True)

    words = said.read_text().splitlines()
    web = (UNITS / "hospital-web.service").read_text()
    loaded = {line for line in web.splitlines() if line.startswith("LoadCredential=")}
    names = {line.split("=")[1].split(":")[0] for line in loaded}
    told = [word for word in words if word.startswith("--property=LoadCredential=")]
    assert {word.split("=")[2].split(":")[0] for word in told} == names
    assert any(word.endswith("secrets/database_url_admin") for word in told)
    assert "--property=ReadWritePaths=/x" in words
    assert words[-3:] == ["manage", "restore", "a b"]
    assert all(name in said.read_text() for name in names)


def test_a_unit_has_as_much_time_and_room_as_its_service_in_a_container():
    services = compose()["services"]
    for unit in UNITS.glob("*.service"):
        name = unit.stem.removeprefix("hospital-")
        said = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
        limits = services[name]["deploy"]["resources"]["limits"]
        grace = services[name].get("stop_grace_period", "").removesuffix("s")

        assert said.get("TimeoutStopSec", "") == grace, name
        assert said["MemoryMax"] == limits["memory"], name
        assert float(said["CPUQuota"].removesuffix("%")) == 100 * float(limits["cpus"]), name
