"""A merchant's keys and the system's users: what the web's may read, and what the worker's."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.level3 import environment

ROOT = Path(__file__).resolve().parents[2]
WEB, WORKER = 61_001, 61_002  # system users; a number is all the kernel asks for
KEY = "canary of a merchant's key"

pytestmark = pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can start processes of two system users"
)

# Everything is imported first: afterwards not even the interpreter's files need be readable.
PRELUDE = """
import os, sys, time
from pathlib import Path
import django
django.setup()
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from hospital.management.commands import createworkerkey
from faceauth import merchant_keys
from faceauth.models import Merchant, NotConfigured, Slot
from hospital.checks import refuse_unfit
from hospital.crypto import letterbox

def attempt(act):
    try:
        return act()
    except (OSError, letterbox.NoKeyFile, NotConfigured, ImproperlyConfigured) as exc:
        return f"{type(exc).__name__} {exc}"

merchant = Merchant(pk="01890000-0000-7000-8000-000000000001")
os.setgroups([])
os.setgid(UID)
os.setuid(UID)
"""


@dataclass
class Place:
    """Where an installation keeps its keys, and the environment that all its processes share."""

    var: Path

    @property
    def key(self):
        return self.var / "worker" / "keys" / "worker.key"

    @property
    def files(self):
        return self.var / "worker" / "merchant"

    def start(self, uid, code, **own):
        shared = environment(str(self.var)) | {
            "PATH": os.environ["PATH"],
            "WORKER_PUBLIC_KEY_FILE": str(self.var / "worker" / "public" / "worker.pub"),
            "MERCHANT_KEYS_DIR": str(self.files),
        }
        return subprocess.Popen(
            [sys.executable, "-c", f"UID = {uid}\n{PRELUDE}\n{code}"],
            cwd=ROOT,
            env=shared | own,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, uid, code, **own):
        process = self.start(uid, code, **own)
        said, complained = process.communicate(timeout=60)
        assert process.returncode == 0, complained
        return said.strip()

    def web(self, code, **own):
        return self.run(WEB, code, **own)

    def worker(self, code):
        return self.run(WORKER, code, WORKER_KEY_FILE=str(self.key))


@pytest.fixture(scope="module")
def place():
    """A directory like /srv: anybody may pass through it, only the worker owns what is below."""
    var = Path(tempfile.mkdtemp(prefix="face-users-"))
    var.chmod(0o755)
    (var / "worker").mkdir(mode=0o755)
    for name, mode in (("public", 0o755), ("merchant", 0o700)):
        (var / "worker" / name).mkdir(mode=mode)
        os.chown(var / "worker" / name, WORKER, WORKER)
    os.chown(var / "worker", WORKER, WORKER)
    place = Place(var)
    place.worker("call_command('createworkerkey')")
    yield place
    shutil.rmtree(var)


@pytest.fixture(scope="module")
def uploaded(place):
    """What the web made of a key that somebody uploaded, as it lies in the database."""
    return place.web(
        f"print(merchant_keys.seal(merchant, Slot.SIGNING_KEY, {KEY!r}.encode()).hex())"
    )


def taking(uploaded):
    return f"""
merchant.signing_key = bytes.fromhex({uploaded!r})
print(attempt(lambda: merchant_keys.take(merchant, Slot.SIGNING_KEY).decode()))
"""


def test_the_worker_opens_what_was_uploaded_and_the_web_does_not(place, uploaded):
    assert place.worker(taking(uploaded)) == KEY
    assert place.web(taking(uploaded)).startswith("NotConfigured")


def test_knowing_where_the_key_is_does_not_help_the_web(place, uploaded):
    shown = place.web(
        taking(uploaded)
        + """
key = Path(settings.WORKER_KEY_FILE)
for act in (
    lambda: letterbox.private_key(key),
    lambda: key.read_bytes(),
    lambda: os.chmod(key, 0o644),
    lambda: os.rename(key.parent, "elsewhere"),
    lambda: os.listdir(key.parent),
    lambda: os.listdir(settings.MERCHANT_KEYS_DIR),
):
    print(attempt(act))
""",
        WORKER_KEY_FILE=str(place.key),
    )

    facts = [line.split()[0] for line in shown.splitlines() if line and line[0] != "{"]
    assert facts == ["NotConfigured", "NoKeyFile", *["PermissionError"] * 5]
    assert KEY not in shown


def test_the_web_reads_nothing_of_a_worker_that_runs(place):
    worker = place.start(
        WORKER,
        "print('ready', flush=True); time.sleep(60)",
        WORKER_KEY_FILE=str(place.key),
        MERCHANT_KEY_PASSWORD="canary of a password",
    )
    try:
        assert worker.stdout.readline() == "ready\n"
        shown = place.web(f"""
for act in (
    lambda: Path("/proc/{worker.pid}/environ").read_bytes(),
    lambda: open("/proc/{worker.pid}/mem", "rb"),
    lambda: os.listdir("/proc/{worker.pid}/fd"),
    lambda: os.kill({worker.pid}, {int(signal.SIGTERM)}),
):
    print(attempt(act))
""")
    finally:
        worker.kill()
        worker.communicate()

    assert [line.split()[0] for line in shown.splitlines()] == ["PermissionError"] * 4


def test_both_start_at_level_3(place):
    assert place.web("refuse_unfit(web=True); print('fit')") == "fit"
    assert place.worker("refuse_unfit(); print('fit')") == "fit"


def test_a_web_that_could_open_them_does_not_start_at_level_3(place):
    asked = "print(attempt(lambda: refuse_unfit(web=True)))"
    readable = place.var / "readable"
    readable.mkdir(mode=0o755)
    (readable / "apiv3_key").write_text("k")

    assert "hospital.E009" in place.web(asked, WORKER_KEY_FILE=str(place.key))
    assert "hospital.E010" in place.web(asked, MERCHANT_KEYS_DIR=str(readable))
