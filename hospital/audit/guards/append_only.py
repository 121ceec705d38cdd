"""Written once: a line of the trail is not changed, removed or replaced, and finds its queue."""

from typing import Final

from hospital.audit.guards.asking import hyphened
from hospital.audit.guards.triggers import (
    BEFORE,
    DELETE,
    INSERT,
    ROW,
    TRUNCATE,
    UPDATE,
    Function,
    Guards,
    Trigger,
)
from hospital.audit.keeping import permitted

EVENT: Final = "audit_event"
PENDING: Final = "audit_pending"
_PROPOSED: Final = "audit_redacted"  # where this is, so is all that permits an exception

# Each table, and how its rows are told apart: what an INSERT must not replace.
KEYS: Final = {
    EVENT: ("id", "uid"),
    "audit_leaf": ("index", "event_id"),
    "audit_tile": ("id", "level, n"),
    "audit_checkpoint": ("size",),
    "audit_anchor": ("id",),
    "audit_archive": ("id",),
    "audit_pruned": ("id", "proposal"),
    "audit_redacted": ("index", "proposal"),
}

# With SQLite: whether a line states a number, and not that of its row. A constraint, which
# PostgreSQL has for it (`unambiguous`), would need the table remade.
_ANOTHERS: Final = (
    """instr(NEW.payload, '"uid":"') AND NOT instr(NEW.payload, '"uid":"' || """
    f"""{hyphened("NEW.uid")} || '"')"""
)


def guards(vendor: str, schema: str, there: set[str]) -> Guards:
    """
    Return what keeps the tables that are there.

    :param schema: of the tables, quoted
    """
    tables = [table for table in KEYS if table in there and PENDING in there]
    triggers: list[Trigger] = []
    for table in tables:
        triggers += _postgresql(table) if vendor == "postgresql" else _sqlite(table, tables)
    functions = _functions(schema) if vendor == "postgresql" and tables else []
    # The queue has no trigger, and must not get one.
    return Guards([*tables, PENDING] if tables else [], triggers, functions)


def _postgresql(table: str) -> list[Trigger]:
    made = [
        _trigger(table, "no_change", "BEFORE UPDATE OR DELETE", BEFORE | UPDATE | DELETE | ROW),
        _trigger(table, "no_truncate", "BEFORE TRUNCATE", BEFORE | TRUNCATE),
    ]
    if table == EVENT:
        made.append(_trigger(table, "enqueue", "AFTER INSERT", INSERT | ROW))
    return made


def _trigger(table: str, what: str, when: str, kind: int) -> Trigger:
    function = "audit_enqueue" if what == "enqueue" else "audit_refuse"
    name, each = f"{table}_{what}", "ROW" if kind & ROW else "STATEMENT"
    sql = (
        f"CREATE TRIGGER {name} {when} ON {table} FOR EACH {each} EXECUTE FUNCTION {function}();"
        # ALWAYS: an ordinary trigger does not fire with session_replication_role = replica.
        f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}"
    )
    return Trigger(name, table, sql, kind, function)


def _functions(schema: str) -> list[Function]:
    prune, redact = (
        allowed("postgresql", schema)
        for allowed in (permitted.prune_allowed, permitted.redact_allowed)
    )
    made = [
        Function(
            "audit_enqueue",
            f"BEGIN INSERT INTO {schema}.{PENDING} (event_id) VALUES (NEW.id);"  # noqa: S608
            " RETURN NULL; END",
        ),
        Function(
            "audit_refuse",
            f"BEGIN IF TG_TABLE_NAME = '{EVENT}' AND TG_OP = 'DELETE' THEN"
            f" IF {prune} THEN RETURN OLD; END IF;"
            f" ELSIF TG_TABLE_NAME = '{EVENT}' AND TG_OP = 'UPDATE' THEN"
            f" IF {redact} THEN RETURN NEW; END IF;"
            " END IF; RAISE EXCEPTION 'the trail is append-only: % on %', TG_OP, TG_TABLE_NAME"
            " USING ERRCODE = 'restrict_violation'; END",
        ),
    ]
    for signature, body in permitted.functions(schema).items():
        name, _, arguments = signature.rstrip(")").partition("(")
        made.append(Function(name, body, arguments, returns="bigint"))
    return made


def _sqlite(table: str, tables: list[str]) -> list[Trigger]:
    refused = "BEGIN SELECT RAISE(ABORT, 'the trail is append-only'); END"
    same = " OR ".join(_same(table, key) for key in KEYS[table])
    there = f"EXISTS (SELECT 1 FROM {table} WHERE {same})"  # noqa: S608 (names of ours)
    update = delete = ""
    if table == EVENT and _PROPOSED in tables:
        update = f"WHEN NOT ({permitted.redact_allowed('sqlite')}) "
        delete = f"WHEN NOT ({permitted.prune_allowed('sqlite')}) "
    made = [
        ("no_update", f"BEFORE UPDATE ON {table} {update}{refused}"),
        ("no_delete", f"BEFORE DELETE ON {table} {delete}{refused}"),
        # INSERT OR REPLACE deletes without asking the trigger above.
        ("no_replace", f"BEFORE INSERT ON {table} WHEN {there} {refused}"),
    ]
    if table == EVENT:
        refused = "BEGIN SELECT RAISE(ABORT, 'a line states its own number'); END"
        made.append(("own_uid", f"BEFORE INSERT ON {table} WHEN {_ANOTHERS} {refused}"))
        enqueued = f"INSERT INTO {PENDING} (event_id) VALUES (NEW.id)"  # noqa: S608
        made.append(("enqueue", f"AFTER INSERT ON {table} BEGIN {enqueued}; END"))
    return [
        Trigger(f"{table}_{name}", table, f"CREATE TRIGGER {table}_{name} {rest}")
        for name, rest in made
    ]


def _same(table: str, key: str) -> str:
    columns = [f'"{column}"' for column in key.split(", ")]
    return "(" + " AND ".join(f"{table}.{column} = NEW.{column}" for column in columns) + ")"
