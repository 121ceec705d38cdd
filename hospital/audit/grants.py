"""
Who may do what in PostgreSQL: the application writes events, the notary seals, an auditor reads.

The tables belong to a role nobody logs in as. So no password the application has can change a
line of the trail, or switch off what refuses it. What two people decided to remove only the keeper
removes, who is neither the web nor a worker, and cannot ask or approve.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards.append_only import EVENT, KEYS, PENDING
from hospital.audit.guards.noting import CHANGES

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_WRITTEN: Final = "uid, payload, mac, mac_key"  # the database makes an event's other columns
_SEALED: Final = ("audit_leaf", "audit_tile", "audit_checkpoint", "audit_anchor")
# What changes the trail only where two people agreed; the triggers ask that.
_PERMITTED: Final = ("audit_prune", "audit_redact")
_KEPT: Final = ("audit_archive", "audit_pruned", "audit_redacted")
_PROPOSAL: Final = "audit_proposal"
_RULES: Final = "privacy_retentionrule"  # how long the trail is to be kept
_READ: Final = (EVENT, PENDING, CHANGES, *_SEALED, *_KEPT, "django_migrations")
_DONE: Final = "state, done_at"  # of a proposal: who carries it out says what became of it


class Unsuitable(ValueError):
    """A role cannot be what it is to be; the text says which, and why."""


@dataclass(frozen=True)
class Roles:
    """Names of roles; for one that is not named nobody but the owner can do the work."""

    owner: str
    app: str
    notary: str = ""
    auditor: str = ""
    keeper: str = ""

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
        return [name for name in (self.app, self.notary, self.auditor, self.keeper) if name]


@dataclass(frozen=True)
class Known:
    """A role that is there already."""

    may_all: bool = False  # a superuser, or it belongs to the owner
    groups: tuple[str, ...] = ()  # other roles it belongs to
    powers: tuple[str, ...] = ()  # such as CREATEROLE, with which it could give itself more


@dataclass(frozen=True)
class Database:
    """What is there: whose the database and schema are, who is connected, and what is in it."""

    name: str
    owner: str
    schema: str
    schema_owner: str
    user: str
    is_super: bool
    roles: Mapping[str, Known]
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

    :raises Unsuitable: a role to log in with is a superuser, a member of the owner or of any other
        role, or the one that is connected
    """
    for name in roles.logins:
        known = there.roles.get(name, Known())
        if known.may_all:
            raise Unsuitable(f"{name} 是超级用户，或属于 {roles.owner}：另取一个账号")
        if known.groups:
            groups = "、".join(known.groups)
            raise Unsuitable(f"{name} 属于其他账号（{groups}）：先用 REVOKE 退出")
        if name == there.user:
            raise Unsuitable(f"现在以 {name} 连接：请以能建账号的另一个账号运行")
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
    if roles.keeper:
        _keeper(script, roles.keeper, there)
    return script.lines


