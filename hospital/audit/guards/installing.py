"""All guards of a database, put up and taken down."""

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards import append_only, completeness
from hospital.audit.guards.triggers import Guards, put_up, schema_of, take_down


def install(connection: BaseDatabaseWrapper) -> None:
    """Put up what is missing or not as it should be, on the tables that are there."""
    with transaction.atomic(using=connection.alias):
        put_up(connection, wanted(connection))


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take them down; for tests, which empty the tables, and for undoing the migration."""
    with transaction.atomic(using=connection.alias):
        take_down(connection, wanted(connection))


def wanted(connection: BaseDatabaseWrapper) -> Guards:
    """Return all that belongs on the tables that are there."""
    with connection.cursor() as cursor:
        there = set(connection.introspection.table_names(cursor))
        schema = ""
        if connection.vendor == "postgresql":
            schema = schema_of(cursor)
            cursor.execute(
                "SELECT 1 FROM information_schema.columns WHERE table_schema = current_schema()"
                " AND table_name = 'audit_event' AND column_name = 'txid'"
            )
            there |= {"audit_event.txid"} if cursor.fetchone() else set()
    lines = append_only.guards(connection.vendor, schema, there)
    changes = completeness.guards(connection.vendor, schema, there)
    return Guards(
        [*lines.tables, *changes.tables],
        [*lines.triggers, *changes.triggers],
        [*lines.functions, *changes.functions],
    )
