"""What a verification says: what was read, and what was found."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from hospital.audit.merkle import Frontier

KEPT: Final = 1_000  # findings of a kind told one by one; more are counted

# What can be the matter with one line.
LINE: Final = {
    "mac": "校验码不符",
    "columns": "列与规范文本不符",
    "leaf": "内容与封存时不同",
}


@dataclass(frozen=True)
class Finding:
    """One thing that is not as it should be: a stable word, a Chinese sentence, the row's id."""

    kind: str
    text: str
    row: int | None = None


@dataclass
class Verdict:
    """What was read, and what was found. `anchored` is how many notes from outside agreed."""

    events: int = 0
    sealed: int = 0
    signed: int = 0
    anchored: int = 0
    pruned: int = 0  # events that two people had removed, after they were archived
    redacted: int = 0  # events whose text two people had covered
    kinds: Counter[str] = field(default_factory=Counter)  # how many findings of each
    findings: list[Finding] = field(default_factory=list)
    unsettled: list[str] = field(default_factory=list)  # what could not be verified, and why
    unverified_receipts: dict[str, int] = field(default_factory=dict)  # 时间戳, 副署: how many
    reached: Frontier = field(default_factory=Frontier)  # the tree at the last good checkpoint

    @property
    def count(self) -> int:
        return self.kinds.total()

    @property
    def is_intact(self) -> bool:
        return not self.count

    @property
    def altered(self) -> tuple[int, ...]:
        """The ids of the lines that are not what was written."""
        return tuple(
            sorted({one.row for one in self.findings if one.kind in LINE and one.row is not None})
        )

    def find(self, kind: str, text: str, row: int | None = None) -> None:
        self.kinds[kind] += 1
        if self.kinds[kind] <= KEPT:
            self.findings.append(Finding(kind, text, row))
