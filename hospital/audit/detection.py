"""Something unusual becomes a finding: a row for the auditor, an event, and a line of log."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import structlog
from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.findings import Finding
from hospital.audit.recording import SYSTEM, record
from hospital.audit.stated import number
from hospital.audit.times import micros

logger = structlog.get_logger(__name__)

_LONGEST: Final = 64  # characters of a key that say about whom or what


@dataclass(frozen=True)
class Occasion:
    """
    What is unusual this once. Ids, numbers and slugs only.

    :param about: of whom or what, as far as occasions of this kind are told apart by it
    :param first: what began it; the next occasion begins with something else
    """

    kind: str
    severity: Finding.Severity
    first: str
    about: str = ""
    count: int = 1
    subjects: Sequence[str] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> str:
        return f"{beginning(self.kind, self.about)}{self.first}"


@dataclass(frozen=True)
class Growth:
    """
    What an open finding has become meanwhile.

    :param count: altogether
    :param until: when the last of it was, microseconds since 1970
    """

    finding: Finding
    count: int
    until: int


def beginning(kind: str, about: str) -> str:
    """Return how the keys of all such occasions begin; `#` is in no id and no slug."""
    if len(about) > _LONGEST:
        about = hashlib.sha256(about.encode()).hexdigest()[:32]
    return f"{kind}:{about}#"


def detect(occasion: Occasion, *, at: datetime) -> Finding | None:
    """Return the finding this occasion becomes; None if it is one already."""
    with transaction.atomic():
        finding, is_new = Finding.objects.get_or_create(
            key=occasion.key,
            defaults={
                "kind": occasion.kind,
                "severity": occasion.severity,
                "at": at,
                "facts": {**occasion.facts, "count": occasion.count, "counted": micros(at)},
            },
        )
        if not is_new:
            return None
        _raise(finding, occasion.count, occasion.subjects, at=at)
    _log(finding, occasion.count)
    return finding


def grow(growth: Growth, *, at: datetime) -> Finding | None:
    """Raise a finding once more that has at least doubled; None if it has not, or is settled."""
    with transaction.atomic():
        open_ = Finding.objects.filter(pk=growth.finding.pk, state=Finding.State.OPEN)
        finding = open_.select_for_update().first()
        if finding is None or growth.count < 2 * number(finding.facts.get("count")):
            return None
        finding.facts |= {"count": growth.count, "until": growth.until, "counted": micros(at)}
        finding.save(update_fields=["facts"])
        subjects = [who for name in ("actor_id", "object_id") if (who := finding.facts.get(name))]
        _raise(finding, growth.count, subjects, at=at)
    _log(finding, growth.count)
    return finding


def _raise(finding: Finding, count: int, subjects: Sequence[str], *, at: datetime) -> None:
    record(
        Action.FINDING_RAISE,
        by=SYSTEM,
        on=finding,
        at=at,
        kind=finding.kind,
        count=count,
        subjects=subjects,
    )


def _log(finding: Finding, count: int) -> None:
    logger.warning(
        "finding.raised",
        finding=str(finding.pk),
        kind=finding.kind,
        severity=finding.severity,
        count=count,
    )
