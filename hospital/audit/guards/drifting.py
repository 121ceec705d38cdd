"""What is not as migrated on the trail's tables: triggers, functions, columns, rights."""

import re
from collections.abc import Iterator
from typing import Any, Final

from django.conf import settings
from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards.append_only import EVENT, KEYS, PENDING
from hospital.audit.guards.installing import wanted as wanted_guards
from hospital.audit.guards.triggers import amiss_of
from hospital.audit.models import Event, PayloadText

_TABLES: Final = [*KEYS, PENDING]


def drift(connection: BaseDatabaseWrapper) -> list[str]:
    """Return what is missing, changed, switched off or foreign, one sentence each."""
    amiss = amiss_of(connection, wanted_guards(connection))
    found = [f"{what}：{name}" for name, what in sorted(amiss.items())]
    if connection.vendor == "postgresql":
        return [*found, *_relations(connection), *_columns(connection), *_rights(connection)]
    return [*found, *_missing(connection), *_expressions(connection)]


def owner(connection: BaseDatabaseWrapper) -> str:
    """
    Return why whoever is connected could switch the guards off; "" if they could not.

    A session that took the owner's role on purpose (SET ROLE, as for a migration) is not meant.
    """
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT r.rolsuper, pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER')"
            " FROM pg_catalog.pg_roles r JOIN pg_catalog.pg_class c ON c.relname = %s"
            " AND c.relkind IN ('r', 'p') JOIN pg_catalog.pg_namespace n"
            " ON n.oid = c.relnamespace AND n.nspname = current_schema()"
            " WHERE r.rolname = current_user AND current_user = session_user",
            [EVENT],
        )
        is_super, is_owner = cursor.fetchone() or (False, False)
    if is_super:
        return "当前数据库账号是超级用户"
    return "当前数据库账号拥有留痕的数据表" if is_owner else ""


# PostgreSQL


def _relations(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Tables that are views by now; rules, policies and heirs that have rows go elsewhere."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.relkind, c.relrowsecurity, c.relhassubclass, c.relpersistence"
            " FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace"
            " WHERE n.nspname = current_schema() AND c.relname = ANY(%s)",
            [_TABLES],
        )
        found = {name: rest for name, *rest in cursor.fetchall()}
        for name in _TABLES:
            if name not in found:
                yield f"缺少数据表：{name}"
            elif found[name] != ["r", False, False, "p"]:
                yield f"不再是普通数据表：{name}"
        cursor.execute(
            "SELECT tablename, rulename FROM pg_catalog.pg_rules"
            " WHERE schemaname = current_schema() AND tablename = ANY(%s) ORDER BY 1, 2",
            [_TABLES],
        )
        for table, rule in cursor.fetchall():
            yield f"多出重写规则：{table} {rule}"


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


# What somebody besides the owner may hold: the application, the notary, whoever reads.
_HELD: Final = {
    EVENT: {"SELECT"},
    PENDING: {"SELECT", "DELETE"},
    **{table: {"SELECT", "INSERT"} for table in set(KEYS) - {EVENT}},
}
_WRITTEN: Final = {"uid", "payload", "mac", "mac_key"}
_WORKS_OFF: Final = (PENDING, "DELETE")
_LOG: Final = {"audit_leaf", "audit_tile", "audit_checkpoint", "audit_anchor"}

_ACL: Final = """
    SELECT c.relname, '', a.privilege_type, a.is_grantable,
           coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND a.grantee <> c.relowner
    UNION ALL
    SELECT c.relname, t.attname, a.privilege_type, a.is_grantable,
           coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped
    CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND a.grantee <> c.relowner
    ORDER BY 1, 2, 3, 5
"""
_OWNERS: Final = """
    SELECT count(DISTINCT c.relowner) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s)
"""


def _rights(connection: BaseDatabaseWrapper) -> Iterator[str]:
    with connection.cursor() as cursor:
        cursor.execute(_ACL, [_TABLES, _TABLES])
        given = cursor.fetchall()
        # Who works the queue off is the notary: only that role makes leaves, and there is one.
        notaries = {who for table, _, right, _, who in given if (table, right) == _WORKS_OFF}
        for table, column, right, may_give, who in given:
            own = {"SELECT"} | ({"INSERT"} if table == EVENT and column in _WRITTEN else set())
            held = own if column else _HELD[table]
            seals = right == "INSERT" and table in _LOG and who not in notaries
            if right not in held or may_give or who == "PUBLIC" or seals:
                place = f"{table}.{column}" if column else table
                yield f"多出权限：{who} 对 {place} 有 {right}"
        if len(notaries) > 1:
            yield f"不止一个账号能封存：{'、'.join(sorted(notaries))}"
        cursor.execute(_OWNERS, [_TABLES])
        if cursor.fetchone() != (1,):
            yield "留痕的数据表不属于同一个账号"
    if settings.DEPLOY_LEVEL == "3" and (why := owner(connection)):
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
