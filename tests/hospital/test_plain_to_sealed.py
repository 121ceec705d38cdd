"""docs/sealing-an-existing-table.md, carried out to the letter while somebody goes on writing."""

import re
import sqlite3
import threading
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from django.apps.registry import Apps
from django.db import connection, connections, migrations, models
from django.db.migrations.state import ModelState, ProjectState
from django.test.utils import CaptureQueriesContext
from uuid6 import uuid7

from hospital.crypto import keyring, moving
from hospital.crypto.fields import SealedField
from hospital.crypto.indexes import BlindIndex, Spread
from hospital.crypto.models import DataKey
from hospital.crypto.moving import Progress

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "sealing-an-existing-table.md"
BLOCKS = dict(
    re.findall(
        r"^```(?:python|sql)\n(?:#|--) ([^\n]+)\n(.*?)^```",
        DOCUMENT.read_text(),
        re.MULTILINE | re.DOTALL,
    )
)
CANARY = "金丝雀"
TABLE = "visits_visitor"
COLUMNS = {"plain": "name", "sealed": "sealed_name"}

pytestmark = pytest.mark.django_db(transaction=True)


def execute(title, **names):
    """Execute a block of the document; return what it defines."""
    return define(BLOCKS[title], **names)


def define(code, **names):
    """A registry of its own is all that is added: to the project these models do not exist."""
    apart = f'db_table = "{TABLE}"\n        app_label = "crypto"\n        apps = Apps()'
    code = code.replace(f'db_table = "{TABLE}"', apart)
    defined = {"models": models, "migrations": migrations, "SealedField": SealedField}
    defined |= {"uuid7": uuid7, "moving": moving, "Apps": Apps, "__name__": __name__, **names}
    exec(code, defined)  # noqa: S102 (our own document)
    return defined


def model(release):
    return execute(f"models.py, {release}")["Visitor"]


class Table:
    """The hospital's table, and how far its migrations have come."""

    def __init__(self):
        self.state = ProjectState()
        self.state.add_model(ModelState.from_model(model("before")))

    def migrate(self, title):
        for operation in execute(title)["operations"]:
            after = self.state.clone()
            operation.state_forwards("crypto", after)
            with connection.schema_editor() as editor:
                operation.database_forwards("crypto", editor, self.state, after)
            self.state = after


@pytest.fixture
def in_a_file(transactional_db, tmp_path):
    """The test's database, copied from memory to where its bytes can be looked at."""
    if connection.vendor != "sqlite":
        pytest.skip("SQLite only")
    connection.ensure_connection()
    memory, named = connection, connections.settings["default"]["NAME"]
    file = tmp_path / "hospital.sqlite3"
    with closing(sqlite3.connect(file)) as target:
        memory.connection.backup(target)
    inner = connections["default"]
    connections.settings["default"]["NAME"] = str(file)
    del connections["default"]
    yield file
    connections["default"].close()
    connections.settings["default"]["NAME"] = named
    connections["default"] = inner


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def table(request, transactional_db):
    if request.param == "sqlite":
        request.getfixturevalue("in_a_file")
    assert connection.vendor == request.param, "run by tests/on_postgresql.py"
    before = model("before")
    with connection.schema_editor() as editor:
        editor.create_model(before)
    yield Table()
    with connection.cursor() as cursor:
        cursor.execute(f"DROP TABLE {TABLE}")


@pytest.fixture
def expanded(table):
    """Ten visitors of before, and the sealed column beside their names."""
    before = model("before")
    pks = [before.objects.create(name=f"{CANARY}{n}").pk for n in range(10)]
    table.migrate("migration 1")
    return pks


def run(steps):
    """Exhaust the steps; return how far the last one says it came."""
    return [Progress(0, 0, 0), *steps][-1]


def names(release, column="name"):
    return {one.pk: getattr(one, column) for one in model(release).objects.all()}


@contextmanager
def writing(release, known, *, column):
    """Somebody who renames visitors and lets new ones in, until the block is over."""
    visitor, over, failed = model(release), threading.Event(), []
    turns = 0

    def write():
        nonlocal turns
        try:
            while not over.is_set() or turns < 5:
                one = visitor.objects.get(pk=list(known)[turns % len(known)])
                name = f"{CANARY}改{turns}"
                setattr(one, column, name)
                one.save(update_fields=[column] if turns % 2 else None)
                known[one.pk] = name
                new = visitor(**{column: f"{CANARY}新{turns}"})
                new.save()
                known[new.pk] = getattr(new, column)
                turns += 1
        except BaseException as exc:  # noqa: BLE001 (for the test to see)
            failed.append(exc)
        finally:
            connections.close_all()

    thread = threading.Thread(target=write)
    thread.start()
    yield
    over.set()
    thread.join()
    assert not failed, failed


