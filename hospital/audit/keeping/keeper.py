"""
What the account of the database in use may do to old events: all of it, or nothing.

Where accounts are separated (`grantroles`) only the keeper's may, by whom nothing is asked for and
nothing approved. SQLite has no accounts, and an owner of the tables may everything.
"""

from typing import Final

from django.db import connection

_MAY: Final = """
    SELECT has_table_privilege(t.oid, 'INSERT') AND (f.oid IS NULL
        OR has_function_privilege(f.oid, 'EXECUTE'))
    FROM pg_catalog.pg_class t
    LEFT JOIN pg_catalog.pg_proc f ON f.proname = %s AND f.pronamespace = t.relnamespace
    WHERE t.relname = %s AND t.relnamespace = current_schema()::regnamespace
"""


def may_archive() -> bool:
    """Return whether it may say that something is archived."""
    return _may("audit_archive")


def may_remove() -> bool:
    """Return whether it may remove what two people decided to remove."""
    return _may("audit_pruned", "audit_prune")


def may_redact() -> bool:
    """Return whether it may redact what two people decided to redact."""
    return _may("audit_redacted", "audit_redact")


def _may(table: str, function: str = "") -> bool:
    if connection.vendor != "postgresql":
        return True
    with connection.cursor() as cursor:
        cursor.execute(_MAY, [function, table])
        answers = cursor.fetchall()
    return bool(answers) and all(may for (may,) in answers)
