"""What an erasure would touch, before anybody decides it: every table."""

from dataclasses import dataclass
from uuid import UUID

from hospital.privacy import subjects


@dataclass(frozen=True)
class Part:
    """
    :param outcome: what is done here; "" if nothing is
    :param remains: what stays, and why; "" if nothing does
    """

    label: str
    count: int
    outcome: str
    remains: str


def plan(*records: UUID) -> list[Part]:
    """Return every place with how much of these records is there, from the patient outwards."""
    return [
        Part(place.label, sum(map(place.count, records)), place.outcome, place.remains)
        for place in subjects.places()
    ]
