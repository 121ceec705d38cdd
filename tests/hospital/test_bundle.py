"""A copy of the trail in the hands of a stranger: what it shows, and what they notice."""

import ast
import base64
import csv
import io
import json
import os
import shutil
import stat
import subprocess
import sys
import zipfile
from datetime import timedelta
from xml.etree import ElementTree as ET

import pytest
from django.db import connection, transaction

from hospital.audit import log, merkle
from hospital.audit.actions import Action
from hospital.audit.checkpoint import Checkpoint, Note
from hospital.audit.exporting import bundle, checking, proving, streams, tables
from hospital.audit.exporting.selecting import (
    Backwards,
    Filters,
    NothingChosen,
    NotSealed,
    Range,
    TimeBackwards,
)
from hospital.audit.kept import Archive, Pruned
from hospital.audit.models import Leaf
from hospital.audit.recording import SYSTEM, record
from hospital.audit.tree import Tree
from tests.hospital.notarised import BOTH, House, tamper

WHOLE = Range(0, 25)
NO_ROOT = "不符：各行与证明算不出检查点里的根：有行被改动、删除或调换，或检查点不是这一份的\n"


@pytest.fixture(autouse=True, params=BOTH)
def database(request, transactional_db):
    # Transactions of its own: a copy is made over another connection.
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


@pytest.fixture
def house(tmp_path):
    """A trail of 25 events under three checkpoints, the last of them cosigned."""
    house = House(tmp_path)
    for count in (10, 10):
        house.seal(count)
        house.later(seconds=1)
    house.seal(5, witnessed=True)
    return house


@pytest.fixture
def stranger(house, tmp_path):
    return Stranger(house, tmp_path / "elsewhere")


class Stranger:
    """Has a copy, python3 and the public keys, and nothing of ours."""

    def __init__(self, house, place):
        self.house, self.place = house, place
        self.keys = [str(one) for one in house.verifiers]

    def gets(self, selection=WHOLE, **how):
        shutil.rmtree(self.place, ignore_errors=True)
        path = self.house.directory / "copy.zip"
        written = bundle.write(path, selection=selection, manifest_facts={}, **how)
        with zipfile.ZipFile(path) as zipped:
            zipped.extractall(self.place)
        return written

    def asks(self, *, keys=None, path="", isolated=("-I", "-S"), **environment):
        """Return the exit code and what the verifier said."""
        named = [word for key in (self.keys if keys is None else keys) for word in ("--key", key)]
        command = [sys.executable, *isolated, "verify.py", *named, *([path] if path else [])]
        answer = subprocess.run(
            command,
            cwd=self.place,
            capture_output=True,
            encoding="utf-8",
            env={**os.environ, **environment},
        )
        assert answer.stderr == ""
        return answer.returncode, answer.stdout

    def file(self, name):
        return self.place / name

    def manifest(self):
        return json.loads(self.file("manifest.json").read_text())

    def states(self, **changes):
        """Rewrite the manifest, as a forger would: with digests that fit."""
        stated = self.manifest() | changes
        for name in stated["files"]:
            sha256, sm3 = checking.digests(self.file(name)).hex()
            stated["files"][name] |= {"sha256": sha256, "sm3": sm3}
        self.file("manifest.json").write_text(json.dumps(stated))

    def lines(self):
        return self.file("events.jsonl").read_bytes().splitlines(keepends=True)

    def rewrites(self, lines):
        self.file("events.jsonl").write_bytes(b"".join(lines))
        self.states()


def say(reason, *, house, after=timedelta()):
    """Record an act with a reason somebody typed, and have it sealed."""
    with transaction.atomic():
        record(Action.TERMINAL_SUSPEND, by=SYSTEM, on=None, at=house.now + after, reason=reason)
    house.notary().step(now=house.now)


# A copy that nobody touched


@pytest.mark.parametrize(("start", "end"), [(0, 25), (0, 1), (24, 25), (7, 19), (8, 16), (1, 25)])
def test_a_range_is_complete(stranger, start, end):
    stranger.gets(Range(start, end))

    code, said = stranger.asks()

    assert code == 0
    assert f"完整：序号 {start} 至 {end - 1}，共 {end - start} 条，一条不少" in said
    assert "签名正确：hospital.example/trail" in said
    assert "签名正确：witness.example" in said


