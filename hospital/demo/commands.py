"""What each process of the demo is started with."""

import sys

from hospital.demo.installation import Installation

MANAGE = (sys.executable, "manage.py")
WEB_THREADS = "64"  # each waiting terminal holds one


def simulator(place: Installation) -> list[str]:
    return [
        *MANAGE,
        "runsimulator",
        "--port",
        str(place.sim_port),
        "--export",
        str(place.exported),
    ]


def setup(place: Installation) -> list[str]:
    """Return the command that ends when database and first rows are there."""
    return [
        *MANAGE,
        "setupdemo",
        "--merchant",
        str(place.exported / "merchant.json"),
        "--logins",
        str(place.logins),
        "--activation",
        str(place.activation),
        "--verifier",
        str(place.verifier),
    ]


def web(place: Installation) -> list[str]:
    return [
        sys.executable,
        "-m",
        "granian",
        "--interface",
        "wsgi",
        "--host",
        "127.0.0.1",
        "--port",
        str(place.port),
        "--blocking-threads",
        WEB_THREADS,
        "--no-ws",
        "--log-level",
        "warning",
        "hospital.wsgi:application",
    ]


def worker(_place: Installation) -> list[str]:
    return [
        sys.executable,
        "-m",
        "celery",
        "-q",
        "-A",
        "hospital.celery:app",
        "worker",
        "--beat",
        "--pool",
        "threads",
        "--concurrency",
        "4",
        "--loglevel",
        "WARNING",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    ]


def notary(_place: Installation) -> list[str]:
    return [*MANAGE, "runnotary"]


def terminal(place: Installation, *extra: str) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "devices.agent",
        "--server",
        place.server,
        "--state",
        str(place.var / "terminal"),
        "--sdk",
        f"simulated:{place.simulator}",
        *extra,
    ]
    if place.activation.exists():
        command += ["--activate", place.activation.read_text()]
    return command
