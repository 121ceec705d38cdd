"""What the person before the terminal sees while a visit takes its course."""

from collections.abc import Callable
from enum import StrEnum
from typing import Protocol


class Step(StrEnum):
    """Where a visit stands, as the person sees it."""

    READY = "ready"
    WAIT = "wait"
    NOTICE = "notice"
    LOOK = "look"
    CONFIRM = "confirm"
    WORKING = "working"
    SEEKING = "seeking"
    DONE = "done"
    ENDED = "ended"
    CLOSED = "closed"


class Screen(Protocol):
    """
    Shows steps and endings; asks nothing, but hears who takes back what they agreed to.

    :ivar is_lit: patients read it, so nobody need be named anywhere else
    """

    is_lit: bool

    def show(self, step: Step) -> None:
        """Show a step that needs no words besides its own."""

    def end(
        self,
        state: str,
        *,
        code: str = "",
        detail: str = "",
        number: str = "",
        masked_name: str = "",
        take_back: Callable[[], str] | None = None,
    ) -> None:
        """
        Show how a visit ended, and forget it soon.

        :param state: of the visit
        :param code: why, as a constant; `detail` is the sentence that came with it
        :param take_back: withdraws what was agreed to; returns `withdrawn` or `not_withdrawn`
        """

    def wants_back(self) -> bool:
        """Whether, while the visit waits, they took back what they agreed to."""

    def block(self, code: str, detail: str = "") -> None:
        """
        Say why nobody can be received at the moment; with no code, that somebody can again.

        :param detail: what staff wrote about it
        """


class Dark:
    """No screen: a terminal at a console, or in a test."""

    is_lit = False

    def show(self, step: Step) -> None:
        """Show nothing."""

    def end(
        self,
        state: str,
        *,
        code: str = "",
        detail: str = "",
        number: str = "",
        masked_name: str = "",
        take_back: Callable[[], str] | None = None,
    ) -> None:
        """Show nothing."""

    def wants_back(self) -> bool:
        """Hear nobody."""
        return False

    def block(self, code: str, detail: str = "") -> None:
        """Show nothing."""