def test_picked_lines_are_genuine_and_no_more(stranger, house):
    say("换班", house=house)
    house.seal(3)
    say("检修", house=house)

    written = stranger.gets(Filters(action="terminal.suspend"))
    code, said = stranger.asks(keys=stranger.keys[:1])

    assert (code, written.rows) == (0, 2)
    assert "真实：2 条均在留痕之中。按条件筛选，不能证明没有遗漏" in said
    assert "完整" not in said
    assert stranger.manifest()["filters"] == {"action": "terminal.suspend"}


def test_the_lines_are_the_bytes_that_were_sealed(stranger, house):
    say('引号 " 反斜杠 \\ 换行 \n 制表 \t ', house=house)

    stranger.gets(Range(0, 26))

    leaves = [bytes(one) for one in Leaf.objects.order_by("index").values_list("hash", flat=True)]
    assert [merkle.leaf_hash(line[:-1]) for line in stranger.lines()] == leaves


def test_without_a_key_it_says_that_nobody_signed(stranger):
    stranger.gets()

    code, said = stranger.asks(keys=[])

    assert code == 2
    assert "没有给出留痕的公钥" in said


def test_what_nobody_signed_is_not_verified_for_us(stranger, house):
    stranger.gets()

    with pytest.raises(checking.Unverified, match="没有给出留痕的公钥"):
        checking.verify(house.directory / "copy.zip", keys=[])


def test_with_the_witness_alone_the_log_itself_is_not_vouched_for(stranger):
    stranger.gets()

    code, said = stranger.asks(keys=stranger.keys[1:])

    assert code == 2
    assert "没有给出留痕的公钥" in said


def test_the_zip_is_verified_as_it_is(stranger, house):
    stranger.gets()

    code, said = stranger.asks(path=str(house.directory / "copy.zip"))

    assert code == 0
    assert "一条不少" in said
    assert "一条不少" in checking.verify(house.directory / "copy.zip", keys=stranger.keys)


def test_only_its_owner_can_read_it_and_nothing_is_left_beside_it(stranger, house):
    house.directory.joinpath("out").mkdir()
    path = house.directory / "out" / "copy.zip"

    written = bundle.write(path, selection=WHOLE, manifest_facts={}, views=["csv", "xlsx"])

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]
    assert (written.sha256, written.sm3) == checking.digests(path).hex()
    assert written.size == path.stat().st_size


def test_a_cosignature_that_came_late_is_in_the_copy(stranger, house):
    house.is_witness_away = True
    notary = house.notary(witnessed=True)
    house.write()
    notary.step(now=house.now)
    house.is_witness_away = False
    house.later(seconds=30)
    notary.step(now=house.now)

    stranger.gets(Range(0, 26))

    assert stranger.asks()[0] == 0


def test_the_verifier_reads_with_an_old_python():
    ast.parse(checking.VERIFIER.read_text(), feature_version=(3, 8))


def test_the_readme_checks_the_signature_without_our_program(stranger):
    stranger.gets()
    readme = stranger.file("README.txt").read_text()
    script = "\n".join(line[4:] for line in readme.splitlines() if line.startswith("    "))
    script = script[script.index("KEY=") :].replace("公钥", stranger.keys[0])

    answer = subprocess.run(["sh", "-ec", script], cwd=stranger.place, capture_output=True)

    assert b"Signature Verified Successfully" in answer.stdout, answer.stderr


# A copy that somebody touched


@pytest.mark.parametrize("place", [0, 11, 24])
def test_one_changed_byte_is_noticed(stranger, place):
    stranger.gets()
    lines = stranger.lines()
    lines[place] = lines[place].replace(b"success", b"sucCess")

    stranger.rewrites(lines)

    assert stranger.asks() == (1, NO_ROOT)


@pytest.mark.parametrize("place", [0, 11, 24])
def test_one_dropped_row_breaks_a_range(stranger, place):
    stranger.gets()
    lines = stranger.lines()

    stranger.rewrites(lines[:place] + lines[place + 1 :])

    assert stranger.asks() == (1, "不符：events.jsonl 里少了行\n")


def test_a_row_dropped_with_its_count_is_noticed(stranger):
    stranger.gets(Range(0, 20))
    stranger.rewrites(stranger.lines()[:-1])
    stranger.states(count=19, last=18)

    assert stranger.asks()[0] == 1


def test_a_row_put_in_is_noticed(stranger):
    stranger.gets()

    stranger.rewrites([*stranger.lines(), stranger.lines()[0]])

    assert stranger.asks() == (1, "不符：events.jsonl 里多出了行\n")


