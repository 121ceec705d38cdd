"""SQLite notes a change until an event of its transaction names it."""

from typing import Final

from django.db import models

from hospital.audit.coverage import Coverage
from hospital.audit.guards.asking import (
    EVENT,
    REPAIR,
    ROWS,
    SWEEP,
    SWEEPING,
    TABLE,
    hyphened,
    quoted,
    tells_of_a_change,
)
from hospital.audit.guards.triggers import Trigger

CHANGES: Final = "audit_change"

# Whether a sweep's event `e` lists the row of `c`, or the one it belonged to and that went as well.
_SWEPT: Final = f"""
    e.action = '{SWEEP}'
    AND e.object_type = '{SWEEPING}'
    AND EXISTS (SELECT 1 FROM json_each(c.facts) f WHERE f.value = '{ROWS}')
    AND EXISTS (
        SELECT 1 FROM {CHANGES} w
        JOIN json_each(w.facts) f ON f.value = '{ROWS}'
        JOIN json_each(e.payload, '$.facts.{ROWS}') r ON r.value = w.row_id
        WHERE w.tx = c.tx AND w.label = json_extract(e.payload, '$.facts.{TABLE}')
            AND (w.id = c.id OR (w.label = c.object_type AND w.row_id = c.object_id))
    )"""  # noqa: S608 (names of ours)
# Whether the event `e` names the change `c`.
_NAMES: Final = f"""{tells_of_a_change()} AND (
    e.action = '{REPAIR}'
    OR (e.object_type = c.object_type AND e.object_id = c.object_id)
    OR (e.object_type = c.label AND e.object_id = c.row_id)
    OR EXISTS (
        SELECT 1 FROM json_each(c.facts) f
        WHERE json_extract(e.payload, '$.facts.' || f.value) = c.object_id
    )
    OR ({_SWEPT})
)"""  # noqa: S608 (names of ours)
_SETTLE: Final = f"""
    DELETE FROM {CHANGES} WHERE id IN (
        SELECT c.id FROM {CHANGES} c
        JOIN {CHANGES} s ON s.tx = c.tx AND s.event_id IS NOT NULL
        JOIN {EVENT} e ON e.id = s.event_id
        WHERE c.tx = audit_transaction() AND c.event_id IS NULL AND {_NAMES}
    );"""  # noqa: S608 (names of ours)
# Writers take turns: an event of any other transaction has nothing more to name.
NAMED: Final = Trigger(
    "audit_event_named",
    EVENT,
    f"""CREATE TRIGGER audit_event_named AFTER INSERT ON {EVENT} BEGIN
    DELETE FROM {CHANGES} WHERE event_id IS NOT NULL AND tx <> audit_transaction();
    INSERT INTO {CHANGES} (tx, label, row_id, object_type, object_id, facts, event_id)
        VALUES (audit_transaction(), '', '', '', '', '[]', NEW.id);{_SETTLE} END""",  # noqa: S608
)


def triggers(one: Coverage, *, has_jobs: bool) -> list[Trigger]:
    key, whose = quoted(str(one.key.column)), quoted(str(one.whose.column))
    made = []
    for what, row in (("insert", "NEW"), ("update", "NEW"), ("delete", "OLD")):
        name = f"{one.table}_recorded_{what}"
        event, when, passed = what.upper(), "", ""
        if what == "update":
            event += f" OF {', '.join(map(quoted, one.columns))}"
            when = f" WHEN {_changed(one, has_jobs=has_jobs)}"
            passed = f" {_noted(one, 'OLD')} WHERE OLD.{whose} IS NOT NEW.{whose};"
        made.append(
            Trigger(
                name,
                one.table,
                f"CREATE TRIGGER {name} AFTER {event} ON {one.table}{when} BEGIN"
                f" {_noted(one, row, is_gone=what == 'delete')};{passed}{_SETTLE} END",
            )
        )
    moved = f"{one.table}_recorded_key"
    made.append(
        Trigger(
            moved,
            one.table,
            f"CREATE TRIGGER {moved} BEFORE UPDATE ON {one.table}"
            f" WHEN OLD.{key} IS NOT NEW.{key} BEGIN"
            f" SELECT RAISE(ABORT, 'a primary key does not change: {one.table}'); END",
        )
    )
    return made


def _noted(one: Coverage, row: str, *, is_gone: bool = False) -> str:
    """Return what notes that `row` changed, and which object an event has to name."""
    named = (*one.facts, ROWS) if is_gone else one.facts
    facts = ", ".join(f'"{fact}"' for fact in named)
    values = ", ".join(
        [
            "audit_transaction()",
            f"'{one.label}'",
            _text(one.key, row),
            f"'{one.object_type}'",
            _text(one.whose, row),
            f"'[{facts}]'",
        ]
    )
    return (
        f"INSERT INTO {CHANGES} (tx, label, row_id, object_type, object_id, facts) SELECT {values}"
    )


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
    each = " OR ".join(f"OLD.{quoted(name)} IS NOT NEW.{quoted(name)}" for name in columns)
    return f"({each})"


def _text(field: "models.Field[object, object]", row: str) -> str:
    """Return an id as events state it."""
    column = f"{row}.{quoted(str(field.column))}"
    target = field.target_field if isinstance(field, models.ForeignKey) else field
    if not isinstance(target, models.UUIDField):
        return f"CAST({column} AS TEXT)"
    return hyphened(column)
