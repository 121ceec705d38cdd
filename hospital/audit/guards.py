"""
What the database itself refuses: changing, removing or replacing a line of the trail.

Triggers, and with PostgreSQL triggers that also fire for a replica's session. They prevent what
an owner of the tables does not do on purpose; whoever switches them off is found by the signed
log. SQLite drops them silently when a table is remade, so they are put back after each `migrate`.
"""

from dataclasses import dataclass
from typing import Any, Final

from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper

# Each table, and how its rows are told apart: what an INSERT must not replace.
_KEYS: Final = {
    "audit_event": ("id", "uid"),
    "audit_leaf": ("index", "event_id"),
    "audit_tile": ("id", "level, n"),
    "audit_checkpoint": ("size",),
    "audit_anchor": ("id",),
}
_EVENT, _PENDING = "audit_event", "audit_pending"

# pg_trigger.tgtype, https://www.postgresql.org/docs/15/catalog-pg-trigger.html
_ROW, _BEFORE, _INSERT, _DELETE, _UPDATE, _TRUNCATE = 1, 2, 4, 8, 16, 32


@dataclass(frozen=True)
class _Guard:
    """One trigger: `sql` makes it, `kind` is how PostgreSQL's catalogue describes it."""

    name: str
    table: str
    sql: str
    kind: int = 0
    function: str = ""


def install(connection: BaseDatabaseWrapper) -> None:
    """Put up what is missing or not as it should be, on the tables that are there."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        tables = _tables(connection)
        if not tables:
            return
        if connection.vendor == "postgresql":
            for name, body in _functions(_schema(cursor)).items():
                cursor.execute(_function(name, body))
        amiss = _amiss(connection, tables)
        for guard in _guards(connection.vendor, tables):
            if guard.name in amiss:
                _drop(cursor, guard)
                cursor.execute(guard.sql)


def remove(connection: BaseDatabaseWrapper) -> None:
    """Take them down; for tests, which empty the tables, and for undoing the migration."""
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for guard in _guards(connection.vendor, _tables(connection)):
            _drop(cursor, guard)


def drift(connection: BaseDatabaseWrapper) -> list[str]:
    """Return what is missing, changed, switched off or foreign on the trail's tables."""
    tables = _tables(connection)
    amiss = _amiss(connection, tables)
    if connection.vendor == "postgresql":
        amiss |= _changed_functions(connection) | _rules(connection, tables)
    return [f"{what}：{name}" for name, what in sorted(amiss.items())]


def _amiss(connection: BaseDatabaseWrapper, tables: list[str]) -> dict[str, str]:
    """Return name → what is the matter with it."""
    wanted = {guard.name: guard for guard in _guards(connection.vendor, tables)}
    found = _found(connection, tables)
    expected = {name: _described(guard, connection.vendor) for name, guard in wanted.items()}
    missing = dict.fromkeys(wanted.keys() - found.keys(), "缺少触发器")
    foreign = dict.fromkeys(found.keys() - wanted.keys(), "多出触发器")
    changed = {
        name: "触发器被改动或停用"
        for name in wanted.keys() & found.keys()
        if found[name] != expected[name]
    }
    return missing | foreign | changed


def _guards(vendor: str, tables: list[str]) -> list[_Guard]:
    made = []
    for table in tables:
        made += _postgresql(table) if vendor == "postgresql" else _sqlite(table)
    return made


def _tables(connection: BaseDatabaseWrapper) -> list[str]:
    there = set(connection.introspection.table_names())
    return [table for table in _KEYS if table in there and _PENDING in there]


def _drop(cursor: Any, guard: _Guard) -> None:
    suffix = f" ON {guard.table}" if guard.function else ""
    cursor.execute(f"DROP TRIGGER IF EXISTS {guard.name}{suffix}")


def _described(guard: _Guard, vendor: str) -> tuple[Any, ...]:
    if vendor == "postgresql":
        return (guard.table, guard.kind, "A", guard.function, True)
    return (guard.table, guard.sql)


def _found(connection: BaseDatabaseWrapper, tables: list[str]) -> dict[str, tuple[Any, ...]]:
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(_TRIGGERS, [tables])
        else:
            cursor.execute("SELECT name, tbl_name, sql FROM sqlite_master WHERE type = 'trigger'")
        rows = cursor.fetchall()
    return {name: (table, *rest) for name, table, *rest in rows if table in tables}


# SQLite


