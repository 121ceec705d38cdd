"""
Nobody may everything: looked at once a day, since whoever reaches the database can say otherwise.

What the constraints forbid is asked all the same: they can be dropped. What is found is on record
as an alert, with what it is and how often; the trail's alarm names it to the auditor.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import connection, transaction
from django.db.models import Count, Q
from django.db.models.functions import Lower, Trim

from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.labels import Label
from hospital.roles import ADMINISTRATORS, SEALED, Role

_FLAGS: Final = frozenset({"is_superuser", "is_staff"})
_POWERS: Final = """
    SELECT count(*) FROM pg_catalog.pg_roles
    WHERE (rolsuper OR rolcreaterole) AND rolname IN (current_user, session_user)
"""


def check(*, at: datetime) -> dict[str, int]:
    """Look for each way to stand above the roles; record what is found, and return it."""
    found = {code: count for code, count in _found() if count}
    for code, count in found.items():
        with transaction.atomic():
            record(Action.STAFF_PRIVILEGE, by=SYSTEM, on=None, at=at, code=code, count=count)
    return found


def _found() -> Iterator[tuple[str, int]]:
    """Yield what it is, and how often."""
    yield from _flags()
    staff = Staff.objects.order_by()
    yield "role_unknown", staff.exclude(role__in=["", *Role.values]).count()
    administrators = staff.filter(role__in=ADMINISTRATORS)
    yield "administrator_cleared", administrators.exclude(clearance=Label.INTERNAL).count()
    vendors = staff.filter(is_vendor=True)
    unbound = vendors.filter(Q(valid_until=None) | ~Q(role__in=["", Role.SYSTEM]))
    yield "vendor_unbound", unbound.count()
    yield "sealed_open", staff.filter(role__in=SEALED, is_active=True, valid_until=None).count()
    people = staff.annotate(person=Lower(Trim("person_id"))).values("person")
    yield "person_twice", people.annotate(accounts=Count("pk")).filter(accounts__gt=1).count()
    yield "database_account", _database_powers()


def _flags() -> Iterator[tuple[str, int]]:
    """Ask each table that has one of Django's flags; ours has none."""
    ours = Staff._meta.db_table
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names(cursor):
            described = connection.introspection.get_table_description(cursor, table)
            flags = _FLAGS & {column.name for column in described}
            if not flags:
                continue
            if table == ours:
                yield "flag_column", len(flags)
                continue
            cursor.execute(f"SELECT count(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608
            yield "other_users", cursor.fetchone()[0]


def _database_powers() -> int:
    """A demo may connect as whom it likes."""
    if connection.vendor != "postgresql" or settings.DEPLOY_LEVEL != "3":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(_POWERS)
        (count,) = cursor.fetchone()
    return int(count)
