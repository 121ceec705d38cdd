"""
No change without its event: what declares so (`hospital.audit.coverage`) is held to it.

PostgreSQL refuses the COMMIT. With SQLite, which asks nothing at a COMMIT, the change is noted in
`audit_change` until an event of its transaction names it, and `verifyaudit` finds what stays.

Not for a replica's session (logical replication, a restore): there it was asked before.
"""

from hospital.audit.coverage import covered
from hospital.audit.guards import noting, refusing
from hospital.audit.guards.asking import EVENT, JOB
from hospital.audit.guards.noting import CHANGES
from hospital.audit.guards.triggers import Guards


def guards(vendor: str, schema: str, there: set[str]) -> Guards:
    """
    Return what holds the tables that are there.

    :param schema: of the tables, quoted
    :param there: tables, and for PostgreSQL audit_event.txid if the column exists
    """
    if not {EVENT, CHANGES, *({"audit_event.txid"} if vendor == "postgresql" else ())} <= there:
        return Guards([], [], [])
    held = [one for one in covered() if one.table in there]
    tables = [one.table for one in held]
    if vendor == "postgresql":
        triggers = [trigger for one in held for trigger in refusing.triggers(one)]
        functions = [refusing.function(one, schema, has_jobs=JOB in there) for one in held]
        return Guards(tables, triggers, [refusing.keep(), *functions])
    has_jobs = JOB in there
    triggers = [trigger for one in held for trigger in noting.triggers(one, has_jobs=has_jobs)]
    return Guards(tables, [*triggers, noting.NAMED], [])
