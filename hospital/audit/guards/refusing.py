"""PostgreSQL refuses the COMMIT of a change without its event."""

from typing import Final

from django.db import models

from hospital.audit.coverage import Coverage
from hospital.audit.guards.asking import (
    EVENT,
    JOB,
    REPAIR,
    ROTATION,
    ROWS,
    SWEEP,
    SWEEPING,
    TABLE,
    quoted,
    tells_of_a_change,
)
from hospital.audit.guards.triggers import (
    BEFORE,
    DELETE,
    INSERT,
    ROW,
    TRUNCATE,
    UPDATE,
    Function,
    Trigger,
)

KEPT: Final = "audit_keep"


def triggers(one: Coverage) -> list[Trigger]:
    recorded, kept = f"{one.table}_recorded", f"{one.table}_kept"
    asking = _name(one)
    return [
        Trigger(
            recorded,
            one.table,
            f"CREATE CONSTRAINT TRIGGER {recorded} AFTER INSERT OR UPDATE OR DELETE ON {one.table}"
            f" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION {asking}()",
            ROW | INSERT | UPDATE | DELETE,
            asking,
            enabled="O",
            is_deferred=True,
        ),
        Trigger(
            kept,
            one.table,
            f"CREATE TRIGGER {kept} BEFORE TRUNCATE ON {one.table}"
            f" FOR EACH STATEMENT EXECUTE FUNCTION {KEPT}()",
            BEFORE | TRUNCATE,
            KEPT,
            enabled="O",
        ),
    ]


def _name(one: Coverage) -> str:
    return f"audit_recorded_{one.table}"


def keep() -> Function:
    return Function(
        KEPT,
        "BEGIN RAISE EXCEPTION 'rows that answer to the trail are not truncated: %',"
        " TG_TABLE_NAME USING ERRCODE = 'restrict_violation'; END",
    )


def function(one: Coverage, schema: str, *, has_jobs: bool) -> Function:
    """
    Return the function that asks, at COMMIT, for the event of one changed row.

    A row that passes from one to another has to be told of both. A subtransaction does not
    matter: `pg_current_xact_id()` is the outermost one's.
    """
    events, key = f"{schema}.{EVENT} e", quoted(str(one.key.column))
    whose = quoted(str(one.whose.column))
    about = f"e.object_type = '{one.object_type}' AND e.object_id = subject"
    names = [
        *(f"e.payload::jsonb #>> '{{facts,{fact}}}' = subject" for fact in one.facts),
    ]
    if one.on:
        names.append(f"e.object_type = '{one.label}' AND e.object_id = r.{key}::text")
    names.append(_swept(one, schema))
    # A repair is the owner's: the application's role cannot claim one.
    owner = "(SELECT relowner FROM pg_class WHERE oid = TG_RELID)"
    names.append(f"e.action = '{REPAIR}' AND pg_has_role(session_user, {owner}, 'MEMBER')")
    named = " OR ".join(f"({name})" for name in names)
    changing = tells_of_a_change()
    body = (
        "DECLARE r record; subject text; subjects text[]; tx xid8 := pg_current_xact_id(); BEGIN"
        " IF TG_OP = 'DELETE' THEN r := OLD; ELSE r := NEW; END IF;"
        f" subjects := ARRAY[r.{whose}::text];"
        " IF TG_OP = 'UPDATE' THEN"
        f" IF OLD.{key} IS DISTINCT FROM NEW.{key} THEN"
        f" RAISE EXCEPTION 'a primary key does not change: % %', TG_TABLE_NAME, OLD.{key}"
        " USING ERRCODE = 'integrity_constraint_violation'; END IF;"
        f" IF {_same(one.columns)} THEN RETURN NULL; END IF;"
        f"{_resealed(one, schema, has_jobs=has_jobs)}"
        f" IF OLD.{whose} IS DISTINCT FROM NEW.{whose} THEN"
        f" subjects := subjects || OLD.{whose}::text; END IF; END IF;"
        " FOREACH subject IN ARRAY subjects LOOP"
        # By the object and the newest first, not by the transaction: of a thousand changes in one
        # none looks through the events of the others.
        f" PERFORM 1 FROM {events} WHERE {about} AND e.txid::text = tx::text AND {changing}"
        " ORDER BY e.at_us DESC, e.id DESC LIMIT 1;"
        " IF FOUND THEN CONTINUE; END IF;"
        f" PERFORM 1 FROM {events} WHERE e.txid = tx AND {changing} AND ({named}) LIMIT 1;"
        " IF FOUND THEN CONTINUE; END IF;"
        " RAISE EXCEPTION 'no event in this transaction for % of % %',"
        f" TG_OP, TG_TABLE_NAME, r.{key}"
        " USING ERRCODE = 'integrity_constraint_violation'; END LOOP; RETURN NULL; END"
    )
    return Function(_name(one), body)


def _swept(one: Coverage, schema: str) -> str:
    """Return whether a sweep lists the row, or the one it belonged to and that went with it."""
    key, whose = quoted(str(one.key.column)), quoted(str(one.whose.column))
    table, listed = (f"e.payload::jsonb #> '{{facts,{fact}}}'" for fact in (TABLE, ROWS))
    named = f"{table} = to_jsonb('{one.label}'::text) AND jsonb_exists({listed}, r.{key}::text)"
    if isinstance(one.whose, models.ForeignKey):
        other = one.whose.target_field
        stays = (
            f"SELECT 1 FROM {schema}.{other.model._meta.db_table} p"  # noqa: S608 (names of ours)
            f" WHERE p.{quoted(str(other.column))} = r.{whose}"
        )
        named = (
            f"({named}) OR ({table} = to_jsonb('{one.object_type}'::text)"
            f" AND jsonb_exists({listed}, subject) AND NOT EXISTS ({stays}))"
        )
    return (
        f"TG_OP = 'DELETE' AND e.action = '{SWEEP}' AND e.object_type = '{SWEEPING}' AND ({named})"
    )


def _resealed(one: Coverage, schema: str, *, has_jobs: bool) -> str:
    """Let a change of keys through, while its job is at work; the job's begin is on record."""
    if not one.sealed & set(one.columns):
        return ""
    job = "current_setting('hospital.job', true)"
    at_work = (
        f" AND EXISTS (SELECT 1 FROM {schema}.{JOB} j WHERE j.id::text = {job}"  # noqa: S608
        " AND j.state = 'open' AND j.lease_until > clock_timestamp())"
        if has_jobs
        else ""
    )
    unchanged = _same([name for name in one.columns if name not in one.sealed])
    return (
        f" IF {unchanged}{at_work} AND EXISTS (SELECT 1 FROM {schema}.{EVENT} e"  # noqa: S608
        f" WHERE e.object_type = 'crypto.job' AND e.object_id = {job}"
        f" AND e.action = '{ROTATION}') THEN RETURN NULL; END IF;"
    )


def _same(columns: list[str]) -> str:
    old, new = (", ".join(f"{row}.{quoted(name)}" for name in columns) for row in ("OLD", "NEW"))
    return f"ROW({old}) IS NOT DISTINCT FROM ROW({new})"
