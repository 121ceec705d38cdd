"""What is not as migrated on the trail's tables: triggers, functions, keys, columns, views."""

import re
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit import coverage
from hospital.audit.guards import rights, unambiguous
from hospital.audit.guards.append_only import EVENT, KEYS, PENDING
from hospital.audit.guards.installing import wanted as wanted_guards
from hospital.audit.guards.triggers import amiss_of
from hospital.audit.models import Event, PayloadText

_TABLES: Final = [*KEYS, PENDING]


def drift(connection: BaseDatabaseWrapper) -> list[str]:
    """Return what is missing, changed, switched off or foreign, one sentence each."""
    amiss = amiss_of(connection, wanted_guards(connection))
    found = [f"{what}：{name}" for name, what in sorted(amiss.items())]
    found += unambiguous.missing(connection)
    if connection.vendor == "postgresql":
        return [*found, *_relations(connection), *_columns(connection), *_rights(connection)]
    return [*found, *_missing(connection), *_expressions(connection)]


# PostgreSQL


# A rule of a view's that names the table: the view may let somebody change it.
_VIEWS: Final = """
    SELECT DISTINCT t.relname, n.nspname || '.' || v.relname
    FROM pg_catalog.pg_depend d
    JOIN pg_catalog.pg_rewrite w ON w.oid = d.objid
    JOIN pg_catalog.pg_class v ON v.oid = w.ev_class
    JOIN pg_catalog.pg_namespace n ON n.oid = v.relnamespace
    JOIN pg_catalog.pg_class t ON t.oid = d.refobjid AND t.oid <> v.oid
    JOIN pg_catalog.pg_namespace s ON s.oid = t.relnamespace
    WHERE d.classid = 'pg_catalog.pg_rewrite'::pg_catalog.regclass
      AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
      AND s.nspname = current_schema() AND t.relname = ANY(%s) ORDER BY 1, 2
"""


def _guarded() -> list[str]:
    """The trail's tables, and those whose changes it records."""
    return [*_TABLES, *(one.table for one in coverage.covered())]


def _relations(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Tables that are views by now; what has rows go elsewhere: rules, policies, heirs, views."""
    tables = _guarded()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.relkind, c.relrowsecurity, c.relhassubclass, c.relpersistence"
            " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = current_schema() AND c.relname = ANY(%s)",
            [tables],
        )
        found = {name: rest for name, *rest in cursor.fetchall()}
        for name in tables:
            if name not in found:
                yield f"缺少数据表：{name}"
            elif found[name] != ["r", False, False, "p"]:
                yield f"不再是普通数据表：{name}"
        cursor.execute(
            "SELECT tablename, rulename FROM pg_catalog.pg_rules"
            " WHERE schemaname = current_schema() AND tablename = ANY(%s) ORDER BY 1, 2",
            [tables],
        )
        for table, rule in cursor.fetchall():
            yield f"多出重写规则：{table} {rule}"
        cursor.execute(_VIEWS, [_TABLES])
        for table, view in cursor.fetchall():
            yield f"多出视图：{view} 取自 {table}"


_DEFAULTS: Final = """
    SELECT a.attname, a.attgenerated, a.attidentity,
           pg_catalog.pg_get_expr(d.adbin, d.adrelid)
    FROM pg_catalog.pg_attribute a
    JOIN pg_catalog.pg_class c ON c.oid = a.attrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_catalog.pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
    WHERE n.nspname = current_schema() AND c.relname = %s AND a.attnum > 0
      AND NOT a.attisdropped
"""


def _columns(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """What the database itself puts into a column must be what we told it to."""
    wanted = {"id": ("", "d", ""), "txid": ("", "", "pg_current_xact_id")}
    for name, path, is_number in _shown():
        cast = "::bigint" if is_number else ""
        wanted[name] = ("s", "", f"payload::jsonb#>>'{{{','.join(path)}}}'::text[]{cast}")
    with connection.cursor() as cursor:
        cursor.execute(_DEFAULTS, [EVENT])
        found = {
            name: (generated, identity, re.sub(r"[()\s]", "", expression or ""))
            for name, generated, identity, expression in cursor.fetchall()
        }
    if not found:
        return
    stored = {str(column.column) for column in Event._meta.local_concrete_fields} | {"txid"}
    for name in sorted(stored | found.keys()):
        if name not in found:
            yield f"缺少列：{EVENT}.{name}"
        elif found[name] != wanted.get(name, ("", "", "")) or name not in stored:
            yield f"列的定义被改动：{EVENT}.{name}"


def _shown() -> Iterator[tuple[str, tuple[str, ...], bool]]:
    for column in Event._meta.local_concrete_fields:
        expression: Any = getattr(column, "expression", None)
        if isinstance(expression, PayloadText):
            is_number = expression.output_field.get_internal_type() == "BigIntegerField"
            yield str(column.column), expression.path, is_number


_OWNERS: Final = """
    SELECT count(DISTINCT c.relowner) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s)
"""


def _rights(connection: BaseDatabaseWrapper) -> Iterator[str]:
    yield from rights.too_many(connection)
    with connection.cursor() as cursor:
        cursor.execute(_OWNERS, [_guarded()])
        if cursor.fetchone() != (1,):
            yield "受保护的数据表不属于同一个账号"
    if settings.DEPLOY_LEVEL == "3" and (why := rights.owner(connection)):
        yield f"没有约束力：{why}"


# SQLite


def _missing(connection: BaseDatabaseWrapper) -> Iterator[str]:
    there = set(connection.introspection.table_names())
    yield from (f"缺少数据表：{name}" for name in _TABLES if name not in there)


def _expressions(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT sql FROM sqlite_master WHERE name = %s", [EVENT])
        (made,) = cursor.fetchone() or ("",)
    for name, path, is_number in _shown():
        kind, place = "bigint" if is_number else "text", ".".join(path)
        said = f"""json_extract("payload", '$.{place}')"""
        if f'"{name}" {kind} GENERATED ALWAYS AS ({said}) STORED' not in made:
            yield f"列的定义被改动：{EVENT}.{name}"
