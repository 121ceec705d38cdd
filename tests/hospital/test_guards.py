"""The database itself refuses to change, remove or replace a line of the trail, and says so."""

from importlib import import_module
from types import SimpleNamespace
from uuid import uuid4

import pytest
from django.core.management import call_command
from django.db import IntegrityError, connection, transaction

from hospital.audit import guards, kept, log
from hospital.audit.guards.append_only import KEYS
from hospital.audit.models import Event
from tests.hospital.notarised import BOTH, House

TABLES = list(KEYS)


@pytest.fixture(autouse=True, params=BOTH)
def database(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def house(tmp_path):
    """A trail with a row in each of its tables."""
    house = House(tmp_path)
    house.seal(3)
    house.notary().anchor(now=house.now)
    log.Tile.objects.create(level=1, n=0, hashes=b"x" * 32)
    kept.Archive.objects.create(start=0, end=1, root=b"x" * 32, name="x", size=1, at=house.now)
    kept.Pruned.objects.create(start=0, end=1, archive=1, proposal=uuid4(), at=house.now)
    kept.Redacted.objects.create(index=2, proposal=uuid4(), at=house.now)
    return house


def execute(statement, parameters=()):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)


def only(vendor):
    if connection.vendor != vendor:
        pytest.skip(f"{vendor} only")


def update(table):
    key = f'"{KEYS[table][0]}"'
    return f"UPDATE {table} SET {key} = {key}"  # noqa: S608


@pytest.mark.parametrize("table", TABLES)
def test_no_row_is_changed_or_removed(house, table):
    for statement in (update(table), f"DELETE FROM {table}"):  # noqa: S608
        with pytest.raises(IntegrityError, match="append-only"):
            execute(statement)


@pytest.mark.parametrize("table", TABLES)
def test_no_table_is_emptied(house, table):
    only("postgresql")
    with pytest.raises(IntegrityError, match="append-only"):
        execute(f"TRUNCATE {table}")


@pytest.mark.parametrize("table", TABLES)
def test_a_replicas_session_is_refused_as_well(house, table):
    only("postgresql")
    execute("SET LOCAL session_replication_role = replica")
    for statement in (update(table), f"DELETE FROM {table}", f"TRUNCATE {table}"):  # noqa: S608
        with pytest.raises(IntegrityError, match="append-only"):
            execute(statement)


def test_what_a_replicas_session_writes_is_queued_as_well(house):
    only("postgresql")
    before = log.Pending.objects.count()
    execute("SET LOCAL session_replication_role = replica")

    house.write()

    assert log.Pending.objects.count() == before + 1


@pytest.mark.parametrize("by", ["id", "uid"])
def test_no_event_is_replaced_by_inserting_another(house, by):
    event = Event.objects.earliest("id")
    pk, uid = (event.pk, uuid4()) if by == "id" else (event.pk + 100, event.uid)
    values = "INTO audit_event (id, uid, payload, mac, mac_key) VALUES (%s, %s, %s, %s, 1)"
    forged = event.payload.replace("expire", "failed").replace(str(event.uid), str(uid))
    row = [pk, uid.hex, forged, b"x"]
    changed = f"INSERT {values} ON CONFLICT ({by}) DO UPDATE SET mac_key = 2"
    statements = [changed]
    if connection.vendor == "sqlite":
        statements += [f"INSERT OR REPLACE {values}", f"REPLACE {values}"]

    for statement in statements:
        with pytest.raises(IntegrityError, match="append-only"):
            execute(statement, row)

    assert Event.objects.get(pk=event.pk).payload == event.payload


@pytest.mark.parametrize(
    "values",
    [
        """INTO audit_leaf ("index", event_id, hash) VALUES (0, 99, x'00')""",
        """INTO audit_leaf ("index", event_id, hash) SELECT 99, event_id, x'00' FROM audit_leaf""",
        "INTO audit_checkpoint (size, root, note, created_at) VALUES (3, x'00', '', '2026-01-01')",
        "INTO audit_tile (level, n, hashes) VALUES (1, 0, x'00')",
    ],
    ids=["leaf by index", "leaf by event", "checkpoint", "tile by place"],
)
def test_nor_is_anything_else(house, values):
    only("sqlite")
    with pytest.raises(IntegrityError, match="append-only"):
        execute(f"INSERT OR REPLACE {values}")


