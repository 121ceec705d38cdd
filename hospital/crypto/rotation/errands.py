"""What is asked for, as jobs: which are to be done, with how much, and those left unfinished."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from django.conf import settings

from hospital.crypto import epochs
from hospital.crypto.models import Job, KeyEpoch, key_database
from hospital.crypto.rotation import data, indexes, jobs, kek
from hospital.crypto.rotation.jobs import Phase
from hospital.crypto.suites import Suite

# Rows a second on one core, as `make bench` finds them at the least.
_KEYS: Final = 20_000
_ROWS: Final = 8_000
_DIGESTS: Final = 5_000


class UnknownLabel(LookupError):
    """No index is called that."""


@dataclass(frozen=True)
class Errand:
    """One job to do, or to go on with."""

    kind: Job.Kind
    target: str
    phases: Mapping[str, Phase]
    counts: Mapping[str, int] = field(default_factory=dict)  # what → rows
    pace: int = _ROWS  # rows a second
    waits: int = 1  # how often every process has to hear of something
    forgets: int = 0  # rows that are found by this index no longer

    def seconds(self, *, rate: int) -> int:
        """Return how long it may take."""
        pace = min(rate, self.pace) if rate else self.pace
        each: int = settings.KEY_CACHE_SECONDS + settings.IN_HAND_SECONDS
        return round(sum(self.counts.values()) / pace) + self.waits * each


def new_kek() -> Errand:
    begun = jobs.unfinished(Job.Kind.KEK)
    target = begun.target if begun else kek.target()
    counts = {"密钥": kek.left_behind(target=target)}
    return Errand(Job.Kind.KEK, target, kek.PHASES, counts, pace=_KEYS, waits=0)


def new_data_keys() -> Errand:
    begun = jobs.unfinished(Job.Kind.DATA)
    suite = epochs.configured_suite().name.lower().replace("_", "-")
    target = begun.target if begun else suite
    counts = {"主体": data.subjects(), **data.values()}
    return Errand(Job.Kind.DATA, target, data.PHASES, counts, waits=2)


def new_index_keys(label: str = "") -> list[Errand]:
    """
    Return one errand per label; for all labels if none is given.

    :raises UnknownLabel: no key of that label was ever made
    """
    known = indexes.labels()
    if label and label not in known:
        raise UnknownLabel(", ".join(known))
    return [_index(one) for one in known if label in {"", one}]


def new_suite(suite: Suite) -> list[Errand]:
    """Return what is still to be done until nothing is left of any other suite."""
    errands = []
    if jobs.unfinished(Job.Kind.KEK) or _active_suite() != suite:
        errands.append(new_kek())
    if jobs.unfinished(Job.Kind.DATA) or data.of_other_suite(suite):
        errands.append(new_data_keys())
    return errands + [
        _index(label)
        for label in indexes.labels()
        if _begun(label) or not indexes.is_of(label, suite.mac)
    ]


def _index(label: str) -> Errand:
    begun = _begun(label)
    target = begun.target if begun else indexes.target(label)
    counts = {label: indexes.rows_of(label)}
    waits = 1 if indexes.is_for_tokens(label) else 3
    forgets = 0 if begun else indexes.forgets(label)  # what is begun was agreed to
    return Errand(
        Job.Kind.INDEX, target, indexes.PHASES, counts, pace=_DIGESTS, waits=waits, forgets=forgets
    )


def _begun(label: str) -> Job | None:
    return jobs.unfinished(Job.Kind.INDEX, target__startswith=f"{label}/")


def _active_suite() -> int | None:
    active = KeyEpoch.objects.using(key_database()).filter(state=KeyEpoch.State.ACTIVE)
    return active.values_list("suite", flat=True).first()