def _sqlite(table: str) -> list[_Guard]:
    refused = "BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END"
    same = " OR ".join(_same(table, key) for key in _KEYS[table])
    there = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 (names of ours)
    made = [
        ("no_update", f"BEFORE UPDATE ON {table} {refused}"),
        ("no_delete", f"BEFORE DELETE ON {table} {refused}"),
        # INSERT OR REPLACE deletes without asking the trigger above.
        ("no_replace", f"BEFORE INSERT ON {table} WHEN {there} {refused}"),
    ]
    if table == _EVENT:
        enqueued = f"INSERT INTO {_PENDING} (event_id) VALUES (NEW.id)"  # noqa: S608
        made.append(("enqueue", f"AFTER INSERT ON {table} BEGIN {enqueued}; END"))
    return [
        _Guard(f"{table}_{name}", table, f"CREATE TRIGGER {table}_{name} {rest}")
        for name, rest in made
    ]


def _same(table: str, key: str) -> str:
    columns = [f'"{column}"' for column in key.split(", ")]
    return "(" + " AND ".join(f"{table}.{column} = NEW.{column}" for column in columns) + ")"


# PostgreSQL

_TRIGGERS = """
    SELECT t.tgname, c.relname, t.tgtype, t.tgenabled, p.proname,
           t.tgqual IS NULL AND t.tgattr::text = '' AND p.pronamespace = c.relnamespace
    FROM pg_trigger t
    JOIN pg_class c ON c.oid = t.tgrelid
    JOIN pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE NOT t.tgisinternal AND n.nspname = current_schema() AND c.relname = ANY(%s)
"""
_SEARCH_PATH: Final = "pg_catalog, pg_temp"


def _postgresql(table: str) -> list[_Guard]:
    made = [
        _guard(table, "no_change", "BEFORE UPDATE OR DELETE", _BEFORE | _UPDATE | _DELETE | _ROW),
        _guard(table, "no_truncate", "BEFORE TRUNCATE", _BEFORE | _TRUNCATE),
    ]
    if table == _EVENT:
        made.append(_guard(table, "enqueue", "AFTER INSERT", _INSERT | _ROW))
    return made


def _guard(table: str, what: str, when: str, kind: int) -> _Guard:
    function = "audit_enqueue" if what == "enqueue" else "audit_refuse"
    name, each = f"{table}_{what}", "ROW" if kind & _ROW else "STATEMENT"
    sql = (
        f"CREATE TRIGGER {name} {when} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}();"
        # ALWAYS: an ordinary trigger does not fire with session_replication_role = replica.
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"
    )
    return _Guard(name, table, sql, kind, function)


def _functions(schema: str) -> dict[str, str]:
    return {
        "audit_enqueue": (
            f"BEGIN INSERT INTO {schema}.{_PENDING} (event_id) VALUES (NEW.id);"  # noqa: S608
            " RETURN NULL; END"
        ),
        "audit_refuse": (
            "BEGIN RAISE EXCEPTION 'the trail is append-only: % on %', TG_OP, TG_TABLE_NAME"
            " USING ERRCODE = 'restrict_violation'; END"
        ),
    }


def _function(name: str, body: str) -> str:
    # SECURITY DEFINER: who may write an event need not have any right to the queue.
    return (
        f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql"
        f" SECURITY DEFINER SET search_path = {_SEARCH_PATH} AS $${body}$$"
    )


def _changed_functions(connection: BaseDatabaseWrapper) -> dict[str, str]:
    with connection.cursor() as cursor:
        wanted = _functions(_schema(cursor))
        cursor.execute(
            "SELECT p.proname, p.prosrc, p.prosecdef, p.proconfig FROM pg_proc p"
            " JOIN pg_namespace n ON n.oid = p.pronamespace"
            " WHERE n.nspname = current_schema() AND p.proname = ANY(%s)",
            [list(wanted)],
        )
        found = {name: rest for name, *rest in cursor.fetchall()}
    options = [f"search_path={_SEARCH_PATH}"]
    return {
        name: "函数被改动或缺少"
        for name, body in wanted.items()
        if found.get(name) != [body, True, options]
    }


def _rules(connection: BaseDatabaseWrapper, tables: list[str]) -> dict[str, str]:
    """A rule could have an INSERT do nothing at all."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT rulename FROM pg_rules WHERE schemaname = current_schema()"
            " AND tablename = ANY(%s)",
            [tables],
        )
        return {name: "多出重写规则" for (name,) in cursor.fetchall()}


def _schema(cursor: Any) -> str:
    cursor.execute("SELECT quote_ident(current_schema())")
    (schema,) = cursor.fetchone()
    return str(schema)