def test_an_event_that_was_recorded_before_cannot_be_recorded_again(house):
    with pytest.raises(IntegrityError):
        execute(
            "INSERT INTO audit_event (uid, payload, mac, mac_key)"
            " SELECT uid, payload, mac, mac_key FROM audit_event"
        )


OTHER = "01234567-89ab-7def-8123-456789abcdef"


def insert(uid, payload):
    execute(
        "INSERT INTO audit_event (uid, payload, mac, mac_key) VALUES (%s, %s, %s, 1)",
        [uid, payload, b"x"],
    )


# PostgreSQL reads a number however it is written; SQLite would keep it as it is.
@pytest.mark.parametrize(
    "as_written",
    [str, str.upper, lambda uid: uid.replace("-", "")],
    ids=["as stated", "in capitals", "without hyphens"],
)
@pytest.mark.parametrize("uid", [OTHER, None], ids=["of its own", "the same, written otherwise"])
def test_nor_under_a_number_its_text_does_not_state(house, uid, as_written):
    old = Event.objects.earliest("id")

    with pytest.raises(IntegrityError, match=r"own_uid|own number|append-only|uid_key"):
        insert(as_written(uid or str(old.uid)), old.payload)


@pytest.mark.parametrize("is_there", [True, False], ids=["one is there", "none"])
def test_one_from_before_there_was_the_check_stops_no_migration_and_is_told(house, is_there):
    only("postgresql")
    old = Event.objects.earliest("id")
    execute("ALTER TABLE audit_event DROP CONSTRAINT audit_event_own_uid")
    if is_there:
        insert(OTHER, old.payload)
    editor = SimpleNamespace(connection=connection, execute=execute)
    migration = import_module("hospital.audit.migrations.0005_own_uid")

    for _ in range(2):
        migration.check(None, editor)

    told = ["约束被改动或缺少：audit_event audit_event_own_uid"] if is_there else []
    assert guards.drift(connection) == told
    with pytest.raises(IntegrityError, match="own_uid"):
        insert(str(uuid4()), old.payload)


def test_an_event_is_queued_whoever_inserts_it(house):
    old = Event.objects.earliest("id")
    insert(
        OTHER if connection.vendor == "postgresql" else OTHER.replace("-", ""),
        old.payload.replace(str(old.uid), OTHER),
    )

    assert log.Pending.objects.get().pk == Event.objects.latest("id").pk


def test_an_event_that_is_rolled_back_waits_for_no_place(house):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        house.write()
        raise ZeroDivisionError

    assert not log.Pending.objects.exists()


def test_events_from_before_the_log_get_their_place_when_it_is_migrated(house, monkeypatch):
    guards.remove(connection)
    events = house.write(3)
    execute("DELETE FROM audit_leaf")
    assert not log.Pending.objects.exists()

    editor = SimpleNamespace(connection=connection, execute=execute)
    import_module("hospital.audit.migrations.0002_log_and_guards").guard(None, editor)
    migration = import_module("hospital.audit.migrations.0004_completeness")
    monkeypatch.setattr(migration, "BATCH", 2)
    migration.queue(None, editor)
    migration.queue(None, editor)

    queued = list(log.Pending.objects.order_by("pk").values_list("pk", flat=True))
    assert queued[-3:] == events
    assert len(queued) == 6
    assert guards.drift(connection) == []


def test_the_queue_may_be_worked_off(house):
    house.write()

    execute("DELETE FROM audit_pending")


def test_as_migrated_nothing_has_drifted(house):
    assert guards.drift(connection) == []


def test_putting_them_up_twice_is_putting_them_up_once(house):
    guards.install(connection)

    assert guards.drift(connection) == []