def test_two_swapped_rows_are_noticed(stranger):
    stranger.gets()
    lines = stranger.lines()
    lines[3], lines[4] = lines[4], lines[3]

    stranger.rewrites(lines)

    assert stranger.asks() == (1, NO_ROOT)


def test_a_dropped_row_replaced_by_its_hash_is_no_range_any_more(stranger):
    stranger.gets()
    lines = stranger.lines()
    hash_ = merkle.leaf_hash(lines[5][:-1])
    proof = stranger.file("proof.jsonl")
    proof.write_bytes(bundle._proven((5, 6, hash_)) + proof.read_bytes())

    stranger.rewrites(lines[:5] + lines[6:])
    stranger.states(count=24)

    assert stranger.asks() == (1, "不符：清单说是连续区间，中间却有缺失\n")


def test_picked_lines_presented_as_complete_are_noticed(stranger, house):
    say("换班", house=house)
    house.seal(1)
    say("检修", house=house)
    stranger.gets(Filters(action="terminal.suspend"))

    stranger.states(kind="range")

    assert stranger.asks(keys=stranger.keys[:1])[0] == 1


def test_another_checkpoint_is_noticed(stranger):
    stranger.gets()
    other = log.Checkpoint.objects.get(size=20)
    stranger.file("checkpoint.txt").write_text(other.note)

    stranger.states()

    assert stranger.asks()[0] == 1


def test_a_checkpoint_with_a_fitting_root_that_nobody_signed_is_noticed(stranger, house):
    stranger.gets()
    lines = stranger.lines()
    lines[3] = lines[3].replace(b"success", b"failed!")
    root = merkle.root_of([merkle.leaf_hash(line[:-1]) for line in lines])
    body = Checkpoint(house.origin, 25, root).body()
    signed = Note.parse(stranger.file("checkpoint.txt").read_text()).signatures
    stranger.file("checkpoint.txt").write_text(str(Note(body, signed)))

    stranger.rewrites(lines)
    stranger.states(checkpoint={"size": 25, "root": base64.b64encode(root).decode()})

    code, said = stranger.asks()
    assert code == 1
    assert "没有 hospital.example/trail 用这个公钥所作的有效签名" in said


def test_a_wrong_key_is_noticed(stranger, tmp_path):
    stranger.gets()

    code, said = stranger.asks(keys=[str(House(tmp_path / "other").verifiers[0])])

    assert code == 1
    assert "有效签名" in said


def test_a_truncated_proof_is_noticed(stranger):
    stranger.gets(Range(7, 19))
    proof = stranger.file("proof.jsonl")
    proof.write_bytes(b"".join(proof.read_bytes().splitlines(keepends=True)[:-1]))

    stranger.states()

    assert stranger.asks()[0] == 1


@pytest.mark.parametrize("name", ["events.jsonl", "proof.jsonl", "checkpoint.txt", "manifest.json"])
def test_a_missing_or_mangled_file_is_noticed(stranger, name):
    stranger.gets(Range(3, 9))
    stranger.file(name).write_bytes(b"\xff{[")
    mangled = stranger.asks()

    stranger.file(name).unlink()
    missing = stranger.asks()

    assert (mangled[0], missing[0]) == (1, 1)
    assert mangled[1].startswith("不符：")
    assert missing[1].startswith("不符：")


def test_a_file_that_differs_from_the_manifest_is_named(stranger):
    stranger.gets(views=["csv"])
    stranger.file("views/events.csv").write_text("…")

    assert stranger.asks() == (1, "不符：views/events.csv 的 SHA256 与清单不符\n")


def test_of_a_redacted_line_it_is_said_that_nobody_can_tell_why(stranger):
    redact(5)

    stranger.gets()

    code, said = stranger.asks()
    assert code == 0
    assert "位置连续：序号 0 至 24，共 25 条，其中 1 条只有散列；是否由医院依规遮盖" in said
    assert "一条不少" not in said + stranger.file("README.txt").read_text()


def test_lines_somebody_hid_do_not_pass_for_complete(stranger):
    stranger.gets()
    hidden = [hashed(line) for line in stranger.lines()]

    stranger.rewrites(hidden)

    assert stranger.asks()[0] == 1
    stranger.states(redacted=25, proves=bundle._COVERED)
    assert "其中 25 条只有散列" in stranger.asks()[1]


@pytest.mark.parametrize(
    "form",
    ['{"redacted":"%s","actor":"x","v":1}', '{"redacted":"00","redacted":"%s","v":1}'],
)
def test_nothing_is_told_behind_the_hash_of_a_redacted_line(stranger, form):
    stranger.gets()
    lines = stranger.lines()
    lines[7] = (form % merkle.leaf_hash(lines[7][:-1]).hex()).encode() + b"\n"

    stranger.rewrites(lines)

    assert stranger.asks() == (1, NO_ROOT)


