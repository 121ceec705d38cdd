"""
Under which name each checkpoint was signed: the log's, or one it had before.

The key of a log that was left behind may have been left behind carelessly. It vouches for what was
signed before the new log began, as the new log itself says (`notary.begin`), and for nothing else.
"""

from collections.abc import Iterator
from typing import Final

from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.checkpoint import Checkpoint
from hospital.audit.reading import Line

_BEGIN: Final = Action.NOTARY_BEGIN.value.tag


class Origins:
    """What a walk along the checkpoints met of it."""

    def __init__(self, current: str) -> None:
        """:param current: the log's name now; "" if nobody said"""
        self._current = current
        self._newest: Checkpoint | None = None
        self._signed: dict[str, int] = {}  # name → the largest size signed under it
        self._ended: dict[str, int] = {}  # name → how far it went, by the next log's own word

    def see(self, checkpoint: Checkpoint) -> None:
        """Take note of the next checkpoint, larger than those before."""
        self._newest = checkpoint
        self._signed[checkpoint.origin] = checkpoint.size

    def hear(self, line: Line, *, place: int) -> None:
        """Take note of a sealed event without fault that says that a new log began."""
        if line.action != _BEGIN or line.outcome != "success":
            return
        facts = stated.facts(line.payload)
        name, size = str(facts.get("before")), stated.number(facts.get("size"))
        # What was signed before was over less than its own place.
        self._ended[name] = max(self._ended.get(name, 0), min(size, place))

    def faults(self) -> Iterator[tuple[str, int]]:
        """Yield what is wrong with who signed: a sentence in Chinese, and the checkpoint's size."""
        if self._newest is None:
            return
        current = self._current or self._newest.origin
        if self._newest.origin != current:
            size = self._newest.size
            yield f"最近的检查点（{size} 条）不是以 TRAIL_ORIGIN 的名称签名的", size
        for name, size in self._signed.items():
            if name != current and size > self._ended.get(name, 0):
                yield f"检查点（{size} 条）以旧日志的名称签名，超出了旧日志的范围", size