def drop(name, table):
    suffix = f" ON {table}" if connection.vendor == "postgresql" else ""
    execute(f"DROP TRIGGER {name}{suffix}")


def name_of(what, table="audit_event"):
    if what == "no_delete" and connection.vendor == "postgresql":
        return f"{table}_no_change"
    return f"{table}_{what}"


@pytest.mark.parametrize("what", ["enqueue", "no_delete"])
def test_what_is_missing_is_named_and_put_back_by_the_next_migrate(house, what):
    drop(name_of(what), "audit_event")
    assert guards.drift(connection) == [f"缺少触发器：{name_of(what)}"]

    call_command("migrate", verbosity=0)

    assert guards.drift(connection) == []
    with pytest.raises(IntegrityError):
        execute("DELETE FROM audit_event")


def test_a_table_that_was_remade_is_guarded_again(house):
    only("sqlite")
    execute("CREATE TABLE made AS SELECT * FROM audit_anchor")
    execute("DROP TABLE audit_anchor")
    execute("ALTER TABLE made RENAME TO audit_anchor")
    assert "缺少触发器：audit_anchor_no_delete" in guards.drift(connection)

    call_command("migrate", verbosity=0)

    with pytest.raises(IntegrityError):
        execute("DELETE FROM audit_anchor")


