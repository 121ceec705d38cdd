"""
A leaf as a syslog message (RFC 5424), framed for TLS by its length (RFC 5425 §4.3).

Pure. What comes from an event is never trusted to be well-formed.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from hospital.audit.actions import Severity

_FACILITY: Final = 13  # log audit, RFC 5424 §6.2.1
_SEVERITY: Final = {
    Severity.INFO: 6,
    Severity.NOTICE: 5,
    Severity.WARNING: 4,
    Severity.ALERT: 1,
}
_APP_NAME: Final = "face-onboarding"
_SD_NAME: Final = "trail"
_NIL: Final = "-"
_BOM: Final = b"\xef\xbb\xbf"  # MSG-UTF8 begins with it
_UNPRINTABLE: Final = re.compile("[^!-~]")
_CONTROL: Final = re.compile("[\\x00-\\x1f\\x7f-\\x9f\\u2028\\u2029]")
_SPECIAL: Final = re.compile(r'["\\\]]')  # of PARAM-VALUE, §6.3.3
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST_US: Final = 253_402_300_799_999_999  # the last microsecond of the year 9999


@dataclass(frozen=True)
class Entry:
    """
    One leaf, and what there is of its event.

    :param size: how large the log was at the first checkpoint that covers it
    :param at_us: microseconds since 1970; None if the event is gone
    :param text: the canonical line; None if it is gone
    :param mark: why the text is not what was sealed: pruned, redacted, missing, altered; or ""
    """

    index: int
    hash: bytes
    size: int
    at_us: int | None = None
    action: str = ""
    outcome: str = ""
    severity: Severity = Severity.NOTICE
    text: str | None = None
    mark: str = ""


@dataclass(frozen=True)
class Sender:
    """
    Who sends.

    :param origin: the log's name
    :param enterprise: private enterprise number of the structured data's name (§6.3.2)
    """

    origin: str
    hostname: str
    process: int
    enterprise: int

    def message(self, entry: Entry) -> bytes:
        """Return the message, without a frame."""
        header = " ".join(
            [
                f"<{_FACILITY * 8 + _SEVERITY[entry.severity]}>1",
                _timestamp(entry.at_us),
                _printable(self.hostname, longest=255),
                _APP_NAME,
                str(self.process),
                _printable(entry.action, longest=32),
                self._data(entry),
            ]
        )
        if entry.text is None:
            return _utf8(header)
        return _utf8(header) + b" " + _BOM + _utf8(entry.text)

    def frame(self, entry: Entry) -> bytes:
        """Return the message with its length in octets before it."""
        message = self.message(entry)
        return b"%d %s" % (len(message), message)

    def _data(self, entry: Entry) -> str:
        stated = {
            "origin": self.origin,
            "index": str(entry.index),
            "hash": entry.hash.hex(),
            "size": str(entry.size),
            "action": entry.action,
            "outcome": entry.outcome,
        }
        if entry.mark:
            stated[entry.mark] = "1"
        shown = " ".join(f'{name}="{_escaped(value)}"' for name, value in stated.items())
        return f"[{_SD_NAME}@{self.enterprise} {shown}]"


def _timestamp(at_us: int | None) -> str:
    if at_us is None or not 0 <= at_us <= _LATEST_US:
        return _NIL
    at = _EPOCH + timedelta(microseconds=at_us)
    return at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _printable(text: str, *, longest: int) -> str:
    return _UNPRINTABLE.sub("?", text)[:longest] or _NIL


def _escaped(value: str) -> str:
    return _SPECIAL.sub(lambda found: f"\\{found[0]}", _CONTROL.sub("\ufffd", value))


def _utf8(text: str) -> bytes:
    return text.encode(errors="replace")