def test_a_file_laid_beside_the_verifier_is_not_run(stranger):
    stranger.gets()
    for name in ("hashlib", "argparse", "__future__"):
        stranger.file(f"{name}.py").write_text("print('完整'); raise SystemExit(0)")

    answers = [stranger.asks(), stranger.asks(isolated=())]

    assert answers == [(1, "不符：多出不属于副本的文件：'__future__.py'\n")] * 2


def test_an_openssl_that_came_with_the_copy_is_not_run(stranger):
    stranger.gets()
    own = stranger.house.directory / "own"
    own.mkdir()
    shutil.copy(stranger.file("verify.py"), own)
    false = own / "openssl"
    false.write_text("#!/bin/sh\nexit 0\n")
    false.chmod(0o755)
    stranger.place, copy = own, str(stranger.house.directory / "copy.zip")

    code, said = stranger.asks(path=copy, PATH=f"{own}:{os.environ['PATH']}")

    assert code == 2
    assert "在副本所在的目录里" in said


@pytest.mark.parametrize(
    "name",
    [
        "Events.jsonl",
        "./events.jsonl",
        "views/../events.jsonl",
        "x\\..\\e",
        "../evil",
        "views/a.csv",
    ],
)
def test_a_zip_holds_nothing_else(stranger, name):
    stranger.gets()
    copy = stranger.house.directory / "copy.zip"
    with zipfile.ZipFile(copy, "a") as zipped:
        zipped.writestr(name, "伪造")

    code, said = stranger.asks(path=str(copy))

    assert code == 1
    assert said.startswith("不符：多出不属于副本的文件：")


def test_tables_are_never_evidence_and_always_listed(stranger):
    stranger.gets(views=["csv"])
    assert "表格（views/）不是证据" in stranger.asks()[1]
    stated = stranger.manifest()
    del stated["files"]["views/events.csv"]

    stranger.file("manifest.json").write_text(json.dumps(stated))

    assert stranger.asks() == (1, "不符：清单列出的文件与实有的不同\n")


def test_a_link_is_no_file_of_a_copy(stranger):
    stranger.gets(views=["csv"])
    table = stranger.file("views/events.csv")
    table.unlink()
    table.symlink_to("/dev/zero")

    assert stranger.asks() == (1, "不符：'views/events.csv' 不是普通文件\n")


@pytest.mark.parametrize(
    "lie",
    [
        {"origin": "other.example/trail"},
        {"checkpoint": {"size": 99, "root": "AAAA"}},
        {"proves": "完整：全部"},
        {"redacted": 3},
        {"lost": 3},
        {"format": "trail-copy/0"},
    ],
)
def test_what_the_manifest_states_of_the_copy_is_compared(stranger, lie):
    stranger.gets(Range(5, 9))

    stranger.states(**lie)

    assert stranger.asks() == (1, f"不符：清单里的 {next(iter(lie))} 与内容不符\n")


def test_nothing_is_stated_twice(stranger):
    stranger.gets()
    manifest = stranger.file("manifest.json")
    manifest.write_text('{"count": 99,' + manifest.read_text()[1:])

    assert stranger.asks() == (1, "不符：manifest.json 里有重复的名称\n")


