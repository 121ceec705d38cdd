"""What an examination of this installation says: in two languages, and never about a person."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from health_check.exceptions import HealthCheckException


class Verdict(IntEnum):
    """How bad it is; the number is the exit code of `manage.py doctor`."""

    OK = 0
    DEGRADED = 1  # somebody has to see to it, patients are served all the same
    BROKEN = 2  # patients are not served, or what was promised to them is not kept


@dataclass(frozen=True)
class Words:
    """One sentence in Chinese and in English."""

    zh: str
    en: str

    def in_(self, language: str) -> str:
        return self.en if language == "en" else self.zh


NOTHING: Final = Words("", "")


@dataclass(frozen=True)
class Finding:
    """What one part says of itself, and what to do about it."""

    part: str
    verdict: Verdict
    said: Words
    remedy: Words = NOTHING


class Amiss(HealthCheckException):
    """
    A part is not as it should be; several things may be.

    The message is empty: django-health-check logs it, and a sentence may name a host.
    """

    def __init__(self, *findings: tuple[Verdict, Words, Words]) -> None:
        super().__init__("")
        self.findings = findings


def degraded(said: Words, remedy: Words) -> Amiss:
    """Return what to raise where somebody has to see to it and patients are served all the same."""
    return Amiss((Verdict.DEGRADED, said, remedy))


def broken(said: Words, remedy: Words) -> Amiss:
    """Return what to raise where patients cannot be served."""
    return Amiss((Verdict.BROKEN, said, remedy))
