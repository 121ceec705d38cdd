"""What is asked of the event of a changed row, in the SQL of both databases."""

from typing import Final

from hospital.audit.actions import BY_TAG, Action

EVENT: Final = "audit_event"
JOB: Final = "crypto_job"

REPAIR: Final = Action.DATABASE_REPAIR.value.tag
ROTATION: Final = Action.KEYS_ROTATE_BEGIN.value.tag
# One event for many rows at once, and only for rows of one table that go: it lists them.
SWEEP: Final = Action.RETENTION_SWEEP.value.tag
SWEEPING: Final = "privacy.retentionrun"  # what it is about
TABLE: Final = "table"
ROWS: Final = "rows"


def tells_of_a_change() -> str:
    """Return the condition under which the event `e` is no look, refusal or report."""

    def tags(outcome: str, *, changing: bool) -> str:
        found = [tag for tag, one in BY_TAG.items() if (outcome in one.value.changes) is changing]
        return ", ".join(f"'{tag}'" for tag in sorted(found))

    # One that this release does not know is of a later one.
    done = f"e.outcome = 'success' AND e.action NOT IN ({tags('success', changing=False)})"
    failed = f"e.outcome = 'failed' AND e.action IN ({tags('failed', changing=True)})"
    return f"({done} OR {failed})"


def quoted(name: str) -> str:
    return f'"{name}"'


def hyphened(column: str) -> str:
    """Return a UUID as events state it; Django keeps it in SQLite without hyphens."""
    cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({column}, {at}, {length})" for at, length in cuts)
