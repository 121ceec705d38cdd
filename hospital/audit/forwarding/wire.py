"""
One connection to a log server: messages go out, and an orderly close says that they were read.

Syslog has no acknowledgment, and what TCP took may die in a buffer. But the records of TLS come in
order, and who gets a close_notify must answer with one (RFC 5425 §4.4): an answer to ours means
that the other end of TLS has read everything before it. Whether it is stored, nobody says.

A close of the receiver's own looks like an answer if it crosses ours. So ours goes out only when
its TCP has everything and it still says nothing; what is left is the time of a round trip.
"""

import fcntl
import socket
import ssl
import struct
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

CONNECTING: Final = 10.0  # seconds for the connection, and for each step of the handshake
WRITING: Final = 30.0  # seconds in which a slow receiver has to take something
CLOSING: Final = 60.0  # seconds in which it has to have read everything
QUIET: Final = 0.1  # seconds without a close of its own, once its TCP has everything
LOOKING: Final = 1.0  # seconds for what it says; a log server says nothing


class Away(Exception):
    """It is not there, not whom we trust, or stopped reading. `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Receiver:
    """
    A log server's address, and whom we take for it.

    :param permit: told host and port, says whether they may be connected to
    """

    host: str
    port: int
    context: ssl.SSLContext
    permit: Callable[[str, int], bool] = lambda _host, _port: True

    def connect(self) -> "Wire":
        """
        Return a connection.

        :raises Away: egress (it is not to be connected to), unreachable, untrusted (its
            certificate), handshake (it ended in the midst of it, or took too long), or tls:…
            (anything else of TLS)
        """
        if not self.permit(self.host, self.port):
            raise Away("egress")
        try:
            plain = socket.create_connection((self.host, self.port), timeout=CONNECTING)
        except OSError:
            raise Away("unreachable") from None
        try:
            return Wire(self.context.wrap_socket(plain, server_hostname=self.host))
        except ssl.SSLCertVerificationError:
            plain.close()
            raise Away("untrusted") from None
        except OSError as exc:
            plain.close()
            raise Away(_code(exc, "handshake")) from None


class Wire:
    def __init__(self, tls: ssl.SSLSocket) -> None:
        self._tls = tls

    def write(self, octets: bytes) -> None:
        """
        Write it all; wait while the receiver is slow.

        :raises Away: it closed, reset, or took nothing for too long
        """
        self._look()
        self._tls.settimeout(WRITING)
        try:
            self._tls.sendall(octets)
        except TimeoutError:
            raise Away("stalled") from None
        except OSError as exc:
            raise Away(_code(exc, "reset")) from None

    def finish(self) -> None:
        """
        Close in order. When this returns, the receiver's end of TLS has read what was written.

        :raises Away: it did not say so
        """
        try:
            _drain(self._tls, until=time.monotonic() + CLOSING)
            time.sleep(QUIET)
            self._look()
            self._tls.settimeout(CLOSING)
            plain = self._tls.unwrap()
            _settle(plain)
        except TimeoutError:
            raise Away("unanswered") from None
        except ConnectionError:
            raise Away("reset") from None
        except OSError as exc:
            raise Away(_code(exc, "unanswered")) from None
        finally:
            self.drop()

    def drop(self) -> None:
        """Let go, whatever was on its way."""
        self._tls.close()

    def _look(self) -> None:
        """
        See whether the receiver has closed on its own: its close_notify would answer nothing.

        :raises Away:
        """
        self._tls.settimeout(0)
        until = time.monotonic() + LOOKING
        try:
            while self._tls.recv(16_384):
                if time.monotonic() > until:
                    raise Away("noisy")
            raise Away("closed")
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError as exc:
            raise Away(_code(exc, "reset")) from None


def _settle(plain: socket.socket) -> None:
    """
    See the connection end well.

    A receiver that closed on its own just before it got our close_notify looks as if it had
    answered. Where it then lets go of the connection with something unread, its TCP resets it.

    :raises OSError: it did not end well
    """
    give_up = time.monotonic() + CLOSING
    plain.shutdown(socket.SHUT_WR)
    while plain.recv(1024):
        if time.monotonic() > give_up:
            raise TimeoutError
    _drain(plain, until=give_up)
    _demand_whole(plain)


def _drain(connection: socket.socket, *, until: float) -> None:
    """
    Wait for the other's TCP to have taken everything.

    :raises OSError: it never will: what a reset leaves behind counts as unacknowledged for ever
    :raises TimeoutError: it has not
    """
    while _unacknowledged(connection):
        _demand_whole(connection)
        if time.monotonic() > until:
            raise TimeoutError
        time.sleep(0.01)


def _demand_whole(connection: socket.socket) -> None:
    """:raises OSError: the connection broke"""
    if error := connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
        raise OSError(error, "broken")


def _unacknowledged(plain: socket.socket) -> int:
    """Return how many octets the other's TCP has not acknowledged (SIOCOUTQ; Linux)."""
    [count] = struct.unpack("i", fcntl.ioctl(plain, termios.TIOCOUTQ, b"\0" * 4))
    return int(count)


def _code(exc: OSError, otherwise: str) -> str:
    """Return what TLS says, as `tls:alert_…`; it is one of OpenSSL's words, never a text."""
    reason = getattr(exc, "reason", None)
    return f"tls:{reason.lower()}" if isinstance(exc, ssl.SSLError) and reason else otherwise
