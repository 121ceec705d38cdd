"""The rule about what two people agreed on and nobody could do."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from hospital.audit import proposing
from hospital.audit.detection import Occasion
from hospital.audit.findings import Finding
from hospital.audit.proposals import Proposal

_WINDOW: Final = timedelta(days=7)  # for as long as the rules may have been at rest


@dataclass(frozen=True)
class Undone:
    """Each request that was approved and failed is an occasion."""

    kind: str
    title: str
    severity: Finding.Severity

    def occasions(self, at: datetime) -> Iterator[Occasion]:
        failed = Proposal.objects.filter(state=Proposal.State.FAILED, done_at__gte=at - _WINDOW)
        known = set(Finding.objects.filter(kind=self.kind).values_list("key", flat=True))
        for proposal in failed:
            occasion = Occasion(
                self.kind,
                self.severity,
                first=str(proposal.pk),
                facts={"proposal": str(proposal.pk), "code": proposing.why_failed(proposal)},
            )
            if occasion.key not in known:
                yield occasion