def on_disk():
    """Return the bytes in which the table lies, wherever the database keeps them."""
    if connection.vendor == "sqlite":
        file = Path(connection.settings_dict["NAME"])
        return b"".join(one.read_bytes() for one in file.parent.glob(file.name + "*"))
    with connection.cursor() as cursor:
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT pg_read_binary_file(pg_relation_filepath(%s))", [TABLE])
        return bytes(cursor.fetchone()[0])


def test_the_recipe_from_end_to_end(table):
    before = model("before")
    known = {before.objects.create(name=f"{CANARY}{n}").pk: f"{CANARY}{n}" for n in range(60)}

    table.migrate("migration 1")
    with writing("before", known, column="name"):
        pass  # the release before does not mind the new column
    assert names("before") == known

    with writing("1", known, column="name"):
        execute("back-fill", Visitor=model("1"))
    execute("back-fill", Visitor=model("1"))
    differing = execute("verify", Visitor=model("1"))["differing"]
    assert differing == []
    assert names("before") == known == names("1", "sealed_name")  # either release may run

    with writing("4", known, column="sealed_name"):
        pass
    with writing("1", known, column="name"):
        pass
    assert execute("verify", Visitor=model("4"))["differing"] == []
    assert names("before") == known == names("4", "sealed_name")

    assert CANARY.encode() in on_disk()
    table.migrate("migration 5")
    with writing("5", known, column="sealed_name"):
        pass
    with writing("4", known, column="sealed_name"):  # its last processes
        pass
    with writing("5", known, column="sealed_name"):
        execute("clear", Visitor=model("5"))
    assert set(names("5").values()) == {None}
    assert names("4", "sealed_name") == known  # the release that reads both may still come back

    with writing("after", known, column="sealed_name"):
        pass
    table.migrate("migration 6")
    assert names("after", "sealed_name") == known

    with connection.cursor() as cursor:
        for statement in BLOCKS[connection.display_name].split(";")[:-1]:
            cursor.execute(statement)
    assert CANARY.encode() not in on_disk()
    assert b"\xfe\x01\x01\x01" in on_disk()
    assert names("after", "sealed_name") == known


# Moving, in particular.


def changing(pk, **values):
    """What somebody else does between our reading a row and our writing it."""
    return model("1").objects.filter(pk=pk).update(**values)


def sealed(visitor):
    return visitor.objects.filter(sealed_name__isnull=False)


def blobs(visitor):
    return {one.pk: one.__dict__["sealed_name"].blob for one in sealed(visitor)}


def test_what_was_killed_is_started_again_and_does_nothing_twice(expanded):
    visitor = model("1")
    first = next(moving.seal_column(visitor, **COLUMNS, batch=4))
    kept = blobs(visitor)

    rest = run(moving.seal_column(visitor, **COLUMNS, batch=4))

    assert (first, rest) == (Progress(10, 4, 0), Progress(6, 6, 0))
    assert blobs(visitor).items() > kept.items()
    assert run(moving.seal_column(visitor, **COLUMNS)) == Progress(0, 0, 0)
    assert DataKey.objects.filter(subject__in=expanded).count() == 10


@pytest.fixture
def between(monkeypatch):
    """Let somebody else act between the reading of a row and its writing."""
    seal = SealedField.pre_save

    def arrange(pk, act):
        waiting = [act]

        def slowly(field, instance, add):
            if instance.pk == pk and waiting:
                waiting.pop()()
            return seal(field, instance, add)

        monkeypatch.setattr(SealedField, "pre_save", slowly)

    return arrange


def test_whoever_changes_the_text_meanwhile_has_the_last_word(expanded, between):
    visitor, late = model("1"), expanded[3]
    between(late, lambda: changing(late, name="改名"))

    progress = run(moving.seal_column(visitor, **COLUMNS))

    assert progress == Progress(10, 9, 1)
    assert visitor.objects.get(pk=late).name == "改名"
    assert visitor.objects.get(pk=late).sealed_name is None
    assert run(moving.seal_column(visitor, **COLUMNS)) == Progress(1, 1, 0)
    assert visitor.objects.get(pk=late).sealed_name == "改名"


