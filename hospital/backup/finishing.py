"""
What comes after loading, in a process whose databases are the loaded ones.

The server, and every process this one starts, finds them by the environment: nothing of this can
reach what is served. It ends with one line of JSON: what was found, or why it came to nothing.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

import django
from django.conf import settings

from hospital.audit.holding import LockFile
from hospital.backup.engines import Ground, Trouble, urls

_AS: Final = "DJANGO_SETTINGS_MODULE"


def finish(
    ours: Mapping[str, Ground],
    suffix: str,
    *,
    manifests: Mapping[str, Any],
    note: Mapping[str, Any],
    told: Callable[[str], object],
) -> dict[str, Any]:
    """
    Have what was loaded under this suffix compared, migrated, erased in and verified.

    :param note: what the trail in it is to say of this; nothing, for a try
    :raises Trouble: it is not fit to serve
    """
    told("核对、迁移、重做删除、核验留痕")
    asked = json.dumps({"manifests": manifests, "note": note})
    ended = subprocess.run(  # noqa: S603 (our own program, no shell)
        [sys.executable, "-m", f"{__name__}"],
        cwd=settings.BASE_DIR,
        env=_environment(ours, suffix),
        input=asked,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = ended.stdout.splitlines()
    answer: dict[str, Any] = json.loads(lines[-1]) if lines else {}
    if ended.returncode or "refused" in answer:
        raise Trouble(answer.get("refused", f"恢复后的处理没有完成（退出码 {ended.returncode}）"))
    return answer


def is_idle() -> bool:
    """Whether no such process is left; it may outlive who started it, and what it works on."""
    lock = _lock()
    try:
        return lock.take()
    finally:
        lock.release()


def _lock() -> LockFile:
    return LockFile(settings.VAR_DIR / "fitting.lock")


def _environment(ours: Mapping[str, Ground], suffix: str) -> dict[str, str]:
    given = {urls.VARIABLES[one.alias]: one.url(f"{one.name}{suffix}") for one in ours.values()}
    kept = {
        name: value for name, value in os.environ.items() if name.removesuffix("_FILE") not in given
    }
    return {**kept, **given, _AS: os.environ.get(_AS, "hospital.settings")}


def main() -> int:
    """Read what is asked from the standard input."""
    asked = json.load(sys.stdin)
    django.setup()
    from hospital.backup import fitting  # noqa: PLC0415 (needs the models)

    lock = _lock()
    if not lock.take():
        return 1
    try:
        answer = fitting.fit(asked["manifests"], note=asked["note"], at=datetime.now().astimezone())
    except fitting.Unfit as exc:
        answer = {"refused": str(exc)}
    sys.stdout.write(f"\n{json.dumps(answer, ensure_ascii=False)}\n")
    return int("refused" in answer)


if __name__ == "__main__":
    sys.exit(main())