SWITCHED_OFF = {
    "disabled": "ALTER TABLE audit_event DISABLE TRIGGER audit_event_no_change",
    "not for a replica": "ALTER TABLE audit_event ENABLE TRIGGER audit_event_enqueue",
    "only when": (
        "DROP TRIGGER audit_event_enqueue ON audit_event;"
        " CREATE TRIGGER audit_event_enqueue AFTER INSERT ON audit_event FOR EACH ROW"
        " WHEN (NEW.id < 0) EXECUTE FUNCTION audit_enqueue();"
        " ALTER TABLE audit_event ENABLE ALWAYS TRIGGER audit_event_enqueue"
    ),
    "another function": (
        "CREATE OR REPLACE FUNCTION audit_refuse() RETURNS trigger LANGUAGE plpgsql AS"
        " 'BEGIN RETURN NULL; END'"
    ),
    "a trigger more": (
        "CREATE TRIGGER quiet BEFORE INSERT ON audit_event FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "a rule": "CREATE RULE quiet AS ON INSERT TO audit_anchor DO INSTEAD NOTHING",
    "a queue that is a view": (
        "ALTER TABLE audit_pending RENAME TO elsewhere;"
        " CREATE VIEW audit_pending AS SELECT * FROM elsewhere"
    ),
    "a trigger of the queue's": (
        "CREATE TRIGGER quiet BEFORE INSERT ON audit_pending FOR EACH ROW"
        " EXECUTE FUNCTION suppress_redundant_updates_trigger()"
    ),
    "a rule of the queue's": "CREATE RULE quiet AS ON INSERT TO audit_pending DO INSTEAD NOTHING",
    "an overload": (
        "CREATE FUNCTION audit_refuse(integer) RETURNS integer LANGUAGE sql AS 'SELECT 1'"
    ),
    "a policy": "ALTER TABLE audit_leaf ENABLE ROW LEVEL SECURITY",
    "heirs": "CREATE TABLE more () INHERITS (audit_leaf)",
    "an unlogged table": "ALTER TABLE audit_anchor SET UNLOGGED",
    "another reading of the line": (
        "ALTER TABLE audit_event DROP COLUMN outcome;"
        " ALTER TABLE audit_event ADD COLUMN outcome text GENERATED ALWAYS AS ('success') STORED"
    ),
    "a number of its own": "ALTER TABLE audit_event ALTER COLUMN txid SET DEFAULT '7'",
    "no number": "ALTER TABLE audit_event ALTER COLUMN txid DROP DEFAULT",
    "everybody may": "GRANT DELETE ON audit_event TO PUBLIC",
    "somebody may": "GRANT UPDATE ON audit_checkpoint TO pg_monitor",
    "somebody may write an id": "GRANT INSERT (id) ON audit_event TO pg_monitor",
    "who is no notary seals": "GRANT INSERT ON audit_leaf TO pg_monitor",
    "who is no keeper says what was pruned": "GRANT INSERT ON audit_pruned TO pg_monitor",
    "who asks removes": (
        "GRANT EXECUTE ON FUNCTION audit_prune TO pg_monitor;"
        " GRANT INSERT ON audit_pruned, audit_proposal TO pg_monitor"
    ),
    "two keepers": "GRANT EXECUTE ON FUNCTION audit_redact TO pg_monitor, pg_read_all_stats",
    "everybody removes": "GRANT EXECUTE ON FUNCTION audit_redact TO PUBLIC",
    "a login belongs to who writes everywhere": (
        "CREATE ROLE t_login LOGIN NOINHERIT; GRANT pg_write_all_data TO t_login"
    ),
    "a login that makes roles": (
        "CREATE ROLE t_login LOGIN CREATEROLE; CREATE ROLE t_ours LOGIN;"
        " GRANT SELECT ON audit_event TO t_ours"
    ),
    "a login of ours that sees past policies": (
        "CREATE ROLE t_login LOGIN BYPASSRLS; GRANT SELECT ON audit_event TO t_login"
    ),
    "a login of ours that may anything": (
        "CREATE ROLE t_login LOGIN SUPERUSER; GRANT SELECT ON audit_event TO t_login"
    ),
    "a login's schema": "CREATE ROLE t_login LOGIN; ALTER SCHEMA public OWNER TO t_login",
    "a login may be a replica": (
        "CREATE ROLE t_login LOGIN; GRANT SET ON PARAMETER session_replication_role TO t_login"
    ),
    "a login always is one": (
        "CREATE ROLE t_login LOGIN; ALTER ROLE t_login SET session_replication_role = replica"
    ),
    "a view of the queue": "CREATE VIEW quiet AS SELECT * FROM audit_pending",
    "a rule of another table": (
        "CREATE RULE quiet AS ON UPDATE TO devices_store DO INSTEAD NOTHING"
    ),
    "a policy of another table": "ALTER TABLE devices_store ENABLE ROW LEVEL SECURITY",
    "heirs of another table": "CREATE TABLE more () INHERITS (devices_store)",
    "somebody else's other table": "ALTER TABLE devices_store OWNER TO pg_monitor",
    "two notaries": "GRANT DELETE ON audit_pending TO pg_monitor, pg_read_all_stats",
    "somebody may pass it on": "GRANT SELECT ON audit_event TO pg_monitor WITH GRANT OPTION",
    "somebody else's table": "ALTER TABLE audit_tile OWNER TO pg_monitor",
    "a number twice": "ALTER TABLE audit_leaf DROP CONSTRAINT audit_leaf_pkey",
    "an old event again": "ALTER TABLE audit_event DROP CONSTRAINT audit_event_uid_key",
    "an old event under a number of its own": (
        "ALTER TABLE audit_event DROP CONSTRAINT audit_event_own_uid"
    ),
    "once, but for some": (
        "ALTER TABLE audit_event DROP CONSTRAINT audit_event_uid_key;"
        " CREATE UNIQUE INDEX audit_event_uid_key ON audit_event (uid) WHERE id < 0"
    ),
    "once, in the end": (
        "ALTER TABLE audit_event DROP CONSTRAINT audit_event_uid_key;"
        " ALTER TABLE audit_event ADD UNIQUE (uid) DEFERRABLE"
    ),
    "once, as somebody says": (
        "UPDATE pg_index SET indisvalid = false"
        " WHERE indexrelid = 'audit_leaf_event_id_key'::regclass"
    ),
    "a place before the first": "ALTER TABLE audit_leaf DROP CONSTRAINT leaf_index",
    "a range that is none": (
        "ALTER TABLE audit_pruned DROP CONSTRAINT pruned_range;"
        " ALTER TABLE audit_pruned ADD CONSTRAINT pruned_range CHECK (true)"
    ),
    "a check nobody made": (
        "ALTER TABLE audit_leaf DROP CONSTRAINT leaf_index; ALTER TABLE audit_leaf"
        ' ADD CONSTRAINT leaf_index CHECK ("index" >= 0) NOT VALID'
    ),
    "a check more": "ALTER TABLE audit_event ADD CHECK (action <> 'audit.finding')",
}


@pytest.mark.parametrize("how", SWITCHED_OFF)
def test_what_was_switched_off_is_noticed(house, how):
    only("postgresql")

    execute(SWITCHED_OFF[how])

    assert guards.drift(connection)


def test_what_was_switched_off_is_switched_on_by_the_next_migrate(house):
    only("postgresql")
    for how in ("disabled", "not for a replica", "another function"):
        execute(SWITCHED_OFF[how])

    call_command("migrate", verbosity=0)

    assert guards.drift(connection) == []


def test_a_trigger_of_somebody_else_is_noticed(house):
    only("sqlite")
    execute("CREATE TRIGGER quiet BEFORE INSERT ON audit_event BEGIN SELECT RAISE(IGNORE); END")

    assert guards.drift(connection) == ["多出触发器：quiet"]


def test_another_reading_of_the_line_is_noticed(house):
    only("sqlite")
    with connection.cursor() as cursor:
        cursor.execute("PRAGMA writable_schema = ON")
        cursor.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '$.outcome', '$.action')"
            " WHERE name = 'audit_event'"
        )
        cursor.execute("PRAGMA writable_schema = OFF")

    assert guards.drift(connection) == ["列的定义被改动：audit_event.outcome"]


