"""Whether the process of this container works: healthcheck.py [ROLE]. Exit code 0: it does."""

import http.client
import os
import socket
import subprocess
import sys
from pathlib import Path

LATE = 300  # seconds


def web() -> bool:
    # Another name than its own would be refused.
    name = os.environ.get("ALLOWED_HOSTS", "localhost").split(",")[0].lstrip(".")
    port = int(os.environ.get("GRANIAN_PORT", "8000"))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    connection.request("GET", "/healthz", headers={"Host": name})
    return connection.getresponse().status == http.client.OK


def witness() -> bool:
    with socket.create_connection(("127.0.0.1", 8100), timeout=3):
        return True


def worker() -> bool:
    """It answers over the broker, which is where its work comes from."""
    ping = [sys.executable, "-m", "celery", "-A", "hospital.celery:app", "inspect", "ping"]
    here = ["--destination", f"celery@{os.uname().nodename}", "--timeout", "10"]
    silent = subprocess.DEVNULL
    return subprocess.run([*ping, *here], stdout=silent, check=False).returncode == 0  # noqa: S603


def beat() -> bool:
    """It runs; whether it is the one that sends what is due, the database decides."""
    return _runs(b"beat")


def notary() -> bool:
    """No event waits for its signature for long, whichever notary it is that signs."""
    # Not for the others, whose checks cost next to nothing.
    sys.path.insert(0, "")
    import django  # noqa: PLC0415

    django.setup()
    from django.utils import timezone  # noqa: PLC0415

    from hospital.audit.standing import standing  # noqa: PLC0415

    return standing(timezone.now()).lag_seconds < LATE


def forwarder() -> bool:
    """It runs; how far it is behind says /metrics, since a log server may be away for days."""
    return _runs(b"runforwarder")


def _runs(word: bytes) -> bool:
    lines = (one.read_bytes().split(b"\0") for one in Path("/proc").glob("[0-9]*/cmdline"))
    return any(word in line for line in lines if b"/opt/hospital/healthcheck.py" not in line)


if __name__ == "__main__":
    roles = {one.__name__: one for one in (web, witness, worker, beat, notary, forwarder)}
    sys.exit(not roles[sys.argv[1] if len(sys.argv) > 1 else "web"]())
