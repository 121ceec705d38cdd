"""`python -m hospital.demo.manage COMMAND …`: manage.py, in the environment of the demo."""

import os
import sys
from pathlib import Path

from hospital.demo.installation import ROOT, Installation

PORTS = (8000, 8001)  # no command asks for them


def main() -> None:
    """Become manage.py; this process ends with it."""
    var = Path(os.environ.get("VAR_DIR", ROOT / "var")).resolve()
    if not (var / "keys").is_dir():
        sys.exit("请先运行 make demo / run make demo first")
    os.chdir(ROOT)
    command = [sys.executable, "manage.py", *sys.argv[1:]]
    os.execve(sys.executable, command, Installation(var, *PORTS).prepare())  # noqa: S606 (ours)


if __name__ == "__main__":
    main()
