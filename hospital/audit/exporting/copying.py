"""
PostgreSQL's COPY: what leaves the database without passing through rows of Python.

The table's cells are made in SQL here and in Python in `tables`, for the other database and for
workbooks; a test holds the two together.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from hospital import direct
from hospital.audit.exporting.selecting import Filters, Range, Selection
from hospital.audit.times import LATEST

# In the connection's zone and style. A timestamp's own text leaves trailing zeros off, which nine
# in ten do not have, and takes half as long as to_char.
_MOMENT: Final = "(timestamptz 'epoch' + e.at_us * interval '1 microsecond')::timestamp"
_TIME: Final = (
    f"CASE WHEN e.at_us < 0 OR e.at_us >= {LATEST} THEN ''"
    f" WHEN e.at_us %% 10 <> 0 THEN {_MOMENT}::text"
    f" ELSE coalesce(to_char({_MOMENT}, 'YYYY-MM-DD HH24:MI:SS.US'), '') END"
)

# Values cut out of the canonical line: several times as fast as parsing it. Its keys are sorted, so
# that what stands before `facts` are words, each between the same quotation marks in every line;
# and behind it nothing in a text is taken for a key, since its own quotation marks are escaped.
_APART: Final = ", ".join(
    f"{cut} AS {name}"
    for name, cut in (
        ("role", """split_part(e.payload, '"', 14)"""),
        ("ip", """split_part(e.payload, '"', 24)"""),
        ("facts", """split_part(split_part(e.payload, ',"object":{', 1), '"facts":', 2)"""),
        ("typed", """split_part(split_part(e.payload, '","reason":"', 2), '"', 1)"""),
    )
)
# OFFSET 0: each is made once, however often it is named.
_BESIDE: Final = f"CROSS JOIN LATERAL (SELECT {_APART} OFFSET 0) j"
# Of the four only the reason is free text, which may have to be unescaped.
_REASON: Final = (
    "(CASE WHEN strpos(j.typed, '\\') = 0 THEN j.typed ELSE e.payload::jsonb ->> 'reason' END)"
)
_TYPED: Final = (
    "e.action", "e.outcome", "e.actor_type", "e.actor_id", "j.role", "e.object_type", "e.object_id",
    "e.request_id", "j.ip", _REASON,
)  # fmt: skip


def joined(selection: Selection, *, how: str = "LEFT", beside: str = "") -> tuple[str, list[Any]]:
    """
    Return FROM to ORDER BY, wanting the first leaf and the one after the last as well.

    :param how: INNER leaves out what was not chosen
    :param beside: a further join
    """
    condition, values = selection.condition() if isinstance(selection, Filters) else ("", [])
    matching = f" AND {condition}" if condition else ""
    return (
        f"FROM audit_leaf l {how} JOIN audit_event e ON e.id = l.event_id{matching} {beside}"
        ' WHERE l."index" >= %s AND l."index" < %s ORDER BY l."index"'
    ), values


def table(
    selection: Selection,
    start: int,
    end: int,
    *,
    labels: Mapping[str, str],
    lost: str,
    risky: str,
    zone: str,
) -> Iterator[bytes]:
    """
    Yield lines of CSV, one for each chosen leaf, its event being there or not.

    :param lost: what is said of an event that is not
    :param risky: the characters a text must not begin with
    :param zone: the name of the time zone of the times
    """
    signs = ", ".join(str(ord(sign)) for sign in risky)
    guarded = ", ".join(
        f"CASE WHEN ascii({one}) IN ({signs}) THEN '''' || {one} ELSE coalesce({one}, '') END"
        for one in _TYPED
    )
    cells = (
        f'l."index", {_TIME}, CASE WHEN e.id IS NULL THEN %s'
        f" ELSE coalesce(%s::jsonb ->> e.action, '') END, {guarded},"
        " coalesce(j.facts, ''), CASE WHEN e.action IS NULL THEN '' ELSE e.uid::text END,"
        " encode(l.hash, 'hex')"
    )
    how = "LEFT" if isinstance(selection, Range) else "INNER"
    source, values = joined(selection, how=how, beside=_BESIDE)
    parameters = [lost, json.dumps(labels), *values, start, end]
    return copied(f"SELECT {cells} {source}", parameters, selection, form="csv", zone=zone)


def copied(
    question: str,
    values: list[Any],
    selection: Selection,
    *,
    form: str = "text",
    zone: str = "UTC",
) -> Iterator[bytes]:
    """Yield what COPY gives for a question, a row at a time, in one snapshot."""
    with _snapshot() as own, own.cursor() as cursor:
        cursor.execute(
            "SELECT set_config('TimeZone', %s, true), set_config('DateStyle', 'ISO', true)", [zone]
        )
        if isinstance(selection, Range):
            # Nearly every event is wanted, nearly in the order they were written: looked up one by
            # one the first comes at once. A hash of them all, or a sort, would take a minute.
            cursor.execute("SET LOCAL enable_hashjoin = off")
            cursor.execute("SET LOCAL enable_mergejoin = off")
        with cursor.copy(f"COPY ({question}) TO STDOUT (FORMAT {form})", values) as copy:
            for data in copy:
                yield bytes(data)


@contextmanager
def _snapshot() -> Iterator[BaseDatabaseWrapper]:
    """Open a connection of our own: nobody else's transaction, and none through a pooler's."""
    own = direct.connect()
    try:
        with own.cursor() as cursor:
            cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        try:
            yield own
        finally:
            with own.cursor() as cursor:
                cursor.execute("ROLLBACK")
    finally:
        own.close()
