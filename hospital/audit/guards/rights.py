"""Who may do what to the trail with PostgreSQL, and who could take more than was granted."""

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from django.db.backends.base.base import BaseDatabaseWrapper

from hospital.audit.guards.append_only import EVENT, KEYS, PENDING

_TABLES: Final = [*KEYS, PENDING]
_WRITTEN: Final = {"uid", "payload", "mac", "mac_key"}
_WORKS_OFF: Final = (PENDING, "DELETE")
_LOG: Final = {"audit_leaf", "audit_tile", "audit_checkpoint", "audit_anchor"}
_KEPT: Final = {"audit_archive", "audit_pruned", "audit_redacted"}
_REMOVING: Final = ["audit_prune", "audit_redact"]
_ASKED: Final = "audit_proposal"
# What somebody besides the owner may hold: the application, the notary, the keeper, whoever reads.
_HELD: Final = {
    EVENT: {"SELECT"},
    PENDING: {"SELECT", "DELETE"},
    **{table: {"SELECT", "INSERT"} for table in set(KEYS) - {EVENT}},
}
_REPLICA: Final = "session_replication_role"
_HAS_PARAMETERS: Final = 150_000  # the first version with rights to parameters


class _Right(NamedTuple):
    place: str
    column: str
    what: str
    may_give: bool
    who: str


# What a role has by belonging to another, also where it first has to SET ROLE.
_MEMBERS: Final = """
    pg_catalog.pg_roles r JOIN pg_catalog.pg_roles g
    ON g.oid <> r.oid AND r.rolcanlogin AND NOT r.rolsuper
    AND pg_catalog.pg_has_role(r.oid, g.oid, 'MEMBER')
"""
_ACL: Final = f"""
    SELECT c.relname, '', a.privilege_type, a.is_grantable,
           coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(c.relacl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND a.grantee <> c.relowner
    UNION
    SELECT c.relname, t.attname, a.privilege_type, a.is_grantable,
           coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    JOIN pg_catalog.pg_attribute t ON t.attrelid = c.oid AND NOT t.attisdropped
    CROSS JOIN LATERAL pg_catalog.aclexplode(t.attacl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s) AND a.grantee <> c.relowner
    UNION
    SELECT c.relname, '', p.what, false, r.rolname
    FROM pg_catalog.pg_class c
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    CROSS JOIN unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'TRIGGER']) p(what)
    CROSS JOIN ({_MEMBERS})
    WHERE n.nspname = current_schema() AND c.relname = ANY(%s)
      AND NOT pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER')
      AND pg_catalog.has_table_privilege(g.oid, c.oid, p.what)
    ORDER BY 1, 2, 3, 5
"""  # noqa: S608 (words of ours)
_CALLS: Final = f"""
    SELECT p.proname, '', a.privilege_type, a.is_grantable, coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN LATERAL pg_catalog.aclexplode(
        coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
    ) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE n.nspname = current_schema() AND p.proname = ANY(%s) AND a.grantee <> p.proowner
    UNION
    SELECT p.proname, '', 'EXECUTE', false, r.rolname
    FROM pg_catalog.pg_proc p
    JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    CROSS JOIN ({_MEMBERS})
    WHERE n.nspname = current_schema() AND p.proname = ANY(%s)
      AND NOT pg_catalog.pg_has_role(r.oid, p.proowner, 'MEMBER')
      AND pg_catalog.has_function_privilege(g.oid, p.oid, 'EXECUTE')
    ORDER BY 1, 5
"""  # noqa: S608
# Who asks and approves must not be who removes.
_ASK: Final = """
    SELECT r.rolname FROM pg_catalog.pg_roles r
    JOIN pg_catalog.pg_class c ON c.relname = %s
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    WHERE pg_catalog.has_any_column_privilege(r.oid, c.oid, 'INSERT')
"""
_LOGINS: Final = """
    SELECT r.rolname, r.rolsuper, r.rolcreaterole, r.rolcreatedb, r.rolreplication, r.rolbypassrls,
           pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER'),
           pg_catalog.pg_has_role(r.oid, n.nspowner, 'MEMBER'),
           pg_catalog.pg_has_role(r.oid, d.datdba, 'MEMBER')
    FROM pg_catalog.pg_roles r
    JOIN pg_catalog.pg_class c ON c.relname = %s
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    JOIN pg_catalog.pg_database d ON d.datname = current_database()
    WHERE r.rolcanlogin AND pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT') ORDER BY 1
"""
_SETTINGS: Final = """
    SELECT coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_db_role_setting s
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = s.setrole
    LEFT JOIN pg_catalog.pg_database d ON d.oid = s.setdatabase
    CROSS JOIN unnest(s.setconfig) said
    WHERE (s.setdatabase = 0 OR d.datname = current_database())
      AND lower(said) LIKE 'session\\_replication\\_role=%%' AND lower(said) NOT LIKE '%%=origin'
    ORDER BY 1
"""
_PARAMETER: Final = """
    SELECT coalesce(r.rolname, 'PUBLIC')
    FROM pg_catalog.pg_parameter_acl p
    CROSS JOIN LATERAL pg_catalog.aclexplode(p.paracl) a
    LEFT JOIN pg_catalog.pg_roles r ON r.oid = a.grantee
    WHERE p.parname = %s AND NOT coalesce(r.rolsuper, false) ORDER BY 1
"""
_OWNER: Final = """
    SELECT coalesce(bool_or(r.rolsuper), false),
           coalesce(bool_or(pg_catalog.pg_has_role(r.oid, c.relowner, 'MEMBER')), false)
    FROM pg_catalog.pg_roles r
    JOIN pg_catalog.pg_class c ON c.relname = %s AND c.relkind IN ('r', 'p')
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = current_schema()
    WHERE r.rolname IN (current_user, session_user)
"""


