"""A measurement in a process of its own: with settings, libraries and memory of its own."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

from hospital.demo.installation import ROOT


def asked(module: str, *arguments: object, env: Mapping[str, str] | None = None) -> Any:
    """
    Return what `python -m tests.benchmarks.<module>` printed.

    :param env: its environment, if not ours
    """
    ended = subprocess.run(
        [sys.executable, "-m", f"tests.benchmarks.{module}", *map(str, arguments)],
        cwd=ROOT,
        env=dict(os.environ if env is None else env),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(ended.stdout)
