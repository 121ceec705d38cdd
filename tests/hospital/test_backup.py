"""Backups: two people open one, nobody else does, and what is damaged is seen."""

import errno
import io
import os
import re
import stat
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from pyrage import x25519

from hospital.audit import holding, proposing, restores
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.backup import (
    checks,
    drilling,
    envelopes,
    fitting,
    identities,
    making,
    packing,
    receipts,
    restoring,
    standing,
)
from hospital.backup.identities import Groups
from hospital.backup.receipts import Receipt, Sealed
from hospital.compliance.looks import running
from hospital.compliance.seen import State
from tests import signing_in

ROOT = Path(__file__).resolve().parents[2]
NAME = "张三丰"


class Keys:
    """A directory with the keys of two people and a deputy."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.public = {
            who: identities.create(directory / f"{who}.key") for who in ("wang", "zhao", "deputy")
        }

    @property
    def groups(self) -> Groups:
        return Groups((self.public["wang"],), (self.public["zhao"], self.public["deputy"]))

    def of(self, who: str) -> x25519.Identity:
        return identities.load(self.directory / f"{who}.key")

    def words(self, *people: str) -> list[str]:
        return [word for one in people for word in ("--identity", f"{self.directory}/{one}.key")]


@pytest.fixture
def keys(tmp_path):
    return Keys(tmp_path)


@pytest.fixture
def made(keys, tmp_path, settings):
    """Return the path of the receipt of a backup, as small as one can be."""
    settings.BACKUP_DIR = tmp_path / "backups"
    settings.BACKUP_DIR.mkdir()
    return make(keys, settings.BACKUP_DIR, at=timezone.now())


def make(keys, directory, *, at, ident="20261122T010203-0a0b0c0d"):
    path = directory / f"{ident}.data.age"
    content = NAME.encode() + os.urandom(9 << 20)  # more than a piece, and more than a pipe holds
    manifest = {"v": 1, "id": ident, "kind": "data", "engine": "sqlite3"}
    first, second = map(identities.recipients, (keys.groups.first, keys.groups.second))
    with (
        path.open("wb") as file,
        envelopes.sealing(file, first, second) as stream,
    ):
        packer = packing.Packer(stream)
        packer.add("database", io.BytesIO(content))
        packer.end(manifest)
    found = receipts.digests(path)
    sealed = Sealed(path.name, found.size, *found.hex())
    receipt = Receipt(ident, at, {"data": sealed}, keys.groups, has_keys=True)
    return receipts.write(receipt, directory)


def refused(*command):
    with pytest.raises(CommandError) as caught:
        call_command(*command, stdout=io.StringIO())
    return str(caught.value)


def test_a_key_is_for_its_owner_alone_and_replaces_none(tmp_path):
    said, path = io.StringIO(), tmp_path / "own.key"

    call_command("createbackupkey", str(path), stdout=said)

    assert said.getvalue().startswith("age1")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    assert "已存在" in refused("createbackupkey", str(path))
    assert path.read_bytes() == content
    path.chmod(0o640)
    with pytest.raises(identities.Unusable, match="他人可读"):
        identities.load(path)


def test_a_key_is_made_on_a_machine_that_has_no_settings(tmp_path):
    made = subprocess.run(
        [sys.executable, ROOT / "manage.py", "createbackupkey", tmp_path / "own.key"],
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
    )

    assert made.returncode == 0, made.stderr
    assert made.stdout.strip() == identities.public(identities.load(tmp_path / "own.key"))


def test_with_a_key_of_each_group_it_is_whole(made, keys):
    said = io.StringIO()

    call_command("backup", "--verify", str(made), *keys.words("deputy", "wang"), stdout=said)

    assert "已核对文件和内容" in said.getvalue()


def test_without_keys_its_files_are_compared(made):
    said = io.StringIO()

    call_command("backup", "--verify", str(made), stdout=said)

    assert "完好" in said.getvalue()
    assert "须两把私钥" in said.getvalue()


@pytest.mark.parametrize(
    ("people", "said"),
    [
        (["wang"], "要两个人的私钥"),
        (["wang", "wang"], "要两个人的私钥"),
        (["zhao", "deputy"], "没有第一组的"),
        (["wang", "stranger"], "没有第二组的"),
    ],
)
def test_one_person_restores_nothing(made, keys, people, said):
    identities.create(keys.directory / "stranger.key")

    assert said in refused("restore", str(made), *keys.words(*people))


def test_one_key_of_two_opens_neither_envelope(made, keys):
    wang, zhao = keys.of("wang"), keys.of("zhao")
    path = made.parent / receipts.read(made).files["data"].name

    for pair in ((wang, wang), (zhao, zhao), (zhao, wang)):
        with (
            pytest.raises(envelopes.WrongIdentity),
            path.open("rb") as file,
            envelopes.opening(file, *pair) as stream,
        ):
            stream.read()


@pytest.mark.parametrize("harm", ["cut off", "a bit", "the header"])
def test_what_is_damaged_is_refused_before_anything_is_touched(made, keys, harm):
    path = made.parent / receipts.read(made).files["data"].name
    content = bytearray(path.read_bytes())
    if harm == "cut off":
        content = content[:-1]
    else:
        content[5 if harm == "the header" else len(content) // 2] ^= 1
    path.write_bytes(content)

    assert "残缺或被改动" in refused("restore", str(made), *keys.words("wang", "zhao"))
    assert "残缺或被改动" in refused("backup", "--verify", str(made))


@pytest.mark.parametrize("size", [10, 3 << 20])
def test_a_full_disk_is_told_as_one_however_much_was_written(keys, size):
    first, second = map(identities.recipients, (keys.groups.first, keys.groups.second))

    with (
        pytest.raises(OSError, match="No space left") as caught,
        Path("/dev/full").open("wb") as file,
        envelopes.sealing(file, first, second) as stream,
    ):
        stream.write(os.urandom(size))

    assert caught.value.errno == errno.ENOSPC


@pytest.mark.parametrize("at", [200, -70_000, -1])
def test_a_stream_that_ends_early_or_changed_does_not_count(made, keys, at):
    content = bytearray((made.parent / receipts.read(made).files["data"].name).read_bytes())
    cut, changed = bytes(content[:at]), content
    changed[at] ^= 1

    for wrong in (cut, bytes(changed)):
        with (
            pytest.raises((envelopes.Damaged, envelopes.WrongIdentity)),
            envelopes.opening(io.BytesIO(wrong), keys.of("wang"), keys.of("zhao")) as stream,
        ):
            packing.unpack(stream, {})


def test_what_somebody_else_sealed_to_our_keys_is_not_restored(made, keys):
    text = made.read_text()
    made.write_text(re.sub(r'"mac": "(.)', lambda found: f'"mac": "{_other(found[1])}', text))

    assert "不是本系统的回执" in refused("restore", str(made), *keys.words("wang", "zhao"))


def _other(digit):
    return "0" if digit != "0" else "1"


def test_nothing_in_it_can_be_read(made):
    for path in made.parent.iterdir():
        assert NAME.encode() not in path.read_bytes()


def test_backups_whose_disk_is_not_mounted_are_noticed(made, settings):
    settings.VAR_DIR = made.parent.parent
    assert making.is_beside_the_data()

    settings.VAR_DIR = Path("/proc")

    assert not making.is_beside_the_data()


def test_files_with_keys_end_sooner_and_the_last_of_all_with_its_receipt(keys, settings, db):
    settings.BACKUP_DIR = keys.directory / "backups"
    settings.BACKUP_DIR.mkdir()
    now = timezone.now()
    old = make(keys, settings.BACKUP_DIR, at=now - timedelta(days=30))
    young = make(keys, settings.BACKUP_DIR, at=now - timedelta(days=29), ident="20261123T0-1")

    assert making.expire(at=now) == 1

    assert not old.exists()
    assert young.exists()
    assert sorted(path.name for path in settings.BACKUP_DIR.iterdir()) == [
        "20261123T0-1.data.age",
        "20261123T0-1.receipt.json",
    ]
    assert Event.objects.filter(action="backup.expire").count() == 1


def test_a_key_in_both_groups_is_refused(keys, settings):
    settings.BACKUP_RECIPIENTS_FIRST = [keys.public["wang"], keys.public["zhao"]]
    settings.BACKUP_RECIPIENTS_SECOND = [keys.public["zhao"]]

    [found] = checks.backups_take_two()

    assert (found.id, "一个人就能恢复" in found.msg) == ("backup.E001", True)
    settings.BACKUP_RECIPIENTS_SECOND = ["age1nonsense"]
    assert checks.backups_take_two()[0].id == "backup.E001"
    settings.BACKUP_RECIPIENTS_SECOND = [keys.public["deputy"]]
    assert checks.backups_take_two() == []


def test_a_period_beyond_its_line_is_refused(settings):
    settings.BACKUP_KEEP_DAYS, settings.BACKUP_KEYS_KEEP_DAYS = 36, 6

    assert [one.id for one in checks.backups_end()] == ["backup.E002", "backup.E002"]


def test_nobody_to_seal_to_is_a_warning_at_level_3(settings):
    settings.DEPLOY_LEVEL = "3"

    assert [one.id for one in checks.backups_made()] == ["backup.W003"]
    assert "先设置 BACKUP_RECIPIENTS_FIRST" in refused("backup")


def test_how_old_the_last_one_is_comes_from_the_trail(db, keys, settings):
    now = timezone.now()
    assert not standing.standing(now).is_configured
    assert running.backup(now).state is State.DUTY
    settings.BACKUP_RECIPIENTS_FIRST = settings.BACKUP_RECIPIENTS_SECOND = ["age1…"]
    assert standing.standing(now).is_late
    assert running.backup(now).state is State.UNMET

    known(at=now - timedelta(hours=25))
    with transaction.atomic():
        record(Action.BACKUP_DRILL, by=SYSTEM, on=None, at=now - timedelta(days=1), seconds=9)

    stands = standing.standing(now)
    assert stands.age_seconds == pytest.approx(25 * 3600)
    assert not stands.is_late
    assert not stands.is_drill_due
    assert running.backup(now).state is State.MET
    assert standing.standing(now + timedelta(hours=2)).is_late


def known(*, at):
    with transaction.atomic():
        facts = {"backup": "20261122T010203-0a0b0c0d", "digest": "d" * 64}
        record(Action.BACKUP_MAKE, by=SYSTEM, on=None, at=at, size=1, rows=1, **facts)
    return facts


def test_one_asks_for_a_restore_and_another_allows_it(db, lin, mei, zhou):
    facts = known(at=timezone.now())
    page, client = reverse("admin:audit_proposal_restore"), Client()
    client.force_login(zhou)
    assert client.get(page).status_code == 403
    client.force_login(lin)
    signing_in.step_up(client, lin)
    assert facts["backup"] in client.get(page).content.decode()

    client.post(page, {"backup": facts["backup"], "note": "数据损坏"})

    [proposal] = proposing.waiting(at=timezone.now())
    assert (proposal.kind, proposal.facts) == (restores.TAG, facts)
    proposing.decide(proposal, approves=True, by=mei, at=timezone.now())
    # Neither the worker nor the keeper carries it out, nor are they told that they had to.
    assert proposing.undone(at=timezone.now()) == []
    shown = client.get(reverse("admin:audit_proposal_change", args=[proposal.pk]))
    assert "运行 restore 完成" in shown.content.decode()
    with pytest.raises(restores.NotApproved, match="还没有封存"):
        restores.approved(**facts, at=timezone.now())


def test_a_restore_is_of_a_backup_that_was_made(db, lin):
    facts = known(at=timezone.now()) | {"digest": "e" * 64}

    with pytest.raises(restores.NoSuchBackup):
        proposing.ask(restores.TAG, facts, reason="换一份", by=lin, at=timezone.now())


def test_rows_that_only_the_release_before_copied_are_missed_by_nobody():
    told = {"audit_event": 7, "audit_exportpart": 0, "privacy_rightscopy": 2}

    assert fitting.kept(told) == {"audit_event": 7}


def test_who_breaks_a_restore_off_leaves_nothing_of_it_there(settings, tmp_path):
    settings.VAR_DIR = tmp_path
    there = set()

    class Place:
        name = "hospital"
        make, drop = there.add, there.discard

    def told(said):
        there.add("hospital_new")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        restoring.loaded(None, {"data": Place()}, {}, "_new", note={}, told=told)

    assert there == set()


def test_two_drills_at_once_would_drop_what_the_other_is_loading(db, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    other = holding.hold(tmp_path, of="drill")
    assert other.take()
    try:
        with pytest.raises(restoring.AtWork, match="演练"):
            drilling.drill(None, told=print)
    finally:
        other.release()