def inspect(connection: BaseDatabaseWrapper, roles: Roles) -> Database:
    """Return what is there now."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT d.datname, pg_catalog.pg_get_userbyid(d.datdba), n.nspname,"
            " pg_catalog.pg_get_userbyid(n.nspowner), current_user, r.rolsuper"
            " FROM pg_catalog.pg_roles r, pg_catalog.pg_database d, pg_catalog.pg_namespace n"
            " WHERE r.rolname = current_user AND d.datname = current_database()"
            " AND n.nspname = current_schema()"
        )
        name, owner, schema, schema_owner, user, is_super = cursor.fetchone()
        return Database(
            name,
            owner,
            schema,
            schema_owner,
            user,
            is_super,
            _known(cursor, roles.owner),
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
    if not there.is_super and not there.roles.get(there.user, Known()).may_all:
        script.lines.append(f"GRANT {owner} TO {_quoted(there.user)}")
    _enclosing(script, roles, there)
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


def _enclosing(script: _Script, roles: Roles, there: Database) -> None:
    """Whoever owns the schema or the database may drop what is in it, whosever that is."""
    owner, database = _quoted(roles.owner), _quoted(there.name)
    if there.owner in roles.logins:
        script.lines.append(f"ALTER DATABASE {database} OWNER TO {owner}")
    if there.schema_owner != roles.owner:
        script.lines.append(f"ALTER SCHEMA {_quoted(there.schema)} OWNER TO {owner}")
    named = ", ".join(map(_quoted, (roles.owner, *roles.logins)))
    script.lines.append(f"REVOKE CONNECT ON DATABASE {database} FROM PUBLIC")
    script.lines += [
        f"REVOKE ALL ON DATABASE {database} FROM {_quoted(name)}" for name in roles.logins
    ]
    script.lines.append(f"GRANT CONNECT ON DATABASE {database} TO {named}")


def _only(script: _Script, name: str, there: Database) -> None:
    """Whatever it was granted before is gone; it may look into the schema."""
    schema = _quoted(there.schema)
    if powers := there.roles.get(name, Known()).powers:
        script.lines.append(f"ALTER ROLE {_quoted(name)} {' '.join(f'NO{one}' for one in powers)}")
    script.lines += [
        f"REVOKE ALL ON ALL {kind} IN SCHEMA {schema} FROM {_quoted(name)}"
        for kind in ("TABLES", "SEQUENCES", "FUNCTIONS")
    ]
    script.lines.append(f"REVOKE ALL ON SCHEMA {schema} FROM {_quoted(name)}")
    script.lines.append(f"GRANT USAGE ON SCHEMA {schema} TO {_quoted(name)}")


def _application(script: _Script, app: str, there: Database) -> None:
    own = [name for name in there.tables if name not in {*_READ, *KEYS}]
    script.grant("SELECT, INSERT, UPDATE, DELETE", own, app)
    script.grant("SELECT", [name for name in _READ if name in there.tables], app)
    script.grant(f"INSERT ({_WRITTEN})", [EVENT], app)
    if there.sequences:
        named = ", ".join(map(_quoted, there.sequences))
        script.lines.append(f"GRANT USAGE ON SEQUENCE {named} TO {_quoted(app)}")


def _keeper(script: _Script, keeper: str, there: Database) -> None:
    rules = [_RULES] if _RULES in there.tables else []
    script.grant("SELECT", [*KEYS, _PROPOSAL, *rules], keeper)
    script.grant(f"UPDATE ({_DONE})", [_PROPOSAL], keeper)
    script.grant(f"INSERT ({_WRITTEN})", [EVENT], keeper)
    script.grant("INSERT", _KEPT, keeper)
    script.lines += [
        f"GRANT EXECUTE ON FUNCTION {signature} TO {_quoted(keeper)}"
        for signature in there.functions
        if signature.startswith(tuple(f"{name}(" for name in _PERMITTED))
    ]


def _trail(there: Database) -> list[str]:
    return [name for name in there.tables if name.startswith("audit_")] + ["django_migrations"]


_ROLES: Final = """
    SELECT r.rolname,
           r.rolsuper OR coalesce(
               pg_catalog.pg_has_role(r.oid, o.oid, 'MEMBER') AND r.oid <> o.oid, false
           ),
           ARRAY(
               SELECT g.rolname::text FROM pg_catalog.pg_auth_members m
               JOIN pg_catalog.pg_roles g ON g.oid = m.roleid WHERE m.member = r.oid ORDER BY 1
           ),
           array_remove(ARRAY[
               CASE WHEN r.rolcreaterole THEN 'CREATEROLE' END,
               CASE WHEN r.rolcreatedb THEN 'CREATEDB' END,
               CASE WHEN r.rolreplication THEN 'REPLICATION' END,
               CASE WHEN r.rolbypassrls THEN 'BYPASSRLS' END
           ], NULL)
    FROM pg_catalog.pg_roles r
    LEFT JOIN pg_catalog.pg_roles o ON o.rolname = %s
"""


def _known(cursor: Any, owner: str) -> dict[str, Known]:
    cursor.execute(_ROLES, [owner])
    return {
        name: Known(may_all, tuple(groups), tuple(powers))
        for name, may_all, groups, powers in cursor.fetchall()
    }


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