def test_what_somebody_sealed_meanwhile_stays(expanded, between):
    visitor, late = model("1"), expanded[3]
    between(late, visitor.objects.get(pk=late).save)

    progress = run(moving.seal_column(visitor, **COLUMNS))

    assert progress == Progress(10, 9, 1)
    assert list(moving.unequal(visitor, **COLUMNS)) == []


def test_blind_indexes_are_filled_in_the_same_statement(expanded):
    by_name = """by_name = BlindIndex(
        "visitor.name", column="name_index", parts={"name": Spread.UNIQUE}, of="parts"
    )

    def parts(self):
        return (self.sealed_name,)

    class Meta"""
    code = BLOCKS["models.py, 1"].replace("class Meta", by_name)
    indexed = define(code, BlindIndex=BlindIndex, Spread=Spread)["Visitor"]
    with connection.schema_editor() as editor:
        for column in indexed.by_name.columns:
            editor.add_field(indexed, indexed._meta.get_field(column))

    run(moving.seal_column(indexed, **COLUMNS))

    found = indexed.objects.get(indexed.by_name.matching(f"{CANARY}7"))
    assert found.sealed_name == f"{CANARY}7"


@pytest.mark.usefixtures("expanded")
def test_the_keys_of_a_batch_are_made_and_fetched_together():
    steps = [
        lambda: run(moving.seal_column(model("1"), **COLUMNS)),
        keyring.clear,
        lambda: list(moving.unequal(model("1"), **COLUMNS)),
    ]

    with CaptureQueriesContext(connection) as asked:
        for step in steps:
            step()

    of_keys = [one["sql"] for one in asked if '"crypto_datakey"' in one["sql"]]
    assert 0 < len(of_keys) <= 4


@pytest.mark.usefixtures("expanded")
def test_too_long_a_text_stops_the_run_unquoted():
    visitor = model("1")
    visitor._meta.get_field("sealed_name").max_length = 3

    with pytest.raises(ValueError, match="longer than 3") as caught:
        run(moving.seal_column(visitor, **COLUMNS))
    assert CANARY not in repr(caught.value)
    assert not sealed(visitor).exists()


@pytest.mark.usefixtures("expanded")
def test_only_a_sealed_field_is_sealed_into():
    with pytest.raises(TypeError, match="name is not a sealed field"):
        moving.seal_column(model("1"), plain="name", sealed="name")


def test_rows_whose_columns_differ_are_named_and_mended(expanded):
    visitor = model("1")
    run(moving.seal_column(visitor, **COLUMNS))
    stale, missing, moved, shut = sorted(expanded)[:4]
    changing(stale, name="改名")
    changing(missing, sealed_name=None)
    changing(moved, sealed_name=visitor.objects.get(pk=stale).__dict__["sealed_name"])
    keyring.destroy(shut)

    differing = execute("verify", Visitor=visitor)["differing"]

    assert differing == [stale, missing, moved, shut]
    execute("mend", Visitor=visitor, differing=[stale, missing, moved])
    execute("back-fill", Visitor=visitor)
    assert list(moving.unequal(visitor, **COLUMNS, batch=3)) == [shut]


def test_a_null_is_equal_to_a_null_only(table, expanded):
    visitor, (first, second, *_) = model("5"), sorted(expanded)
    table.migrate("migration 5")
    run(moving.seal_column(visitor, **COLUMNS))
    visitor.objects.filter(pk__in=[first, second]).update(name=None)
    visitor.objects.filter(pk=first).update(sealed_name=None)

    assert list(moving.unequal(visitor, **COLUMNS)) == [second]


def test_plain_text_stays_wherever_it_was_not_just_read_from_the_sealed_value(
    table, expanded, monkeypatch
):
    visitor, (differs, missing, shut, late, *rest) = model("5"), sorted(expanded)
    table.migrate("migration 5")
    run(moving.seal_column(visitor, **COLUMNS))
    changing(differs, name="改名")
    changing(missing, sealed_name=None)
    keyring.destroy(shut)
    agree = moving._agree

    def slowly(row, *columns):
        agreed = agree(row, *columns)
        if row.pk == late:
            changing(late, name="刚改")
        return agreed

    monkeypatch.setattr(moving, "_agree", slowly)
    progress = run(moving.clear_column(visitor, **COLUMNS, batch=3))

    assert progress == Progress(10, 6, 4)
    left = {one.pk: one.name for one in visitor.objects.filter(name__isnull=False)}
    assert set(left) == {differs, missing, shut, late}
    assert (left[differs], left[late]) == ("改名", "刚改")
    assert {one.sealed_name[:3] for one in visitor.objects.filter(pk__in=rest)} == {CANARY}
