"""
Sealed fields beside plain ones of the same shape, and beside django-fernet-encrypted-fields.

In this process, on SQLite in memory: the database costs next to nothing, so this is the worst
case. Every table has a UUID for a key and one text of 39 bytes.
"""

import atexit
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import django
from django.conf import settings

VAR = Path(tempfile.mkdtemp(prefix="face-fields-"))
atexit.register(shutil.rmtree, VAR, ignore_errors=True)
settings.configure(
    DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
    INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "hospital.crypto"],
    USE_TZ=True,
    KEY_PROVIDER="file",
    KEY_FILE=VAR / "root.key",
    CRYPTO_SUITE="aes-256-gcm",
    KEY_CACHE_SECONDS=3600,
    ROOT_KEY_CACHE_SECONDS=3600,
    SECRET_KEY="benchmark",
    SALT_KEY="benchmark",
)
django.setup()  # models are made below

from django.apps import apps  # noqa: E402
from django.db import connection, models  # noqa: E402
from encrypted_fields.fields import EncryptedTextField  # noqa: E402
from uuid6 import uuid7  # noqa: E402

from hospital.crypto import data_keys, keyring  # noqa: E402
from hospital.crypto.fields import SealedField  # noqa: E402
from hospital.crypto.indexes import BlindIndex, Spread  # noqa: E402
from hospital.crypto.providers.file import FileProvider  # noqa: E402
from hospital.crypto.records import SealedModel  # noqa: E402
from tests.benchmarks.paired import Batch, each  # noqa: E402

TEXT = "司马相如司马相如司马相如司"
ROWS = 1000  # written by one call
PAGE = 100  # rows read by one call, as a list in the admin has
CREATED = 100  # rows, by a call that creates one after the other
PATIENTS = 10_000  # whose keys nobody has fetched yet


class Plain(models.Model):
    id = models.UUIDField(primary_key=True)
    name = models.CharField(max_length=64)

    class Meta:
        app_label = "crypto"


class Fernet(models.Model):
    id = models.UUIDField(primary_key=True)
    name = EncryptedTextField()

    class Meta:
        app_label = "crypto"


class Aes(SealedModel):
    id = models.UUIDField(primary_key=True)
    name = SealedField(context="aes.name", max_length=64)

    class Meta:
        app_label = "crypto"


class Sm4(SealedModel):
    id = models.UUIDField(primary_key=True)
    name = SealedField(context="sm4.name", max_length=64)

    class Meta:
        app_label = "crypto"


class Indexed(SealedModel):
    id = models.UUIDField(primary_key=True)
    name = SealedField(context="indexed.name", max_length=64)
    by_name = BlindIndex(
        "indexed.name", column="name_index", parts={"number": Spread.UNIQUE}, of="names"
    )

    class Meta:
        app_label = "crypto"

    def names(self) -> tuple[str]:
        return (self.name or "",)


TABLES: dict[str, type[models.Model]] = {
    "plain": Plain,
    "sealed": Aes,
    "sealed with SM4": Sm4,
    "sealed and indexed": Indexed,
    "fernet": Fernet,
}
Act = Callable[[type[models.Model], list[UUID]], Callable[[], object]]
SUITES = {Aes: "aes-256-gcm", Sm4: "sm4-gcm", Indexed: "aes-256-gcm"}


@contextmanager
def create() -> Iterator[Mapping[str, Batch]]:
    with _tables():
        yield _compared("create", _create)


@contextmanager
def bulk_create() -> Iterator[Mapping[str, Batch]]:
    with _tables():
        yield _compared("bulk_create", _bulk_create)


@contextmanager
def new_patients() -> Iterator[Mapping[str, Batch]]:
    """Create the rows of patients who have no key yet: one is made for each."""
    with _tables():
        yield _compared("new patients", _new_patients)


@contextmanager
def unread() -> Iterator[Mapping[str, Batch]]:
    with _tables():
        yield _compared("unread", _unread, filled=PAGE)


@contextmanager
def read() -> Iterator[Mapping[str, Batch]]:
    with _tables():
        yield _compared("read", _read, filled=PAGE)


@contextmanager
def cold() -> Iterator[Mapping[str, Batch]]:
    """Read as many patients as there are rows, and none of their keys fetched yet."""
    with _tables():
        yield _compared("cold", _cold, filled=PATIENTS)


@contextmanager
def _tables() -> Iterator[None]:
    """Begin with empty tables, and no key made yet."""
    if not settings.KEY_FILE.exists():
        FileProvider.create(settings.KEY_FILE)
    made = list(apps.get_app_config("crypto").get_models())
    with connection.schema_editor() as editor:
        for model in made:
            editor.create_model(model)
    yield
    keyring.clear()
    with connection.schema_editor() as editor:
        for model in reversed(made):
            editor.delete_model(model)


def _compared(name: str, act: Act, *, filled: int = 0) -> Mapping[str, Batch]:
    """Return the act on each of the tables; those that are only read hold so many rows."""
    return {
        f"{name}, {which}": each(act(model, _rows_of(model, filled)))
        for which, model in TABLES.items()
    }


def _rows_of(model: type[models.Model], filled: int) -> list[UUID]:
    """Return the primary keys of rows, and their data keys exist; `filled` of the rows, too."""
    keys = [uuid7() for _ in range(filled or ROWS)]
    if model in SUITES:
        settings.CRYPTO_SUITE = SUITES[model]
        keyring.provide(keys)
    if filled:
        model._base_manager.bulk_create([model(id=key, name=TEXT) for key in keys])
    return keys


def _create(model: type[models.Model], keys: list[UUID]) -> Callable[[], object]:
    rows = model._default_manager

    def act() -> None:
        for key in keys[:CREATED]:
            rows.create(id=key, name=TEXT)
        _empty(model)

    return act


def _bulk_create(model: type[models.Model], keys: list[UUID]) -> Callable[[], object]:
    rows = model._default_manager

    def act() -> None:
        rows.bulk_create([model(id=key, name=TEXT) for key in keys])
        _empty(model)

    return act


def _new_patients(model: type[models.Model], _keys: list[UUID]) -> Callable[[], object]:
    rows = model._default_manager

    def act() -> None:
        settings.CRYPTO_SUITE = SUITES.get(model, "aes-256-gcm")
        rows.bulk_create([model(id=uuid7(), name=TEXT) for _ in range(ROWS)])
        _empty(model)

    return act


def _unread(model: type[models.Model], keys: list[UUID]) -> Callable[[], object]:
    rows = model._default_manager

    def act() -> None:
        assert len(list(rows.all())) == len(keys)

    return act


def _read(model: type[models.Model], keys: list[UUID]) -> Callable[[], object]:
    rows: Any = model._default_manager

    def act() -> None:
        assert sum([row.name == TEXT for row in rows.all()]) == len(keys)

    return act


def _cold(model: type[models.Model], keys: list[UUID]) -> Callable[[], object]:
    read_all = _read(model, keys)

    def act() -> None:
        data_keys.forget()
        read_all()

    return act


def _empty(model: type[models.Model]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"DELETE FROM {model._meta.db_table}")  # noqa: S608 (without WHERE: at once)
