"""`python -m tests.packaging.licences`: the licences of what the server runs on, as a table."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# What its metadata does not say, and its LICENSE does.
READ = {"pyrage": "MIT"}


def pinned() -> dict[str, str]:
    """Return name → version of everything requirements.txt installs."""
    text = (ROOT / "requirements.txt").read_text()
    return dict(re.findall(r"^([A-Za-z0-9_.-]+)==([^\s\\]+)", text, re.MULTILINE))


def table() -> str:
    tool = [
        sys.executable,
        "-m",
        "piplicenses",
        "--from=mixed",
        "--order=name",
        "--format=markdown",
    ]
    asked = [*tool, "--with-system", "--packages", *pinned()]
    done = subprocess.run(asked, capture_output=True, text=True, check=True)
    text = re.sub(r" +\|", " |", re.sub(r"-{4,}", "---", done.stdout))
    for name, licence in READ.items():
        text = re.sub(rf"(\| {name} \| \S+ \|) UNKNOWN", rf"\1 {licence}", text)
    return text


def main() -> None:
    print("# 依赖的许可证 Licences\n")
    print("What the server runs on (`requirements.txt`), as each package states it itself.")
    print("Written by `make licences`; a test compares.\n")
    print(table(), end="")


if __name__ == "__main__":
    main()
