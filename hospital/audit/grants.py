"""
Who may do what in PostgreSQL: the application writes events, the notary seals, an auditor reads.

The tables belong to a role nobody logs in as. So no password the application has can change a
line of the trail, or switch off what refuses it.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards.append_only import EVENT, KEYS, PENDING
from hospital.audit.guards.completeness import CHANGES

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_WRITTEN: Final = "uid, payload, mac, mac_key"  # the database makes an event's other columns
_SEALED: Final = ("audit_leaf", "audit_tile", "audit_checkpoint", "audit_anchor")
_APPENDED: Final = tuple(table for table in KEYS if table not in {EVENT, *_SEALED})
_READ: Final = (EVENT, PENDING, CHANGES, *_SEALED, "django_migrations")
# What changes the trail only where two people agreed; the triggers ask that.
_PERMITTED: Final = ("audit_prune", "audit_redact")


class Unsuitable(ValueError):
    """A role cannot be what it is to be; the text says which, and why."""


@dataclass(frozen=True)
class Roles:
    """Names of roles; without a notary or an auditor nobody but the owner can do their work."""

    owner: str
    app: str
    notary: str = ""
    auditor: str = ""

    def __post_init__(self) -> None:
        """:raises Unsuitable: not a plain name, or one name twice"""
        given = [self.owner, *self.logins]
        for name in given:
            if not _NAME.fullmatch(name) or name.startswith("pg_"):
                raise Unsuitable(f"账号名只含小写字母、数字和下划线：{name}")
        if len(set(given)) != len(given):
            raise Unsuitable("每个账号须有自己的名字")

    @property
    def logins(self) -> list[str]:
        return [name for name in (self.app, self.notary, self.auditor) if name]


@dataclass(frozen=True)
class Database:
    """What is there: the schema, who is connected, and what the schema holds."""

    schema: str
    user: str
    is_super: bool
    roles: Mapping[str, bool]  # name → whether it may do anything, or belongs to the owner
    tables: Mapping[str, str]  # name → owner
    sequences: Mapping[str, str]  # those no table owns
    functions: Mapping[str, str]  # signature → owner


@dataclass
class _Script:
    lines: list[str] = field(default_factory=list)

    def grant(self, rights: str, tables: Iterable[str], to: str) -> None:
        if named := ", ".join(map(_quoted, tables)):
            self.lines.append(f"GRANT {rights} ON {named} TO {_quoted(to)}")


def statements(roles: Roles, there: Database) -> list[str]:
    """
    Return the SQL that makes it so, whatever was granted before. Run it in one transaction.

    :raises Unsuitable: a role to log in with is a superuser, or a member of the owner
    """
    for name in roles.logins:
        if there.roles.get(name):
            raise Unsuitable(f"{name} 是超级用户，或属于 {roles.owner}：另取一个账号")
    script = _Script()
    _belong(script, roles, there)
    for name in roles.logins:
        _only(script, name, there)
    _application(script, roles.app, there)
    if roles.notary:
        script.grant(f"INSERT ({_WRITTEN})", [EVENT], roles.notary)
        script.grant("SELECT", [*KEYS, PENDING, CHANGES], roles.notary)
        script.grant("INSERT", _SEALED, roles.notary)
        script.grant("DELETE", [PENDING], roles.notary)
    if roles.auditor:
        script.grant("SELECT", _trail(there), roles.auditor)
        script.grant(f"INSERT ({_WRITTEN})", [EVENT], roles.auditor)  # verifying is on record
    return script.lines


def inspect(connection: BaseDatabaseWrapper, roles: Roles) -> Database:
    """Return what is there now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_schema(), current_user, rolsuper FROM pg_catalog.pg_roles"
            " WHERE rolname = current_user"
        )
        schema, user, is_super = cursor.fetchone()
        cursor.execute(
            "SELECT r.rolname, r.rolsuper OR coalesce(pg_catalog.pg_has_role(r.oid, o.oid,"
            " 'MEMBER') AND r.oid <> o.oid, false) FROM pg_catalog.pg_roles r"
            " LEFT JOIN pg_catalog.pg_roles o ON o.rolname = %s",
            [roles.owner],
        )
        known = dict(cursor.fetchall())
        return Database(
            schema,
            user,
            is_super,
            known,
            _owned(cursor, ["r", "p", "v", "m"]),
            _owned(cursor, ["S"]),
            _functions(cursor),
        )