def test_a_queue_that_is_gone_is_noticed(house):
    only("sqlite")
    execute("ALTER TABLE audit_pending RENAME TO elsewhere")

    assert "缺少数据表：audit_pending" in guards.drift(connection)


def test_a_tile_of_which_there_may_be_two_is_noticed(house):
    only("sqlite")
    execute("CREATE TABLE made (id integer PRIMARY KEY, level, n, hashes)")
    execute("DROP TABLE audit_tile")
    execute("ALTER TABLE made RENAME TO audit_tile")
    assert "不再唯一：audit_tile（level, n）" in guards.drift(connection)

    execute("CREATE UNIQUE INDEX some ON audit_tile (level, n) WHERE n < 0")
    assert "不再唯一：audit_tile（level, n）" in guards.drift(connection)

    execute("CREATE UNIQUE INDEX each ON audit_tile (level, n)")
    assert not [one for one in guards.drift(connection) if "唯一" in one]


@pytest.mark.parametrize("level", ["3", "demo"])
def test_who_owns_the_tables_at_level_3_is_told(house, settings, level):
    only("postgresql")
    settings.DEPLOY_LEVEL = level

    told = guards.drift(connection)

    assert told == (["没有约束力：当前数据库账号是超级用户"] if level == "3" else [])


def test_who_took_another_role_is_told_for_his_own(house, settings):
    only("postgresql")
    settings.DEPLOY_LEVEL = "3"
    execute("CREATE ROLE t_taken; GRANT SELECT ON ALL TABLES IN SCHEMA public TO t_taken")
    execute("SET LOCAL ROLE t_taken")

    assert guards.owner(connection) == "当前数据库账号是超级用户"


def test_a_keeper_who_only_removes_is_as_it_should_be(house):
    only("postgresql")
    execute(
        "GRANT EXECUTE ON FUNCTION audit_prune, audit_redact TO pg_monitor;"
        " GRANT INSERT ON audit_archive, audit_pruned, audit_redacted TO pg_monitor"
    )

    assert guards.drift(connection) == []


def test_no_table_of_the_trail_refers_to_another():
    with connection.cursor() as cursor:
        for table in [*TABLES, "audit_pending"]:
            assert connection.introspection.get_relations(cursor, table) == {}
