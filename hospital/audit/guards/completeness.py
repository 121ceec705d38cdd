"""
No change without its event: what declares so (`hospital.audit.coverage`) is held to it.

PostgreSQL refuses the COMMIT. With SQLite, which asks nothing at a COMMIT, the change is noted in
`audit_change` until an event of its transaction names it, and `verifyaudit` finds what stays.

Not for a replica's session (logical replication, a restore): there it was asked before.
"""

from typing import Final

from django.db import models

from hospital.audit.actions import Action
from hospital.audit.coverage import Coverage, covered
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

CHANGES: Final = "audit_change"
_EVENT: Final = "audit_event"
_KEPT: Final = "audit_keep"

_REPAIR: Final = Action.DATABASE_REPAIR.value.tag
_ROTATION: Final = Action.KEYS_ROTATE_BEGIN.value.tag


def guards(vendor: str, schema: str, there: set[str]) -> Guards:
    """
    Return what holds the tables that are there.

    :param schema: of the tables, quoted
    :param there: tables, and for PostgreSQL audit_event.txid if the column exists
    """
    if not {_EVENT, CHANGES, *({"audit_event.txid"} if vendor == "postgresql" else ())} <= there:
        return Guards([], [], [])
    held = [one for one in covered() if one.table in there]
    tables = [one.table for one in held]
    if vendor == "postgresql":
        triggers = [trigger for one in held for trigger in _postgresql(one)]
        return Guards(tables, triggers, [_keep(), *(_function(one, schema) for one in held)])
    has_jobs = "crypto_job" in there
    triggers = [trigger for one in held for trigger in _sqlite(one, has_jobs=has_jobs)]
    return Guards(tables, [*triggers, _NAMED], [])


# PostgreSQL


def _postgresql(one: Coverage) -> list[Trigger]:
    recorded, kept = f"{one.table}_recorded", f"{one.table}_kept"
    function = _name(one)
    return [
        Trigger(
            recorded,
            one.table,
            f"CREATE CONSTRAINT TRIGGER {recorded} AFTER INSERT OR UPDATE OR DELETE ON {one.table}"
            f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {function}()",
            ROW | INSERT | UPDATE | DELETE,
            function,
            enabled="O",
            is_deferred=True,
        ),
        Trigger(
            kept,
            one.table,
            f"CREATE TRIGGER {kept} BEFORE TRUNCATE ON {one.table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {_KEPT}()",
            BEFORE | TRUNCATE,
            _KEPT,
            enabled="O",
        ),
    ]


def _name(one: Coverage) -> str:
    return f"audit_recorded_{one.table}"


def _keep() -> Function:
    return Function(
        _KEPT,
        "BEGIN RAISE EXCEPTION 'rows that answer to the trail are not truncated: %',"
        " TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END",
    )


def _function(one: Coverage, schema: str) -> Function:
    """
    Return the function that asks, at COMMIT, for the event of one changed row.

    A subtransaction does not matter: `pg_current_xact_id()` is the outermost one's.
    """
    events, key = f"{schema}.{_EVENT} e", f"r.{_quoted(str(one.key.column))}"
    whose = f"r.{_quoted(str(one.whose.column))}::text"
    about = f"e.object_type = '{one.object_type}' AND e.object_id = {whose}"
    names = [
        *(f"e.payload::jsonb #>> '{{facts,{fact}}}' = {whose}" for fact in one.facts),
    ]
    if one.on:
        names.append(f"e.object_type = '{one.label}' AND e.object_id = {key}::text")
    # A repair is the owner's: the application's role cannot claim one.
    owner = "(SELECT relowner FROM pg_class WHERE oid = TG_RELID)"
    names.append(f"e.action = '{_REPAIR}' AND pg_has_role(session_user, {owner}, 'MEMBER')")
    named = " OR ".join(f"({name})" for name in names)
    unchanged = _same([name for name in one.columns if name not in one.sealed])
    resealed = (
        f" IF {unchanged} AND EXISTS (SELECT 1 FROM {events}"  # noqa: S608 (names of ours)
        " WHERE e.object_type = 'crypto.job'"
        " AND e.object_id = current_setting('hospital.job', true)"
        f" AND e.action = '{_ROTATION}') THEN RETURN NULL; END IF;"
    )
    body = (
        "DECLARE r record; tx xid8 := pg_current_xact_id(); BEGIN"
        " IF TG_OP = 'DELETE' THEN r := OLD; ELSE r := NEW; END IF;"
        " IF TG_OP = 'UPDATE' THEN"
        f" IF {_same(one.columns)} THEN RETURN NULL; END IF;"
        f"{resealed if one.sealed & set(one.columns) else ''} END IF;"
        # By the object and the newest first, not by the transaction: of a thousand changes in one
        # none looks through the events of the others.
        f" PERFORM 1 FROM {events} WHERE {about} AND e.txid::text = tx::text"
        " ORDER BY e.at_us DESC, e.id DESC LIMIT 1;"
        " IF FOUND THEN RETURN NULL; END IF;"
        f" PERFORM 1 FROM {events} WHERE e.txid = tx AND ({named}) LIMIT 1;"
        " IF FOUND THEN RETURN NULL; END IF;"
        " RAISE EXCEPTION 'no event in this transaction for % of % %',"
        f" TG_OP, TG_TABLE_NAME, {key}"
        " USING ERRCODE = 'integrity_constraint_violation'; END"
    )
    return Function(_name(one), body)


