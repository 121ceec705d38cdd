"""A database of a test's own, and the processes that work on it and end."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests import standby


@dataclass
class Workplace:
    """
    A database, a key and a ledger in a directory; no process of it knows what another remembers.

    `do` runs `main` of the module its class is in.
    """

    url: str
    var: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def ledger(self) -> Path:
        return self.var / "ledger" / "erasures.jsonl"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "tests.settings",
            "DATABASE_URL": self.url,
            "DATABASE_POOL": "4",
            "KEY_FILE": str(self.var / "root.key"),
            "ERASURE_LEDGER": str(self.ledger),
            "LOG_LEVEL": "ERROR",
            **self.more,
        }

    def call(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run it in a process of its own, which was forked from one that has imported all."""
        module = type(self).__module__
        return standby.run(*command, environment=self.environment, imported=module)

    def do(self, *args: str, ends: int = 0) -> str:
        module = type(self).__module__
        program = f"import django; django.setup(); from {module} import main; main(*{args!r})"
        return self._ended(self.call("-c", program), ends).stdout

    def manage(self, *args: str, ends: int = 0) -> str:
        ended = self._ended(self.call("manage.py", *args), ends)
        return ended.stdout + ended.stderr

    def starts(self) -> bool:
        return self.call("-c", "import hospital.wsgi").returncode == 0

    @staticmethod
    def _ended(
        ended: subprocess.CompletedProcess[str], ends: int
    ) -> subprocess.CompletedProcess[str]:
        assert ended.returncode == ends, (ended.stdout + ended.stderr)[-4000:]
        return ended
