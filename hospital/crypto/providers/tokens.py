"""
Being logged in to a PKCS#11 token, for the length of one act.

No session outlives its act: a root key is met so rarely that nothing would be gained, and a token
that was pulled out, or a process that forked, leaves none behind to die.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

import pkcs11
from pkcs11 import exceptions

from hospital.crypto.providers import KeyUnavailable

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Library  # noqa: N812 - its class is written small

T = TypeVar("T")

_NOT_OUR_PIN: Final = (
    exceptions.PinIncorrect,
    exceptions.PinInvalid,
    exceptions.PinLenRange,
)


@dataclass(frozen=True, kw_only=True)
class Token:
    """The token called `label`, reached through the library `module`."""

    module: Path
    label: str
    pin: str = field(repr=False)

    def use(self, act: Callable[[pkcs11.Session], T], *, writing: bool = False) -> T:
        """
        Log in, return what `act` makes of the session, and log out.

        One thread at a time: a login counts for the whole process. After a failure the library
        is started anew and everything done once more, `act` too.

        :raises KeyUnavailable: there is no such library, or the PIN is not to be tried
        :raises PKCS11Error: the second failure, of the token or of `act`
        """
        with _process.turn:
            _process.settle()
            try:
                return self._act(act, writing=writing)
            except pkcs11.PKCS11Error:
                # Taken out and put back, restarted, renumbered: libraries call it many things.
                _process.stop()
            return self._act(act, writing=writing)

    def _act(self, act: Callable[[pkcs11.Session], T], *, writing: bool) -> T:
        session = self._log_in(self._find(), writing=writing)
        try:
            return act(session)
        finally:
            # A token that is gone cannot be left. Whether it was, the next login finds out.
            with suppress(pkcs11.PKCS11Error):
                session.close()

    def _find(self) -> pkcs11.Token:
        try:
            return _process.library(self.module).get_token(token_label=self.label)
        except exceptions.MultipleTokensReturned:
            raise KeyUnavailable(f"more than one token is called {self.label!r}") from None

    def _log_in(self, token: pkcs11.Token, *, writing: bool) -> pkcs11.Session:
        self._spare_the_last_try(token.flags)
        try:
            return token.open(rw=writing, user_pin=self.pin)
        except _NOT_OUR_PIN:
            _process.refused.add((self.module, self.label))
            raise self._refused() from None
        except exceptions.PinLocked:
            raise self._locked() from None

    def _spare_the_last_try(self, flags: pkcs11.TokenFlag) -> None:
        """
        A token locks after a few wrong PINs, and then nobody is served.

        :raises KeyUnavailable: this process was refused before, or the next would be the last
        """
        if (self.module, self.label) in _process.refused:
            raise self._refused()
        if flags & pkcs11.TokenFlag.USER_PIN_LOCKED:
            raise self._locked()
        if flags & pkcs11.TokenFlag.USER_PIN_FINAL_TRY:
            raise KeyUnavailable(
                f"token {self.label!r}: one more wrong PIN locks it; log in by hand with the"
                " right one (softhsm2-util, pkcs11-tool or the maker's own), then restart"
            )

    def _refused(self) -> KeyUnavailable:
        return KeyUnavailable(
            f"token {self.label!r} refused the PIN; this process does not try again, or the"
            " token would lock: mend PKCS11_PIN and restart"
        )

    def _locked(self) -> KeyUnavailable:
        return KeyUnavailable(f"token {self.label!r}: the PIN is locked; its officer unlocks it")


def forget() -> None:
    """Let go of every library: the next use starts it anew. A refused PIN stays refused."""
    with _process.turn:
        _process.stop()


class _Process:
    """What PKCS#11 knows per process: which libraries are started, and whose turn it is."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.refused: set[tuple[Path, str]] = set()
        self._started: dict[Path, Library] = {}
        self._is_child = False

    def library(self, module: Path) -> "Library":
        """
        Return the library at `module`, started.

        :raises KeyUnavailable:
        """
        if module not in self._started:
            try:
                self._started[module] = pkcs11.lib(str(module))
            except pkcs11.PKCS11Error as exc:
                said = str(exc) or type(exc).__name__
                raise KeyUnavailable(f"PKCS11_MODULE {module}: {said}") from None
        return self._started[module]

    def settle(self) -> None:
        """Start anew what a parent process had started: PKCS#11 v2.40, 6.6.1."""
        if self._is_child:
            self.stop()
            self._is_child = False

    def stop(self) -> None:
        for library in self._started.values():
            with suppress(pkcs11.PKCS11Error):
                library.finalize()
        self._started.clear()

    def fork(self) -> None:
        # Another thread of the parent may have had its turn.
        self.turn = threading.Lock()
        self._is_child = True


_process: Final = _Process()
os.register_at_fork(after_in_child=_process.fork)
