"""How long the trail is kept: calendar months, and never fewer than the law says."""

from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.utils import timezone
from uuid6 import uuid7

from hospital import retention
from hospital.audit.keeping import periods
from hospital.privacy.models import RetentionRule
from tests.hospital.notarised import House

NOW = timezone.now()


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("2026-08-31", "2026-02-28"),
        ("2024-08-31", "2024-02-29"),
        ("2028-02-29", "2027-08-29"),
        ("2026-03-31", "2025-09-30"),
        ("2026-06-30", "2025-12-30"),
        ("2027-01-15", "2026-07-15"),
    ],
)
def test_six_months_are_calendar_months(now, then):
    at = datetime.fromisoformat(f"{now}T08:30:00+00:00")

    assert periods.floor(at) == datetime.fromisoformat(f"{then}T08:30:00+00:00")


def test_whatever_is_configured_nothing_is_due_before_the_law_says_so(db, settings):
    settings.TRAIL_KEEP_MONTHS = 1
    RetentionRule.objects.create(category="trail", value=6, proposal=uuid7(), changed_at=NOW)
    retention.forget()

    assert periods.due(NOW) == periods.floor(NOW)


def test_the_hospital_keeps_them_longer(db):
    assert periods.due(datetime(2026, 11, 21, tzinfo=UTC)) == datetime(2023, 11, 21, tzinfo=UTC)


@pytest.mark.postgresql
def test_a_checkpoint_of_no_time_was_signed_at_none(db, tmp_path):
    if connection.vendor != "postgresql":
        pytest.skip("postgresql only")
    house = House(tmp_path)
    house.seal(3)
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO audit_checkpoint VALUES (99, '', '', 'infinity')")

    assert periods.sealed_by(house.now + timedelta(days=1)) == 3
