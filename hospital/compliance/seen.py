"""What was seen of one control at one moment, and whose business it is."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class State(StrEnum):
    MET = "met"
    UNMET = "unmet"
    DUTY = "duty"  # software cannot meet it, or cannot see whether it is met

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {State.MET: "满足", State.UNMET: "未满足", State.DUTY: "部署责任"}


@dataclass(frozen=True)
class Seen:
    """`detail` counts and names settings; it never names a person."""

    state: State
    detail: str


Look = Callable[[datetime], Seen]


def met(detail: str) -> Seen:
    return Seen(State.MET, detail)


def unmet(detail: str) -> Seen:
    return Seen(State.UNMET, detail)


def met_if(holds: bool, detail: str) -> Seen:
    return met(detail) if holds else unmet(detail)


def duty(detail: str) -> Seen:
    return Seen(State.DUTY, detail)


def all_of(parts: Iterable[tuple[bool, str, str]], *, told: str) -> Seen:
    """
    Return unmet with what does not hold and its remedy, or met with `told`.

    :param parts: what must hold, what is said if it does not, and what to do then
    """
    amiss = [
        f"{text}（{remedy}）" if remedy else text for holds, text, remedy in parts if not holds
    ]
    return unmet("；".join(amiss)) if amiss else met(told)