def owner(connection: BaseDatabaseWrapper) -> str:
    """
    Return why whoever is connected could switch the guards off; "" if they could not.

    A session that took another role (SET ROLE) can go back to its own: both are asked about.
    """
    if connection.vendor != "postgresql":
        return ""
    with connection.cursor() as cursor:
        cursor.execute(_OWNER, [EVENT])
        is_super, is_owner = cursor.fetchone()
    if is_super:
        return "当前数据库账号是超级用户"
    return "当前数据库账号拥有留痕的数据表" if is_owner else ""


def too_many(connection: BaseDatabaseWrapper) -> Iterator[str]:
    """Yield each right that nobody but the owner should have, one sentence each."""
    with connection.cursor() as cursor:
        cursor.execute(_ACL, [_TABLES] * 3)
        given = [_Right(*row) for row in cursor.fetchall()]
        cursor.execute(_CALLS, [_REMOVING, _REMOVING])
        calls = [_Right(*row) for row in cursor.fetchall()]
        cursor.execute(_ASK, [_ASKED])
        asking = {name for (name,) in cursor.fetchall()}
        # Who works the queue off is the notary: only that role makes leaves, and there is one.
        notaries = {one.who for one in given if (one.place, one.what) == _WORKS_OFF}
        keepers = {one.who for one in calls} - notaries - asking - {"PUBLIC"}
        for one in given:
            if one.may_give or one.who == "PUBLIC" or not _is_held(one, notaries, keepers):
                place = f"{one.place}.{one.column}" if one.column else one.place
                yield f"多出权限：{one.who} 对 {place} 有 {one.what}"
        for one in calls:
            if one.may_give or one.who not in keepers:
                yield f"多出权限：{one.who} 能执行 {one.place}"
        for what, those in (("封存", notaries), ("清理留痕", keepers)):
            if len(those) > 1:
                yield f"不止一个账号能{what}：{'、'.join(sorted(those))}"
        yield from _logins(cursor, {one.who for one in (*given, *calls)})
        yield from _replicas(cursor, has_parameters=_version(connection) >= _HAS_PARAMETERS)


def _is_held(right: _Right, notaries: set[str], keepers: set[str]) -> bool:
    if right.column:
        inserts = right.place == EVENT and right.column in _WRITTEN and right.what == "INSERT"
        return inserts or right.what == "SELECT"
    if right.what == "INSERT" and right.place in _LOG | _KEPT:
        return right.who in (notaries if right.place in _LOG else keepers)
    return right.what in _HELD[right.place]


def _logins(cursor: Any, named: set[str]) -> Iterator[str]:
    """
    Who could give itself more.

    Who migrates belongs to the owner, and is not meant unless it also works with the trail. Where
    nobody but the owner does, accounts are not apart yet, and who makes accounts says nothing.
    """
    cursor.execute(_LOGINS, [EVENT])
    for name, is_super, creates, *others, is_owner, of_schema, of_database in cursor.fetchall():
        if name not in named and (is_super or is_owner):
            continue
        powers = [(is_super, "SUPERUSER"), (creates and bool(named), "CREATEROLE")]
        if name in named:
            powers += zip(others, ("CREATEDB", "REPLICATION", "BYPASSRLS"), strict=True)
        yield from (f"账号的属性多余：{name} 有 {what}" for has, what in powers if has)
        if not is_super:
            for has, what in ((is_owner, "数据表"), (of_schema, "模式"), (of_database, "数据库")):
                if has:
                    yield f"账号是所有者，或属于所有者：{name}（{what}）"


def _replicas(cursor: Any, *, has_parameters: bool) -> Iterator[str]:
    """Who is not asked for events, as if each change came from another server."""
    cursor.execute(_SETTINGS)
    yield from (f"{_REPLICA} 被预设：{name}" for (name,) in cursor.fetchall())
    if has_parameters:
        cursor.execute(_PARAMETER, [_REPLICA])
        yield from (f"多出权限：{name} 能改 {_REPLICA}" for (name,) in cursor.fetchall())


def _version(connection: Any) -> int:
    return int(connection.pg_version)
