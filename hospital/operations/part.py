"""A part of this installation that can be asked how it is: a check of django-health-check's."""

from datetime import timedelta
from typing import ClassVar

from health_check.base import HealthCheck

from hospital.operations.verdicts import NOTHING, Verdict, Words


class Part(HealthCheck):
    """
    One that answers in time, or counts as not answering.

    `run` returns nothing if all is well, and raises `Amiss`; anything else it raises, and no
    answer in time, is as bad as `silent` says. What it notes as `told` is for who reads.

    :cvar name: what `/readyz`, the figures and the doctor call it
    :cvar label: what people call it
    :cvar timeout: for `run`; django-health-check adds a second
    """

    name: ClassVar[str]
    label: ClassVar[Words]
    remedy: ClassVar[Words]  # for when it does not answer
    silent: ClassVar[Verdict] = Verdict.BROKEN
    timeout = timedelta(seconds=0.5)
    told: Words = NOTHING

    def __repr__(self) -> str:  # it is logged
        return self.name
