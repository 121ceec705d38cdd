"""Which keys there are and since when, for people to read: never a key, wrapped or not."""

from dataclasses import dataclass
from datetime import datetime

from django.db.models import Count, Q

from hospital.crypto.models import DataKey, IndexKey, KeyEpoch


@dataclass(frozen=True)
class Epoch:
    """One key-encryption key."""

    number: int
    suite: str
    provider: str
    state: str
    is_active: bool
    created_at: datetime


def epochs() -> list[Epoch]:
    """Return every one there ever was, oldest first."""
    return [
        Epoch(
            number=one.epoch,
            suite=one.get_suite_display(),
            provider=one.provider,
            state=one.get_state_display(),
            is_active=one.state == KeyEpoch.State.ACTIVE,
            created_at=one.created_at,
        )
        for one in KeyEpoch.objects.order_by("epoch")
    ]


def index_keys() -> list[tuple[str, int, str]]:
    """Return label, version and state of each."""
    rows = IndexKey.objects.order_by("label", "version")
    return [(one.label, one.version, str(one.get_state_display())) for one in rows]


def data_keys() -> tuple[int, int]:
    """Return how many serve, and how many are destroyed. Reads the whole table."""
    counted = DataKey.objects.aggregate(
        serving=Count("pk", filter=Q(destroyed_at=None)),
        destroyed=Count("pk", filter=Q(destroyed_at__isnull=False)),
    )
    return counted["serving"], counted["destroyed"]


def half_destroyed() -> int:
    """Return how many are said to be destroyed and are there all the same."""
    return DataKey.objects.filter(destroyed_at__isnull=False, wrapped__isnull=False).count()
