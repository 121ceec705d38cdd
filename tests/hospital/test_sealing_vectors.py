"""What was once sealed, wrapped or indexed opens: here, and to a stranger who reads of it."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
from django.apps import apps

from hospital.crypto import indexes, keyring, normalising
from hospital.crypto.fields import SealedField, open_text
from hospital.crypto.index_keys import index_keys
from hospital.crypto.models import DataKey, IndexKey, KeyEpoch
from hospital.crypto.sealing import pack

ROOT = Path(__file__).resolve().parents[2]
FILE = ROOT / "tests" / "vectors" / "sealing.json"
SCRIPT = FILE.with_name("make_sealing.py")
OPENER, INDEXER = FILE.with_name("open_sealing.py"), FILE.with_name("index_sealing.py")
DOCUMENT = ROOT / "docs" / "cryptography.md"
VECTORS = json.loads(FILE.read_text())
SUITES = {1: "aes-256-gcm", 2: "sm4-gcm"}

each_value = pytest.mark.parametrize(
    "value",
    VECTORS["values"],
    ids=lambda value: f"{SUITES[value['generation']]}-{value['name']}",
)
each_index = pytest.mark.parametrize(
    ("number", "index"),
    [pytest.param(n, one, id=f"{n}-{one['label']}") for n, one in enumerate(VECTORS["indexes"])],
)


def blob(row, name):
    return bytes.fromhex(row[name])


@pytest.fixture
def installation(db, settings, tmp_path):
    """The root key and the epochs of the file: the second wraps now, the first did before."""
    settings.KEY_PROVIDER, settings.KEY_FILE = "file", tmp_path / "root.key"
    settings.KEY_FILE.touch(mode=0o600)
    settings.KEY_FILE.write_bytes(blob(VECTORS, "root_key"))
    keyring.clear()
    last = VECTORS["epochs"][-1]
    return {
        row["epoch"]: KeyEpoch.objects.create(
            epoch=row["epoch"],
            suite=row["suite"],
            provider=row["provider"],
            wrapped=blob(row, "wrapped"),
            check_value=blob(row, "check_value"),
            state=KeyEpoch.State.ACTIVE if row is last else KeyEpoch.State.DECRYPT_ONLY,
        )
        for row in VECTORS["epochs"]
    }


@pytest.fixture
def data_keys(installation):
    for row in VECTORS["data_keys"]:
        DataKey.objects.create(
            subject=UUID(row["subject"]),
            generation=row["generation"],
            suite=row["suite"],
            epoch=installation[row["epoch"]],
            wrapped=blob(row, "wrapped"),
            check_value=blob(row, "check_value"),
        )


@pytest.mark.usefixtures("data_keys")
@each_value
def test_what_was_sealed_opens_here(value):
    opened = open_text(
        blob(value, "sealed"),
        context=value["context"],
        subject=UUID(value["subject"]),
        row=UUID(value["row"]),
    )

    assert opened == value["text"]


def index_key(index):
    """Return the row of the file with the key that an index of the file was made with."""
    (row,) = [
        row
        for row in VECTORS["index_keys"]
        if (row["label"], row["version"]) == (index["label"], index["version"])
    ]
    return row


@each_index
def test_what_was_indexed_is_found_here(installation, number, index):
    row = index_key(index)
    IndexKey.objects.create(
        label=row["label"],
        version=row["version"],
        algorithm=row["algorithm"],
        normaliser=row["normaliser"],
        state=IndexKey.State.ACTIVE,
        epoch=installation[row["epoch"]],
        wrapped=blob(row, "wrapped"),
        check_value=blob(row, "check_value"),
    )

    keys = index_keys(index["label"], normaliser=row["normaliser"])
    digest = indexes.digest(keys.active, index["label"], index["values"], bits=index["bits"])

    assert digest == index["index"]


def alone(directory, *arguments):
    """Run Python where nothing of the project can be imported."""
    return subprocess.run(
        [sys.executable, "-I", *arguments], cwd=directory, env={}, capture_output=True, text=True
    )


@pytest.fixture
def elsewhere(tmp_path):
    for file in (FILE, OPENER, INDEXER):
        shutil.copy(file, tmp_path)
    return tmp_path


def test_a_stranger_opens_all_of_it_in_forty_lines(elsewhere):
    assert alone(elsewhere, "-c", "import hospital").returncode != 0

    read = alone(elsewhere, OPENER.name, FILE.name)

    assert read.returncode == 0, read.stderr
    assert len(read.stdout.splitlines()) == len(VECTORS["values"])
    assert "opened 2 patient.real_name 张三" in read.stdout.splitlines()
    assert len(OPENER.read_text().splitlines()) <= 40


def test_a_stranger_recomputes_every_index(elsewhere):
    read = alone(elsewhere, INDEXER.name, FILE.name)

    assert read.returncode == 0, read.stderr
    assert len(read.stdout.splitlines()) == len(VECTORS["indexes"])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("epochs", "wrapped"),
        ("data_keys", "wrapped"),
        ("data_keys", "check_value"),
        ("values", "sealed"),
        ("index_keys", "wrapped"),
        ("indexes", "index"),
    ],
)
def test_a_stranger_notices_a_changed_byte(elsewhere, kind, name):
    changed = json.loads(FILE.read_text())
    last = changed[kind][-1]
    last[name] = last[name][:-1] + ("0" if last[name][-1] != "0" else "1")
    (elsewhere / FILE.name).write_text(json.dumps(changed))

    codes = [alone(elsewhere, one.name, FILE.name).returncode for one in (OPENER, INDEXER)]
    assert any(codes)


def test_the_file_is_what_its_script_writes():
    assert runpy.run_path(str(SCRIPT))["vectors"]() == VECTORS


def test_both_suites_and_every_edge_of_the_padding_are_in_the_file():
    shapes = {(blob(v, "sealed")[2], len(v["text"].encode())) for v in VECTORS["values"]}

    assert {(suite, size) for suite in SUITES for size in (0, 31, 32, 33)} <= shapes
    assert {row["suite"] for row in VECTORS["epochs"]} == set(SUITES)
    assert {row["algorithm"] for row in VECTORS["index_keys"]} == {1, 2}


# The document's worked example.


def example():
    """Return every hex string the worked example is made of."""
    epoch, data, value = VECTORS["epochs"][0], VECTORS["data_keys"][0], VECTORS["values"][0]
    index = VECTORS["indexes"][0]
    wrapped = (epoch, data, index_key(index))
    sealed = blob(value, "sealed")
    subject, row = UUID(value["subject"]).bytes, UUID(value["row"]).bytes
    text = value["text"].encode()
    one = (1).to_bytes(4, "big")
    named = [index["label"], index_key(index)["normaliser"], *index["normalised"]]
    return [
        VECTORS["root_key"],
        *(each[name] for each in wrapped for name in ("key", "wrapped", "check_value")),
        pack(b"hfe-kek", one, one).hex(),
        pack(b"hfe-dek", subject, one, one, one).hex(),
        pack(b"hfe-ixk", index["label"].encode(), one, one, one).hex(),
        value["sealed"],
        sealed[:8].hex(),
        sealed[8:20].hex(),
        sealed[20:-16].hex(),
        sealed[-16:].hex(),
        (text + b"\x80" + bytes(31 - len(text))).hex(),
        pack(b"hfe1", sealed[:8], value["context"].encode(), subject, row).hex(),
        pack(b"hfe-ix", *(part.encode() for part in named)).hex(),
        index["index"],
    ]


def test_the_document_prints_the_bytes_of_the_file():
    printed = set(re.findall(r"\b[0-9a-f]{16,}\b", DOCUMENT.read_text()))

    assert printed == set(example())


def test_the_document_lists_the_characters_that_moved():
    moved = VECTORS["formerly_private"]

    assert "".join(re.findall(r"^`U\+E8.. (.+)`$", DOCUMENT.read_text(), re.MULTILINE)) == moved
    assert normalising.person_name("".join(map(chr, range(0xE815, 0xE865)))) == (
        normalising.person_name(moved)
    )


def test_the_document_names_every_column_that_is_sealed_and_every_index():
    models = apps.get_models()
    columns = [column for model in models for column in model._meta.local_fields]
    contexts = {column.context for column in columns if isinstance(column, SealedField)}
    kinds = [index for model in models for index in indexes.blind_indexes(model)]

    named = contexts | {index.label for index in kinds} | {index.normaliser.name for index in kinds}

    assert {name for name in named if f"`{name}`" not in DOCUMENT.read_text()} == set()
    assert len(contexts) > 5
    assert len(kinds) > 3
