"""
Where the program cannot even begin: which variable keeps it from that, in words, for the doctor.

Every command ends with a traceback then. The doctor is for who cannot read one.
"""

import re
import sys
import traceback
from argparse import ArgumentParser
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import execute_from_command_line, load_command_class

from hospital.audit import undone
from hospital.operations import telling
from hospital.operations.verdicts import Finding, Verdict, Words

_SETTINGS: Final = Path(__file__).resolve().parents[1] / "settings.py"
_QUOTED: Final = re.compile(r'"([A-Z][A-Z0-9_]+)"')
_NAMED: Final = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
# For people on machines of their own, where there are no settings, and which need none.
_ALONE: Final = ("createbackupkey",)
_LABEL: Final = Words("配置", "settings")
_REMEDY: Final = Words(
    "对照 docs/configuration.md 和 docker/env.example 改正，再运行一次",
    "mend it by docs/configuration.md and docker/env.example, and run this again",
)


def examine(argv: Sequence[str]) -> None:
    """
    Begin, if it is the doctor who is asked for.

    :raises SystemExit: what keeps the program from beginning has been said
    """
    if argv[1:2] != ["doctor"]:
        return
    try:
        django.setup()
    except Exception as exc:  # noqa: BLE001 (whatever it is, it is told)
        found = [Finding("settings", Verdict.BROKEN, _said(exc), _REMEDY)]
    else:
        return
    parser = ArgumentParser(add_help=False)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--lang", default="zh")
    asked, _ = parser.parse_known_args(argv[2:])
    labels = {"settings": _LABEL}
    if asked.json:
        sys.stdout.write(f"{telling.as_json(found, labels, asked.lang)}\n")
    else:
        sys.stdout.writelines(f"{line}\n" for line in telling.lines(found, labels, asked.lang))
    raise SystemExit(int(Verdict.BROKEN))


def carry_out(argv: Sequence[str]) -> None:
    """Carry a command out; what it recorded and undid as it failed is on record all the same."""
    if argv[1:2] and argv[1] in _ALONE:
        load_command_class("hospital", argv[1]).run_from_argv(list(argv))
        return
    with undone.watched() as acts:
        try:
            execute_from_command_line(list(argv))
        except BaseException as exc:
            # What runs until it is stopped does what it does turn by turn, and says what failed.
            if acts and not argv[1].startswith("run"):
                from hospital.audit import aborting  # noqa: PLC0415 (knows models)

                aborting.tell(acts, exc, route=f"manage.py:{argv[1]}")
            raise


def _said(exc: Exception) -> Words:
    """Return which variable it is: by its name, since its value may be a secret."""
    kind = type(exc).__name__
    names = " / ".join(_names(exc))
    if not names:
        return Words(f"程序不能启动（{kind}）", f"the program cannot begin ({kind})")
    return Words(
        f"环境变量 {names}（或其 _FILE 指的文件）没有设置，或读不出来，程序不能启动（{kind}）",
        f"{names}, or the file that its _FILE names, is not set or not readable ({kind})",
    )


def _names(exc: Exception) -> list[str]:
    lines = _SETTINGS.read_text().splitlines()
    for frame in traceback.extract_tb(exc.__traceback__):
        if Path(frame.filename) == _SETTINGS and frame.lineno:
            text = "\n".join(lines[frame.lineno - 1 : frame.end_lineno])
            return list(dict.fromkeys(_QUOTED.findall(text)))
    # A check of ours while the program begins names the variable, and never its value.
    is_ours = isinstance(exc, ImproperlyConfigured)
    return list(dict.fromkeys(_NAMED.findall(str(exc)))) if is_ours else []
