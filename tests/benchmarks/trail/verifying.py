"""
What verifying the trail takes: all of it, and the day that came after the last time.

`python -m tests.benchmarks.trail.verifying URL KEY ROUNDS` verifies the trail that `sealing` left,
adds a day to it, verifies that, and prints seconds of CPU, and MiB at the highest.
"""

import json
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.benchmarks.trail.scratch import left, peak, set_up
from tests.benchmarks.trail.sealing import ORIGIN, by_second, drained, sign


def _main(url: str, key: Path, rounds: int) -> None:
    set_up(url)
    from hospital.audit import log_key, verification  # noqa: PLC0415
    from tests.benchmarks.trail import clocks, filling  # noqa: PLC0415

    clock, signer = clocks.cpu(), log_key.load(key, name=ORIGIN)

    def verify(**how: Any) -> Any:
        at = filling.last() + timedelta(seconds=1)
        found = verification.verify(at=at, verifiers=[signer.verifier], **how)
        if not found.is_intact:
            raise RuntimeError(f"what is measured is not intact: {found.findings[:3]}")
        return found

    verdict, whole = _timed(clock, rounds, verify)
    most = peak()
    filling.fill(filling.A_DAY, begin=filling.last())
    drained()
    sign(signer, verdict.reached.copy(), by=by_second)
    filling.settle()
    later, day = _timed(clock, rounds, lambda: verify(begin=verdict.reached))
    found = {"whole": whole, "events": verdict.events, "day": day, "news": later.events}
    print(json.dumps({**found, "peak": most}))
    left(url)


def _timed(
    clock: Callable[[], float], rounds: int, act: Callable[[], Any]
) -> tuple[Any, list[float]]:
    seconds, done = [], None
    for _ in range(rounds):
        began = clock()
        done = act()
        seconds.append(clock() - began)
    return done, seconds


if __name__ == "__main__":
    _main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