def _belong(script: _Script, roles: Roles, there: Database) -> None:
    """Everything is the owner's, whom nobody can log in as."""
    owner, schema = _quoted(roles.owner), _quoted(there.schema)
    if roles.owner not in there.roles:
        script.lines.append(f"CREATE ROLE {owner} NOLOGIN")
    for name in roles.logins:
        if name not in there.roles:
            script.lines.append(f"CREATE ROLE {_quoted(name)} LOGIN")
    if not there.is_super and not there.roles.get(there.user):
        script.lines.append(f"GRANT {owner} TO {_quoted(there.user)}")
    script.lines.append(f"REVOKE CREATE ON SCHEMA {schema} FROM PUBLIC")
    script.lines.append(f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner}")
    for kind, named in (("TABLE", there.tables), ("SEQUENCE", there.sequences)):
        script.lines += [
            f"ALTER {kind} {_quoted(name)} OWNER TO {owner}"
            for name, whose in named.items()
            if whose != roles.owner
        ]
    script.lines += [
        f"ALTER FUNCTION {signature} OWNER TO {owner}"
        for signature, whose in there.functions.items()
        if whose != roles.owner
    ]
    script.lines += [
        f"REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM PUBLIC"
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS")
    ]


def _only(script: _Script, name: str, there: Database) -> None:
    """Whatever it was granted before is gone; it may look into the schema."""
    schema = _quoted(there.schema)
    script.lines += [
        f"REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM {_quoted(name)}"
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS")
    ]
    script.lines.append(f"REVOKE ALL ON SCHEMA {schema} FROM {_quoted(name)}")
    script.lines.append(f"GRANT USAGE ON SCHEMA {schema} TO {_quoted(name)}")


def _application(script: _Script, app: str, there: Database) -> None:
    own = [name for name in there.tables if name not in {*_READ, *_APPENDED}]
    script.grant("SELECT, INSERT, UPDATE, DELETE", own, app)
    script.grant("SELECT", [name for name in _READ if name in there.tables], app)
    script.grant("SELECT, INSERT", _APPENDED, app)
    script.grant(f"INSERT ({_WRITTEN})", [EVENT], app)
    if there.sequences:
        named = ", ".join(map(_quoted, there.sequences))
        script.lines.append(f"GRANT USAGE ON SEQUENCE {named} TO {_quoted(app)}")
    script.lines += [
        f"GRANT EXECUTE ON FUNCTION {signature} TO {_quoted(app)}"
        for signature in there.functions
        if signature.startswith(tuple(f"{name}(" for name in _PERMITTED))
    ]


def _trail(there: Database) -> list[str]:
    return [name for name in there.tables if name.startswith("audit_")] + ["django_migrations"]


# Not what an extension brought, nor a sequence that goes with its table.
_RELATIONS: Final = """
    SELECT c.relname, pg_catalog.pg_get_userbyid(c.relowner) FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = current_schema() AND c.relkind::text = ANY(%s) AND NOT EXISTS (
        SELECT 1 FROM pg_catalog.pg_depend d
        WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass AND d.objid = c.oid
          AND d.deptype IN ('e', 'a', 'i') AND (d.deptype = 'e' OR c.relkind = 'S')
    ) ORDER BY 1
"""


def _owned(cursor: Any, kinds: list[str]) -> dict[str, str]:
    cursor.execute(_RELATIONS, [kinds])
    return dict(cursor.fetchall())


def _functions(cursor: Any) -> dict[str, str]:
    cursor.execute(
        "SELECT format('%I(%s)', p.proname, pg_catalog.pg_get_function_identity_arguments(p.oid)),"
        " pg_catalog.pg_get_userbyid(p.proowner) FROM pg_catalog.pg_proc p"
        " JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace"
        " WHERE n.nspname = current_schema() AND p.proname LIKE 'audit\\_%' ORDER BY 1"
    )
    return dict(cursor.fetchall())


def _quoted(name: str) -> str:
    escaped = name.replace('"', '""')
    return f'"{escaped}"'
