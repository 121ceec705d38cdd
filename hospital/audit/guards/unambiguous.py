"""
What is told apart is told apart by the database: keys that are unique, ranges that are ranges.

Without them an old event could be inserted again as it is, code, text, number and all; or, its code
being over its text alone, under a number of its own, which the text does not state.
"""

from collections.abc import Iterator
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards.append_only import KEYS, PENDING

UNIQUE: Final = {
    (table, columns)
    for table, keys in (*KEYS.items(), (PENDING, ("event_id",)))
    for columns in keys
}
# With PostgreSQL, as its catalogue words them: https://www.postgresql.org/docs/15/functions-info.html
_CHECKED: Final = {
    ("audit_archive", "archive_range"): 'CHECK ((("end" > start) AND (start >= 0)))',
    ("audit_event", "audit_event_mac_key_check"): "CHECK ((mac_key >= 0))",
    # The covered text of a redacted line states none.
    ("audit_event", "audit_event_own_uid"): (
        """CHECK (((strpos(payload, (('"uid":"'::text || (uid)::text) || '"'::text)) > 0)"""
        """ OR (strpos(payload, '"uid":"'::text) = 0)))"""
    ),
    ("audit_leaf", "leaf_index"): "CHECK ((index >= 0))",
    ("audit_pruned", "pruned_range"): 'CHECK ((("end" > start) AND (start >= 0)))',
    ("audit_tile", "audit_tile_level_check"): "CHECK ((level >= 0))",
}

# Valid for every row and at every moment: no part of the table, no expression, not deferred.
_INDEXES: Final = """
    SELECT c.relname, (
        SELECT string_agg(a.attname, ', ' ORDER BY k.place)
        FROM unnest(i.indkey::smallint[]) WITH ORDINALITY k (attnum, place)
        JOIN pg_catalog.pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.attnum
        WHERE k.place <= i.indnkeyatts
    )
    FROM pg_catalog.pg_index i
    JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND i.indisunique
      AND i.indisvalid AND i.indisready AND i.indislive AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL
"""
_CONSTRAINTS: Final = """
    SELECT c.relname, k.conname, k.contype, k.convalidated, pg_catalog.pg_get_constraintdef(k.oid)
    FROM pg_catalog.pg_constraint k
    JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND k.contype IN ('c', 'f', 'x')
    ORDER BY 1, 2
"""
# With SQLite: https://sqlite.org/pragma.html#pragma_index_list
_LISTED: Final = """
    SELECT m.name, l.name, i.name FROM sqlite_master m, pragma_index_list(m.name) l,
           pragma_index_info(l.name) i
    WHERE m.type = 'table' AND l."unique" AND NOT l.partial ORDER BY 1, 2, i.seqno
"""
_ROWID: Final = """
    SELECT m.name, i.name FROM sqlite_master m, pragma_table_info(m.name) i
    WHERE m.type = 'table' AND i.pk AND upper(i.type) = 'INTEGER'
"""


def missing(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield what is not unique any more, or not checked, one sentence each."""
    is_postgresql = connection.vendor == "postgresql"
    there = set(connection.introspection.table_names())
    found = _indexes(connection) if is_postgresql else _listed(connection)
    for table, columns in sorted(UNIQUE - found):
        if table in there:
            yield f"不再唯一：{table}（{columns}）"
    if is_postgresql:
        yield from _unchecked(connection, there)


def _indexes(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    with connection.cursor() as cursor:
        cursor.execute(_INDEXES, [_tables()])
        return set(cursor.fetchall())


def _unchecked(connection: BaseDatabaseWrapper, there: set[str]) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(_CONSTRAINTS, [_tables()])
        found = {(table, name): rest for table, name, *rest in cursor.fetchall()}
    for (table, name), said in _CHECKED.items():
        if table in there and found.pop((table, name), None) != ["c", True, said]:
            yield f"约束被改动或缺少：{table} {name}"
    yield from (f"多出约束：{table} {name}" for table, name in found)


def _listed(connection: BaseDatabaseWrapper) -> set[tuple[str, str]]:
    keys: dict[tuple[str, str], list[str]] = {}
    with connection.cursor() as cursor:
        cursor.execute(_LISTED)
        for table, index, column in cursor.fetchall():
            keys.setdefault((table, index), []).append(str(column))
        cursor.execute(_ROWID)
        numbered = set(cursor.fetchall())
    return numbered | {(table, ", ".join(columns)) for (table, _), columns in keys.items()}


def _tables() -> list[str]:
    return sorted({table for table, _ in UNIQUE})
