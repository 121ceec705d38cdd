"""What the person before the terminal sees while a visit takes its course."""

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
    Shows steps and endings; never asks anything.

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
    ) -> None:
        """
        Show how a visit ended, and forget it soon.

        :param state: of the visit
        :param code: why, as a constant; `detail` is the sentence that came with it
        """

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
    ) -> None:
        """Show nothing."""

    def block(self, code: str, detail: str = "") -> None:
        """Show nothing."""
