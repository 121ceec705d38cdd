"""Triggers and their functions: made, taken down, and compared with what the catalogue says."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

# pg_trigger.tgtype, https://www.postgresql.org/docs/15/catalog-pg-trigger.html
ROW, BEFORE, INSERT, DELETE, UPDATE, TRUNCATE = 1, 2, 4, 8, 16, 32

MISSING: Final = "缺少触发器"
SEARCH_PATH: Final = "pg_catalog, pg_temp"


@dataclass(frozen=True)
class Trigger:
    """
    One trigger: `sql` makes it.

    With PostgreSQL the rest is how the catalogue describes it.

    :param enabled: "A": also in a replica's session; "O": not there, where it was asked before
    """

    name: str
    table: str
    sql: str
    kind: int = 0
    function: str = ""
    enabled: str = "A"
    is_deferred: bool = False


@dataclass(frozen=True)
class Function:
    """
    One function of PostgreSQL's, in PL/pgSQL.

    SECURITY DEFINER: who may write an event need not have any right to the queue.
    """

    name: str
    body: str
    arguments: str = ""  # as declared: names and types
    returns: str = "trigger"

    @property
    def sql(self) -> str:
        return (
            f"CREATE OR REPLACE FUNCTION {self.name}({self.arguments}) RETURNS {self.returns}"
            f" LANGUAGE plpgsql SECURITY DEFINER SET search_path = {SEARCH_PATH}"
            f" AS $${self.body}$$"
        )


@dataclass(frozen=True)
class Guards:
    """What belongs on these tables: nothing else does."""

    tables: list[str]
    triggers: list[Trigger]
    functions: list[Function]


def put_up(connection: BaseDatabaseWrapper, guards: Guards) -> None:
    """Make what is missing or not as it should be; what is foreign is left, and told."""
    with connection.cursor() as cursor:
        amiss = amiss_of(connection, guards)
        for function in guards.functions:
            if function.name in amiss:
                cursor.execute(function.sql)
                cursor.execute(
                    f"REVOKE ALL ON FUNCTION {function.name}({function.arguments}) FROM PUBLIC"
                )
        for trigger in guards.triggers:
            if trigger.name in amiss:
                # Not if there is none: it would keep readers out for nothing.
                if amiss[trigger.name] != MISSING:
                    _drop(cursor, trigger)
                cursor.execute(trigger.sql)


def take_down(connection: BaseDatabaseWrapper, guards: Guards) -> None:
    with connection.cursor() as cursor:
        for trigger in guards.triggers:
            _drop(cursor, trigger)


def amiss_of(connection: BaseDatabaseWrapper, guards: Guards) -> dict[str, str]:
    """Return name → what is the matter with it."""
    wanted = {trigger.name: trigger for trigger in guards.triggers}
    found = _found(connection, guards.tables)
    missing = dict.fromkeys(wanted.keys() - found.keys(), MISSING)
    foreign = dict.fromkeys(found.keys() - wanted.keys(), "多出触发器")
    changed = {
        name: "触发器被改动或停用"
        for name in wanted.keys() & found.keys()
        if found[name] != _described(wanted[name], connection.vendor)
    }
    return missing | foreign | changed | _functions_amiss(connection, guards.functions)


def schema_of(cursor: Any) -> str:
    """Return the schema of the tables, quoted."""
    cursor.execute("SELECT quote_ident(current_schema())")
    (schema,) = cursor.fetchone()
    return str(schema)


def _drop(cursor: Any, trigger: Trigger) -> None:
    suffix = f" ON {trigger.table}" if trigger.function else ""
    cursor.execute(f"DROP TRIGGER IF EXISTS {trigger.name}{suffix}")


def _described(trigger: Trigger, vendor: str) -> tuple[Any, ...]:
    if vendor != "postgresql":
        return (trigger.table, trigger.sql)
    deferred = (trigger.is_deferred, trigger.is_deferred)
    return (trigger.table, trigger.kind, trigger.enabled, trigger.function, True, *deferred)


# The fifth column: on every row, whatever column changes, by a function of this schema.
_TRIGGERS: Final = """
    SELECT t.tgname, c.relname, t.tgtype, t.tgenabled, p.proname,
           t.tgqual IS NULL AND t.tgattr::text = '' AND t.tgnargs = 0
           AND t.tgoldtable IS NULL AND t.tgnewtable IS NULL AND p.pronamespace = c.relnamespace,
           t.tgdeferrable, t.tginitdeferred
    FROM pg_catalog.pg_trigger t
    JOIN pg_catalog.pg_class c ON c.oid = t.tgrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND n.nspname = current_schema() AND c.relname = ANY(%s)
"""


def _found(connection: BaseDatabaseWrapper, tables: list[str]) -> dict[str, tuple[Any, ...]]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_TRIGGERS, [tables])
        else:
            cursor.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
        rows = cursor.fetchall()
    return {name: (table, *rest) for name, table, *rest in rows if table in tables}


_FUNCTIONS: Final = """
    SELECT p.proname, pg_catalog.pg_get_function_arguments(p.oid), p.prosrc, p.prosecdef,
           p.proconfig, l.lanname, pg_catalog.format_type(p.prorettype, NULL),
           p.proowner = (
               SELECT c.relowner FROM pg_catalog.pg_class c
               WHERE c.relname = 'audit_event' AND c.relnamespace = p.pronamespace
           )
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    JOIN pg_catalog.pg_language l ON l.oid = p.prolang
    WHERE n.nspname = current_schema() AND p.proname = ANY(%s)
"""


def _functions_amiss(
    connection: BaseDatabaseWrapper, functions: Iterable[Function]
) -> dict[str, str]:
    wanted = {
        (one.name, one.arguments): (
            one.body,
            True,
            [f"search_path={SEARCH_PATH}"],
            "plpgsql",
            one.returns,
            True,
        )
        for one in functions
    }
    if not wanted:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(_FUNCTIONS, [[name for name, _ in wanted]])
        found = {(name, given): tuple(rest) for name, given, *rest in cursor.fetchall()}
    changed = {
        name: "函数被改动或缺少"
        for (name, given), described in wanted.items()
        if found.get((name, given)) != described
    }
    # An overload may be called instead of ours, or be what a later GRANT by name means.
    overloads = {f"{name}({given})": "多出同名函数" for name, given in found.keys() - wanted.keys()}
    return changed | overloads
