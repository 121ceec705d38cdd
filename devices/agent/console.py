"""A terminal's window as its screen: for a console somebody sits at, not for a log."""

from collections.abc import Callable
from typing import TextIO

from devices.agent.screen import Dark

CLEAR = "\x1b[H\x1b[2J\x1b[3J"  # also what has scrolled away (ECMA-48, and xterm's 3)


class Console(Dark):
    """Shows who was registered until it is wiped; a pipe or a file is never shown a name."""

    is_lit = True

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._names_somebody = False

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
        """Show the patient, if it ended with one."""
        if masked_name:
            print(f"{masked_name}，编号 {number}", file=self._out, flush=True)
            self._names_somebody = True

    def wipe(self) -> None:
        """Clear the window, if it names somebody."""
        if not self._names_somebody:
            return
        self._names_somebody = False
        self._out.write(CLEAR)
        self._out.flush()