def test_a_proof_without_a_line_is_no_copy(stranger):
    stranger.gets(Range(5, 9))
    tree = Tree()
    pieces = [(*one, tree.subtree(one)) for one in proving.aligned(0, 25)]
    stranger.file("proof.jsonl").write_bytes(b"".join(map(bundle._proven, pieces)))

    stranger.rewrites([])

    assert stranger.asks() == (1, "不符：里面没有一条留痕\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [("manifest.json", b"[" * 200_000), ("events.jsonl", b"\0" * (3 << 20)), ("proof.jsonl", b"[")],
)
def test_whatever_is_in_a_file_the_answer_is_a_sentence(stranger, name, content):
    stranger.gets()
    stranger.file(name).write_bytes(content)
    if name != "manifest.json":
        stranger.states()

    code, said = stranger.asks()

    assert code == 1
    assert said.startswith("不符：")


def test_a_damaged_zip_is_answered_with_a_sentence(stranger):
    stranger.gets()
    copy = stranger.house.directory / "copy.zip"
    with zipfile.ZipFile(copy) as zipped:
        place = zipped.getinfo("events.jsonl").header_offset + 80
    content = bytearray(copy.read_bytes())
    content[place : place + 40] = b"\xff" * 40
    copy.write_bytes(content)

    code, said = stranger.asks(path=str(copy))

    assert code == 1
    assert said.startswith("不符：")


def test_a_terminal_without_chinese_gets_an_answer_as_well(stranger):
    stranger.gets()

    assert stranger.asks(isolated=(), PYTHONIOENCODING="ascii:strict")[0] == 0


# What is not copied


def test_what_is_not_signed_yet_is_not_in_a_copy(stranger, house):
    house.write(3)

    with pytest.raises(NotSealed):
        stranger.gets(Range(0, 28))


def test_a_range_that_reaches_into_what_was_removed_names_the_archive(stranger, house):
    archive = Archive.objects.create(
        start=0, end=10, root=b"r", name="trail-0-9.zip", size=1, sha256="", sm3="", at=house.now
    )
    Pruned.objects.create(
        start=0,
        end=10,
        archive=archive.pk,
        proposal="019aa000-0000-7000-8000-000000000000",
        at=house.now,
    )

    with pytest.raises(bundle.Removed, match=r"序号 0 至 9 .*见归档文件 trail-0-9\.zip"):
        stranger.gets(Range(9, 20))

    stranger.gets(Filters(action="session.expire"))
    assert stranger.manifest()["not_searched"] == [[0, 10]]


def test_a_line_that_is_not_there_is_named(stranger):
    gone = Leaf.objects.get(index=7).event_id
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])

    with pytest.raises(bundle.Missing, match="序号 7 的留痕不在数据库里"):
        stranger.gets()

    assert not list(stranger.house.directory.glob("*copy.zip*"))


def test_an_event_that_was_gone_before_it_was_sealed_is_its_tombstone(stranger, house):
    [gone] = house.write()
    tamper("DELETE FROM audit_event WHERE id = %s", [gone])
    house.notary().step(now=house.now)

    stranger.gets(Range(0, 26), views=["csv", "xlsx"])

    code, said = stranger.asks(keys=stranger.keys[:1])
    assert code == 0
    assert "其中 1 条在封存前已丢失" in said
    assert stranger.manifest()["lost"] == 1
    expected = ["25", "", tables.LOST, *[""] * 12, bytes(Leaf.objects.get(index=25).hash).hex()]
    assert table(stranger)[-1] == expected
    assert tables.LOST in texts(stranger)


def test_a_changed_line_makes_a_copy_that_does_not_verify(stranger, house):
    changed = Leaf.objects.get(index=7).event_id
    tamper(
        "UPDATE audit_event SET payload = replace(payload, 'success', 'failed') WHERE id = %s",
        [changed],
    )
    stranger.gets()

    with pytest.raises(checking.Unverified, match="算不出检查点里的根"):
        checking.verify(house.directory / "copy.zip", keys=stranger.keys)


def test_nothing_found_is_no_copy(stranger):
    with pytest.raises(bundle.NothingFound):
        stranger.gets(Filters(actor="nobody"))
    with pytest.raises(NothingChosen):
        Filters()


# A stretch of time


def test_a_stretch_of_time_is_the_leaves_around_it(house):
    began = house.now
    house.later(hours=1)
    house.seal(4)
    house.later(hours=1)
    house.seal(2)

    assert Range.between(None, None) == Range(0, 31)
    assert Range.between(began + timedelta(minutes=30), None) == Range(25, 31)
    assert Range.between(None, began + timedelta(minutes=30)) == Range(0, 29)
    assert Range.between(began + timedelta(minutes=90), house.now) == Range(29, 31)
    for nothing in ((house.now + timedelta(hours=1), None), (None, began - timedelta(hours=1))):
        with pytest.raises(NotSealed):
            Range.between(*nothing)


def test_what_ends_before_it_begins_is_refused(house):
    now = house.now
    for backwards in (now, now - timedelta(minutes=4)):
        with pytest.raises(TimeBackwards):
            Range.between(now, backwards)
        with pytest.raises(TimeBackwards):
            Filters(begin=now, end=backwards)
    with pytest.raises(Backwards, match="起始序号不能大于终止序号"):
        Range(9, 4)


