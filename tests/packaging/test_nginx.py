"""`docker/nginx.conf` on a host without containers, changed as docs/production.md says."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.engine import DOCKER, ROOT

needs_nginx = pytest.mark.skipif(
    not (shutil.which("nginx") and shutil.which("openssl")) or os.geteuid() != 0,
    reason="asks nginx, which leaves root for www-data: apt install nginx-light openssl; as root",
)


@pytest.fixture
def changed() -> str:
    page = (ROOT / "docs" / "production.md").read_text()
    [command] = re.findall(r"^(sed .*?docker/nginx\.conf) >", page, re.DOTALL | re.MULTILINE)
    ran = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def test_nothing_is_left_that_only_a_container_has(changed):
    for word in ("/tmp", "/run/secrets", "/dev/stdout", "stderr", "web:8000", "8080", "8443"):  # noqa: S108
        assert word not in changed, word
    # Where Debian's unit waits for it.
    assert "\npid /run/nginx.pid;\n" in changed


def test_each_change_changes_something():
    page = (ROOT / "docs" / "production.md").read_text()
    text = (DOCKER / "nginx.conf").read_text()

    changes = re.findall(r"-e '(s#[^']*#)'", page)

    assert len(changes) == 8
    for one in changes:
        assert re.search(one.split("#")[1], text, re.MULTILINE), one


@needs_nginx
def test_nginx_takes_it(changed, tmp_path: Path):
    for folder in ("log", "lib", "etc"):
        (tmp_path / folder).mkdir()
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=localhost"]
    key = ["-keyout", tmp_path / "etc/proxy.key", "-out", tmp_path / "etc/proxy.pem"]
    subprocess.run([*made, *key], check=True, capture_output=True)
    places = {
        "/etc/nginx/": f"{tmp_path}/etc/",
        "/var/lib/nginx/": f"{tmp_path}/lib/",
        "/var/log/nginx/": f"{tmp_path}/log/",
        "/run/nginx.pid": f"{tmp_path}/pid",
        "listen 80;": f"listen unix:{tmp_path}/80;",
        "listen 443 ": f"listen unix:{tmp_path}/443 ",
    }
    for there, here in places.items():
        assert there in changed, there
        changed = changed.replace(there, here)
    (tmp_path / "nginx.conf").write_text(changed)

    ran = subprocess.run(
        ["nginx", "-t", "-p", tmp_path, "-c", tmp_path / "nginx.conf"],
        capture_output=True,
        text=True,
    )

    assert ran.returncode == 0, ran.stderr