def _same(columns: list[str]) -> str:
    old, new = (", ".join(f"{row}.{_quoted(name)}" for name in columns) for row in ("OLD", "NEW"))
    return f"ROW({old}) IS NOT DISTINCT FROM ROW({new})"


# SQLite


# Whether the event `e` names the change `c`.
_NAMES: Final = f"""(
    e.action = '{_REPAIR}'
    OR (e.object_type = c.object_type AND e.object_id = c.object_id)
    OR (e.object_type = c.label AND e.object_id = c.row_id)
    OR EXISTS (
        SELECT 1 FROM json_each(c.facts) f
        WHERE json_extract(e.payload, '$.facts.' || f.value) = c.object_id
    )
)"""  # noqa: S608 (names of ours)
_SETTLE: Final = f"""
    DELETE FROM {CHANGES} WHERE id IN (
        SELECT c.id FROM {CHANGES} c
        JOIN {CHANGES} s ON s.tx = c.tx AND s.event_id IS NOT NULL
        JOIN {_EVENT} e ON e.id = s.event_id
        WHERE c.tx = audit_transaction() AND c.event_id IS NULL AND {_NAMES}
    );"""  # noqa: S608 (names of ours)
# Writers take turns: an event of any other transaction has nothing more to name.
_NAMED: Final = Trigger(
    "audit_event_named",
    _EVENT,
    f"""CREATE TRIGGER audit_event_named AFTER INSERT ON {_EVENT} BEGIN
    DELETE FROM {CHANGES} WHERE event_id IS NOT NULL AND tx <> audit_transaction();
    INSERT INTO {CHANGES} (tx, label, row_id, object_type, object_id, facts, event_id)
        VALUES (audit_transaction(), '', '', '', '', '[]', NEW.id);{_SETTLE} END""",  # noqa: S608
)


def _sqlite(one: Coverage, *, has_jobs: bool) -> list[Trigger]:
    made = []
    for what, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
        name = f"{one.table}_recorded_{what}"
        event, when = what.upper(), ""
        if what == "update":
            event += f" OF {', '.join(map(_quoted, one.columns))}"
            when = f" WHEN {_changed(one, has_jobs=has_jobs)}"
        facts = "[" + ", ".join(f'"{fact}"' for fact in one.facts) + "]"
        values = ", ".join(
            [
                "audit_transaction()",
                f"'{one.label}'",
                _text(one.key, row),
                f"'{one.object_type}'",
                _text(one.whose, row),
                f"'{facts}'",
            ]
        )
        made.append(
            Trigger(
                name,
                one.table,
                f"CREATE TRIGGER {name} AFTER {event} ON {one.table}{when} BEGIN"  # noqa: S608
                f" INSERT INTO {CHANGES} (tx, label, row_id, object_type, object_id, facts)"
                f" VALUES ({values});{_SETTLE} END",
            )
        )
    return made


def _changed(one: Coverage, *, has_jobs: bool) -> str:
    """Return whether a row says something else: a change of keys, on record by itself, does not."""
    plain = [name for name in one.columns if name not in one.sealed]
    sealed = [name for name in one.columns if name in one.sealed]
    if not sealed:
        return _differs(plain)
    at_work = (
        "EXISTS (SELECT 1 FROM crypto_job WHERE state = 'open'"
        " AND lease_until > strftime('%Y-%m-%d %H:%M:%S', 'now'))"
        if has_jobs
        else "TRUE"
    )
    return f"{_differs(plain)} OR ({_differs(sealed)} AND NOT {at_work})"


def _differs(columns: list[str]) -> str:
    each = " OR ".join(f"OLD.{_quoted(name)} IS NOT NEW.{_quoted(name)}" for name in columns)
    return f"({each})"


def _text(field: "models.Field[object, object]", row: str) -> str:
    """Return an id as events state it; Django keeps a UUID in SQLite without hyphens."""
    column = f"{row}.{_quoted(str(field.column))}"
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    if not isinstance(target, models.UUIDField):
        return f"CAST({column} AS TEXT)"
    cuts = ((1, 8), (9, 4), (13, 4), (17, 4), (21, 12))
    return " || '-' || ".join(f"substr({column}, {at}, {length})" for at, length in cuts)


def _quoted(name: str) -> str:
    return f'"{name}"'
