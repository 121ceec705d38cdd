"""This installation's own secrets and places, made on the first run and kept."""

import base64
import os
import secrets
from dataclasses import dataclass
from pathlib import Path

APART = frozenset({"WORKER_KEY_FILE", "NOTARY_KEY_FILE"})  # keys not every process may have
ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Installation:
    """Where the demo keeps what, and the environment its processes run in."""

    var: Path
    port: int
    sim_port: int

    @property
    def server(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def simulator(self) -> str:
        return f"http://127.0.0.1:{self.sim_port}"

    @property
    def exported(self) -> Path:
        """What the simulator hands out; its own keys are there as well."""
        return self.var / "simulator"

    @property
    def broker(self) -> Path:
        return self.var / "broker"

    @property
    def broker_control(self) -> Path:
        return self.var / "broker-control"

    @property
    def logs(self) -> Path:
        return self.var / "log"

    @property
    def logins(self) -> Path:
        return self.var / "logins.json"

    @property
    def activation(self) -> Path:
        return self.var / "activation-code"

    @property
    def verifier(self) -> Path:
        """The public key of the trail, for who verifies it."""
        return self.var / "trail.pub"

    def prepare(self) -> dict[str, str]:
        """Make what is missing; return the environment for every process of the demo."""
        for place in (self.var, self.logs, self.broker, self.broker_control):
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
        return {
            # What is only some processes' own is not inherited either.
            **{name: value for name, value in os.environ.items() if name not in APART},
            "DJANGO_SETTINGS_MODULE": "hospital.settings",
            "PYTHONUNBUFFERED": "1",
            "VAR_DIR": str(self.var),
            "DEPLOY_LEVEL": "demo",
            "HTTPS_ONLY": "0",
            "HOSPITAL_NAME": "示范医院",
            "ALLOWED_HOSTS": "127.0.0.1,localhost",
            "CSRF_TRUSTED_ORIGINS": f"{self.server},http://localhost:{self.port}",
            "DATABASE_URL": f"sqlite:///{self.var / 'hospital.sqlite3'}",
            "BROKER_URL": "filesystem://",
            "CACHE_URL": "dbcache://cache",
            "WORKER_PUBLIC_KEY_FILE": str(self.var / "worker.pub"),
            "KEY_FILE": str(self.var / "keys" / "root.key"),
            "TRAIL_ORIGIN": "demo.invalid/trail",
            "TRAIL_VERIFIERS": self.verifier.read_text() if self.verifier.exists() else "",
            "SECRET_KEY_FILE": str(self._secret("secret-key", secrets.token_urlsafe(64))),
            "AUDIT_MAC_KEY_FILE": str(
                self._secret("audit-mac-key", base64.b64encode(secrets.token_bytes(32)).decode())
            ),
        }

    @property
    def own(self) -> dict[str, dict[str, str]]:
        """What single processes have in their environment besides: setup makes it, one uses it."""
        worker = {"WORKER_KEY_FILE": str(self.var / "keys" / "worker.key")}
        notary = {"NOTARY_KEY_FILE": str(self.var / "keys" / "notary.pem")}
        return {"setup": worker | notary, "worker": worker, "notary": notary}

    def _secret(self, name: str, value: str) -> Path:
        path = self.var / "keys" / name
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if not path.exists():
            write_private(path, value)
        return path


def write_private(path: Path, text: str) -> None:
    """Write a file only its owner can read, without a moment in which others could."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as file:
        file.write(text)