def test_progress_is_told_of_what_is_looked_at_and_not_only_of_what_is_found(
    stranger, house, monkeypatch
):
    monkeypatch.setattr(streams, "PAGE", 5)
    say("换班", house=house)
    house.seal(30)
    say("检修", house=house)
    told = []

    stranger.gets(Filters(action="terminal.suspend"), progress=lambda *one: told.append(one))

    assert told == [(done, 32) for done in (0, 5, 10, 15, 20, 25, 30, 32)]


# What opens in a spreadsheet, and must not run there

FORMULAS = [
    *("=1+1", "+1", "-1", "@SUM(A1)", "＝1", "＋1", "－1", "＠A1", "|calc", "%0A=1"),
    *(" =1", "\u00a0=1", "\u3000=1", "\ufeff=1"),
    *("\u2003=1", "\u200b=1", "\u2060=1", "\u00ad=1", "\ufe621", "\ufe631", "\u22121", "％1"),
]


@pytest.mark.parametrize("text", [*FORMULAS, "\t=1", "\r=1", "\n=1"])
def test_a_text_like_a_formula_gets_an_apostrophe(text):
    assert tables.neutral(text) == f"'{text}"
    assert tables.neutral("平常 =1") == "平常 =1"
    assert tables.neutral("") == ""


@pytest.mark.parametrize("typed", FORMULAS)
def test_what_somebody_typed_is_no_formula(stranger, house, typed):
    say(typed, house=house)

    stranger.gets(Range(25, 26), views=["csv", "xlsx"])

    [_, row] = table(stranger)
    assert row[12] == f"'{typed}"
    assert f"'{typed}" in texts(stranger)
    assert b"<f>" not in sheet(stranger)


def test_a_plain_reason_stays_as_it_is(stranger, house):
    say('核查 "甲" \\ 乙, 丙', house=house)

    stranger.gets(Range(24, 26), views=["csv", "xlsx"])

    head, other, row = table(stranger)
    assert tuple(head) == tables.COLUMNS
    assert row[:5] == [
        "25",
        "2026-11-20 16:00:02.000000",
        "停用终端",
        "terminal.suspend",
        "success",
    ]
    assert row[12] == '核查 "甲" \\ 乙, 丙'
    assert other[0] == "24"
    assert stranger.file("views/events.csv").read_bytes().startswith(b"\xef\xbb\xbf")
    assert not any(cell[:1] in tuple(tables.RISKY) for cell in row if cell)


def test_the_table_is_the_same_whoever_makes_it(stranger, house):
    for typed in (
        *FORMULAS,
        '{"facts":{},"object":{"',
        '\\" ","severity":"',
        '","reason":"',
        "",
        "平常",
    ):
        if typed:
            say(typed, house=house)
    for microseconds in (1, 120, 123_450, 123_456, 999_999):
        say("平常", house=house, after=timedelta(microseconds=microseconds))
    house.seal(3)
    redact(2)
    end = Leaf.objects.count()

    stranger.gets(Range(0, end), views=["csv"])

    expected = [tables.cells(row) for row in streams.rows(Range(0, end), 0, end)]
    assert table(stranger)[1:] == expected


def test_no_fact_is_named_like_what_the_table_cuts_out():
    assert not {"reason", "facts", "ip"} & {one for kind in Action for one in kind.value.facts}


def test_a_workbook_goes_on_in_another_sheet(stranger, house, monkeypatch):
    monkeypatch.setattr(tables, "SHEET_ROWS", 11)

    stranger.gets(views=["xlsx"])

    with zipfile.ZipFile(stranger.file("views/events.xlsx")) as book:
        sheets = [name for name in book.namelist() if name.startswith("xl/worksheets/")]
    assert len(sheets) == 3


def redact(place):
    leaf = Leaf.objects.get(index=place)
    payload = f'{{"redacted":"{bytes(leaf.hash).hex()}","v":1}}'
    tamper("UPDATE audit_event SET payload = %s WHERE id = %s", [payload, leaf.event_id])


def hashed(line):
    return f'{{"redacted":"{merkle.leaf_hash(line[:-1]).hex()}","v":1}}\n'.encode()


def table(stranger):
    text = stranger.file("views/events.csv").read_bytes().decode("utf-8-sig")
    return list(csv.reader(io.StringIO(text, newline="")))


def sheet(stranger):
    with zipfile.ZipFile(stranger.file("views/events.xlsx")) as book:
        return book.read("xl/worksheets/sheet1.xml")


def texts(stranger):
    found = ET.fromstring(sheet(stranger)).iter()  # noqa: S314 (our own)
    return [
        one.text.replace("_x000D_", "\r") for one in found if one.tag.endswith("}t") and one.text
    ]
