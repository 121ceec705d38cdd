"""Real processes: a web and a worker that cannot open the keys do not start."""

import subprocess
import sys

import pytest

from hospital.crypto.providers.file import FileProvider
from hospital.demo import commands
from hospital.demo.installation import ROOT, Installation
from tests.house import free_ports

MAKE_KEYS = "from hospital.crypto import keyring; keyring.data_key(keyring.SYSTEM_SUBJECT)"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    place = Installation(tmp_path_factory.mktemp("house"), *free_ports(2))
    run(place, sys.executable, "manage.py", "migrate", "--verbosity", "0")
    FileProvider.create(root_key(place))
    run(place, sys.executable, "manage.py", "shell", "--no-imports", "-c", MAKE_KEYS)
    return place


def root_key(place):
    return place.var / "keys" / "root.key"


def run(place, *command):
    ended = subprocess.run(
        command, cwd=ROOT, env=place.prepare(), capture_output=True, text=True, timeout=120
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def refused(place, name):
    command = {"web": commands.web, "worker": commands.worker}[name](place)
    ended = subprocess.run(
        command, cwd=ROOT, env=place.prepare(), capture_output=True, text=True, timeout=120
    )
    assert ended.returncode != 0
    return ended.stdout + ended.stderr


@pytest.mark.parametrize("name", ["web", "worker"])
def test_without_its_root_key_a_process_does_not_start(place, name):
    kept = root_key(place).rename(place.var / "aside")
    try:
        assert "密钥提供方不可用，不启动" in refused(place, name)
    finally:
        kept.rename(root_key(place))


@pytest.mark.parametrize("name", ["web", "worker"])
def test_with_another_root_key_a_process_does_not_start(place, name):
    kept = root_key(place).rename(place.var / "aside")
    FileProvider.create(root_key(place))
    try:
        assert "根密钥与数据库不符，不启动" in refused(place, name)
    finally:
        kept.rename(root_key(place))


def test_what_a_start_made_is_not_looked_through_again_and_what_comes_later_is(place):
    asked = "import gc; print(gc.isenabled(), gc.get_freeze_count() > 100_000)"

    said = run(place, sys.executable, "manage.py", "shell", "--no-imports", "-c", asked)

    assert said.stdout.split() == ["True", "True"]
