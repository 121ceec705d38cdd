"""Old events are archived and then, if two people want it, removed. All proofs go on."""

import json
import os
import signal
import subprocess
import sys
import zipfile
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone

from hospital.audit import guards, holding, proposing, trail
from hospital.audit.actions import Action
from hospital.audit.keeping import archiving, pruning, redacting
from hospital.audit.log import Checkpoint, Leaf
from hospital.audit.merkle import BadProof, range_proof, verify_consistency, verify_range
from hospital.audit.models import Archive, Event, Proposal, Pruned
from hospital.audit.recording import SYSTEM, record
from hospital.audit.tree import Tree
from tests.hospital.aged import (
    HERE,
    NOW,
    YEARS,
    aged,
    approve,
    archive,
    ask_to_prune,
    execute,
    faults,
    forget_archives,
    kept,
    postgresql_only,
    prune,
    redact,
    stored,
)
from tests.hospital.notarised import House, address

ROOT = Path(__file__).resolve().parents[2]

# A bundle is read over a connection of its own.
pytestmark = pytest.mark.django_db(transaction=connection.vendor == "postgresql")


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    return aged(tmp_path, settings)


# Archiving


def test_old_events_are_archived_and_recent_ones_are_not(house, settings):
    [row] = archive(settings)

    assert (row.start, row.end) == (0, 10)
    assert (settings.ARCHIVE_DIR / row.name).stat().st_size == row.size
    event = Event.objects.on(row).get()
    facts = json.loads(event.payload)["facts"]
    assert event.action == "audit.archive"
    assert facts["sha256"] == row.sha256
    assert (facts["start"], facts["end"]) == (0, 10)


def test_an_archive_verifies_alone(house, settings, tmp_path):
    [row] = archive(settings)
    with zipfile.ZipFile(settings.ARCHIVE_DIR / row.name) as zipped:
        zipped.extractall(tmp_path / "alone")

    answer = verified_alone(tmp_path / "alone", key=house.signer.verifier)

    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "序号 0 至 9" in answer.stdout


def verified_alone(directory, *, key):
    return subprocess.run(
        [sys.executable, "-I", "-S", "verify.py", "--key", str(key)],
        cwd=directory,
        capture_output=True,
        text=True,
    )


def test_large_ones_are_cut(house, settings, monkeypatch):
    monkeypatch.setattr(archiving, "MOST", 4)

    rows = archive(settings)

    assert [(row.start, row.end) for row in rows] == [(0, 4), (4, 8), (8, 10)]


def test_what_is_archived_is_not_archived_again(house, settings):
    archive(settings)

    assert archive(settings) == []
    assert [row.start for row in archive(settings, until=NOW)] == [10]


def test_without_the_logs_public_key_nothing_is_an_archive(house, settings):
    settings.TRAIL_VERIFIERS = []

    with pytest.raises(trail.NotConfigured, match="公钥"):
        archive(settings)

    assert not Archive.objects.exists()
    assert not list(settings.ARCHIVE_DIR.glob("*.zip"))


class Killed(BaseException):
    """What nothing catches."""


@pytest.mark.parametrize("step", ["bundle.write", "checking.verify", "checking.digests", "record"])
def test_killed_between_two_steps_the_next_run_finishes(house, settings, monkeypatch, step):
    *module, name = step.split(".")
    place = getattr(archiving, module[0]) if module else archiving
    does = getattr(place, name)

    def killed(*args, **kwargs):
        does(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(place, name, killed)
        with pytest.raises(Killed):
            archive(settings)
    assert not Archive.objects.exists()

    [row] = archive(settings)

    assert (row.start, row.end) == (0, 10)
    archiving.verify(row)
    assert [path.name for path in settings.ARCHIVE_DIR.iterdir()] == [row.name]


def test_a_file_that_was_finished_is_taken_over(house, settings):
    [row] = archive(settings)
    path = settings.ARCHIVE_DIR / row.name
    before = path.stat().st_mtime_ns
    forget_archives()

    [row] = archive(settings)

    assert path.stat().st_mtime_ns == before
    assert row.size == path.stat().st_size


def test_one_that_does_not_verify_is_kept_under_another_name_and_told(house, settings):
    [row] = archive(settings)
    path = settings.ARCHIVE_DIR / row.name
    forget_archives()

    for count in (1, 2):
        path.write_bytes(content := b"not an archive any more")
        with pytest.raises(archiving.Damaged, match="已改名为"):
            archive(settings)
        aside = sorted(settings.ARCHIVE_DIR.glob("*.rejected"))
        assert [one.read_bytes() for one in aside] == [content] * count
        assert not Archive.objects.exists()

    [row] = archive(settings)
    archiving.verify(row)


def test_a_good_file_of_which_the_database_knows_nothing_is_not_lost(house, settings):
    [row] = archive(settings)
    path = settings.ARCHIVE_DIR / row.name
    content = path.read_bytes()
    forget_archives()
    guards.remove(connection)
    execute("DELETE FROM audit_checkpoint WHERE size = (SELECT max(size) FROM audit_checkpoint)")
    guards.install(connection)

    with pytest.raises(archiving.Damaged, match="唯一的副本"):
        archive(settings)

    [aside] = settings.ARCHIVE_DIR.iterdir()
    assert aside.read_bytes() == content


def test_without_a_key_no_file_is_looked_at(house, settings):
    [row] = archive(settings)
    path = settings.ARCHIVE_DIR / row.name
    forget_archives()
    settings.TRAIL_VERIFIERS = []

    with pytest.raises(trail.NotConfigured, match="TRAIL_VERIFIERS"):
        archive(settings)

    assert [path] == list(settings.ARCHIVE_DIR.iterdir())


def test_without_a_key_what_was_approved_waits(house, settings, zhou, mei):
    archive(settings)
    proposal = approve(house, ask_to_prune(zhou), mei)
    settings.TRAIL_VERIFIERS = []

    with pytest.raises(trail.NotConfigured):
        proposing.carry_out(proposal, at=NOW)

    assert Proposal.objects.get().state == "approved"


def test_a_file_in_the_way_of_a_new_copy_is_kept(house, settings):
    [row] = archive(settings)
    name = row.name.replace(".zip", ".2.zip")
    (settings.ARCHIVE_DIR / name).write_bytes(b"somebody's")

    copy = archiving.again(
        row, at=NOW, directory=settings.ARCHIVE_DIR, told=lambda _done, _all: None
    )

    assert copy.name == name
    assert (settings.ARCHIVE_DIR / f"{name}.rejected").read_bytes() == b"somebody's"


@pytest.mark.parametrize("how", ["gone", "changed", "another"])
def test_a_damaged_archive_is_noticed(house, settings, how, monkeypatch):
    monkeypatch.setattr(archiving, "MOST", 5)
    row, other = archive(settings)
    path = settings.ARCHIVE_DIR / row.name
    if how == "gone":
        path.unlink()
    elif how == "changed":
        path.write_bytes(path.read_bytes() + b"\0")
    else:
        guards.remove(connection)
        path.write_bytes((settings.ARCHIVE_DIR / other.name).read_bytes())
        execute("UPDATE audit_archive SET sha256 = %s WHERE id = %s", [other.sha256, row.pk])
        guards.install(connection)
        row.refresh_from_db()

    with pytest.raises(archiving.Damaged):
        archiving.verify(row)


def test_the_command_says_what_it_archived(house, settings, capsys):
    call_command("archiveaudit")
    call_command("archiveaudit", until=timezone.localdate(NOW) + timedelta(days=1))

    said = capsys.readouterr().out
    assert "序号 0 至 9" in said
    assert "序号 10 至 12" in said


def test_two_archivers_do_not_work_at_a_time(house, settings):
    hold = holding.hold(settings.VAR_DIR, of="archive")
    assert hold.take()
    try:
        with pytest.raises(CommandError, match="正在工作"):
            call_command("archiveaudit")
    finally:
        hold.release()


# Pruning


def test_what_two_people_decided_goes_and_all_proofs_hold(house, settings, zhou, mei):
    house.seal(0)
    [row] = archive(settings)
    house.later(minutes=10)
    house.notary().step(now=house.now)
    before = Tree.load()
    sizes = list(Checkpoint.objects.order_by("size").values_list("size", flat=True))

    proposal = prune(house, zhou, mei)

    assert proposal.state == "done"
    assert stored(range(13)) == [10, 11, 12]
    pruned = Pruned.objects.get()
    assert (pruned.start, pruned.end, pruned.archive) == (0, 10, row.pk)
    facts = json.loads(Event.objects.on(pruned).get().payload)["facts"]
    assert facts["sha256"] == [row.sha256]
    assert (facts["asked_by"], facts["approved_by"]) == (str(zhou.pk), str(mei.pk))

    house.now = timezone.now()
    house.notary().step(now=house.now)
    after = Tree.load()
    assert after.root_at(before.size) == before.frontier.root()
    for old in sizes:
        verify_consistency(
            old,
            after.size,
            old_root=bytes(Checkpoint.objects.get(size=old).root),
            new_root=after.frontier.root(),
            proof=after.consistency(old, after.size),
        )
    leaves = [bytes(one.hash) for one in Leaf.objects.order_by("index")]
    proof = [after.subtree(one) for one in range_proof(2, 7, size=after.size)]
    verify_range(leaves[2:7], first=2, size=after.size, proof=proof, root=after.frontier.root())
    with pytest.raises(BadProof):
        verify_range(leaves[3:8], first=2, size=after.size, proof=proof, root=after.frontier.root())
    archiving.verify(row)
    assert guards.drift(connection) == []


def test_the_verifier_finds_nothing_wrong(house, settings, zhou, mei):
    archive(settings)
    prune(house, zhou, mei)
    house.now = timezone.now()
    house.notary().step(now=house.now)

    assert faults(house) == []


def test_the_next_range_follows(house, settings, zhou, mei, monkeypatch):
    monkeypatch.setattr(archiving, "MOST", 4)
    archive(settings)

    prune(house, zhou, mei, 0, 4)
    prune(house, zhou, mei, 4, 10)

    assert stored(range(10)) == []
    assert pruning.prunable(at=NOW) is None


def test_what_may_be_pruned_is_named(house, settings):
    assert pruning.prunable(at=NOW) is None

    [row] = archive(settings)

    assert pruning.prunable(at=NOW) == (0, 10, [row])


def test_what_tells_of_a_removal_stays(tmp_path, settings, zhou, mei):
    house = kept(House(tmp_path, now=NOW - 4 * YEARS), settings)
    house.seal(4)
    with transaction.atomic():
        record(Action.AUDIT_PRUNE, by=SYSTEM, on=None, at=house.now, start=0, end=1)
    house.seal(1)
    with transaction.atomic():
        record(Action.PROPOSAL_DECIDE, by=SYSTEM, on=None, at=house.now)
    house.seal(3)
    archive(settings)

    proposal = prune(house, zhou, mei)

    assert proposal.state == "done"
    assert stored(range(10)) == [4, 6]
    assert '"count":2' in Event.objects.on(Pruned.objects.get()).get().payload


def test_only_what_is_archived_may_be_asked_for(house, settings, zhou):
    with pytest.raises(pruning.NotArchived):
        ask_to_prune(zhou)


@pytest.mark.parametrize(
    ("start", "end", "why"),
    [
        (0, 9, pruning.NotArchived),
        (1, 10, pruning.NotNext),
        (0, 13, pruning.TooYoung),
    ],
)
def test_only_whole_archives_in_their_order(house, settings, zhou, start, end, why):  # noqa: PLR0917
    archive(settings, until=NOW)

    with pytest.raises(why):
        ask_to_prune(zhou, start, end)


def test_what_is_younger_than_the_hospitals_rule_stays(house, settings, zhou):
    settings.TRAIL_KEEP_MONTHS = 60
    archive(settings)

    with pytest.raises(pruning.TooYoung):
        ask_to_prune(zhou)


def test_under_a_legal_hold_nothing_is_asked_or_done(house, settings, zhou, mei):
    archive(settings)
    proposal = approve(house, ask_to_prune(zhou), mei)
    settings.TRAIL_HOLD = True

    proposing.carry_out(proposal, at=NOW)

    assert proposal.state == "failed"
    assert len(stored(range(10))) == 10
    with pytest.raises(pruning.Held):
        ask_to_prune(zhou)


def test_with_a_damaged_archive_nothing_goes(house, settings, zhou, mei):
    [row] = archive(settings)
    proposal = approve(house, ask_to_prune(zhou), mei)
    (settings.ARCHIVE_DIR / row.name).write_bytes(b"")

    proposing.carry_out(proposal, at=NOW)

    assert proposal.state == "failed"
    assert '"code":"archive_damaged"' in Event.objects.on(proposal).latest("id").payload
    assert len(stored(range(10))) == 10


@pytest.mark.parametrize("step", ["Pruned.objects.create", "_remove", "record"])
def test_killed_between_two_steps_all_or_nothing_is_done(  # noqa: PLR0917
    house, settings, zhou, mei, monkeypatch, step
):
    archive(settings)
    proposal = approve(house, ask_to_prune(zhou), mei)
    *path, name = step.split(".")
    place = pruning
    for part in path:
        place = getattr(place, part)
    does = getattr(place, name)

    def killed(*args, **kwargs):
        does(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(place, name, killed)
        with pytest.raises(Killed):
            proposing.carry_out(proposal, at=NOW)
    assert len(stored(range(10))) == 10
    assert not Pruned.objects.exists()

    proposing.carry_out(Proposal.objects.get(), at=NOW)

    assert stored(range(10)) == []


def test_the_command_does_what_was_approved(house, settings, zhou, mei, capsys):
    archive(settings)
    call_command("pruneaudit")
    assert "序号 0 至 10" in capsys.readouterr().out
    approve(house, ask_to_prune(zhou), mei)

    call_command("pruneaudit")

    assert "已执行" in capsys.readouterr().out
    assert stored(range(10)) == []


def test_the_command_lists_what_it_would_do_and_waits_for_the_seal(
    house, settings, zhou, mei, capsys
):
    archive(settings)
    proposal = ask_to_prune(zhou)
    proposing.decide(proposal, approves=True, by=mei, at=NOW)

    call_command("pruneaudit", dry_run=True)
    said = capsys.readouterr().out
    assert f"end 10，start 0；申请人 {zhou.pk}，批准人 {mei.pk}" in said
    with pytest.raises(CommandError, match="尚未封存"):
        call_command("pruneaudit")

    assert len(stored(range(10))) == 10


def test_a_redacted_line_is_archived_and_pruned_like_any_other(house, settings, zhou, mei):
    redact(house, zhou, mei, 3)
    [row] = archive(settings)

    archiving.verify(row)
    assert prune(house, zhou, mei).state == "done"

    assert stored(range(10)) == []


def test_archives_that_hold_it_are_named_and_may_be_made_anew(  # noqa: PLR0917
    house, settings, zhou, mei, monkeypatch, capsys
):
    monkeypatch.setattr(archiving, "MOST", 4)
    first, second, _ = archive(settings)
    redact(house, zhou, mei, 5)
    assert redacting.holding(5) == [second]

    call_command("archiveaudit", again=second.pk)

    old, new = redacting.holding(5)
    assert (old, new.start, new.end) == (second, 4, 8)
    assert pruning.archives_of(0, 8) == [first, new]
    (settings.ARCHIVE_DIR / old.name).unlink()
    assert prune(house, zhou, mei, 0, 8).state == "done"
    with pytest.raises(CommandError, match="已经清理"):
        call_command("archiveaudit", again=second.pk)


# Real processes, killed for real


def only_here(test):
    for mark in postgresql_only:
        test = mark(test)
    return test


def environment(settings, tmp_path):
    return {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "DATABASE_URL": address(),
        "ARCHIVE_DIR": str(settings.ARCHIVE_DIR),
        "TRAIL_ORIGIN": settings.TRAIL_ORIGIN,
        "TRAIL_VERIFIERS": ",".join(settings.TRAIL_VERIFIERS),
    }


def run(code, environ, *, seconds=None):
    """Run a command in a process of its own; kill it after so long. Return its exit code."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline().strip() == "ready"
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode


COMMAND = """
import sys, django
django.setup()
from django.core.management import call_command
from hospital.audit.keeping import archiving
archiving.MOST = {most}
print("ready", file=sys.stderr, flush=True)
call_command("{name}")
"""


@only_here
def test_an_archiver_killed_again_and_again_leaves_a_whole_archive(house, settings, tmp_path):
    environ = environment(settings, tmp_path)
    code, killed, seconds = COMMAND.format(most=2, name="archiveaudit"), 0, 0.1

    while run(code, environ, seconds=seconds):
        killed += 1
        seconds *= 1.4
        assert seconds < 60

    rows = list(Archive.objects.order_by("start"))
    assert killed > 2
    assert [(row.start, row.end) for row in rows] == [(at, at + 2) for at in range(0, 10, 2)]
    for row in rows:
        archiving.verify(row)
        assert Event.objects.on(row).count() == 1
    assert sorted(path.name for path in settings.ARCHIVE_DIR.glob("*.zip")) == [
        row.name for row in rows
    ]


@only_here
def test_a_pruner_killed_again_and_again_prunes_all_or_nothing(
    house, settings, zhou, mei, tmp_path
):
    archive(settings)
    approve(house, ask_to_prune(zhou), mei)
    environ = environment(settings, tmp_path)
    code, killed, seconds = COMMAND.format(most=2, name="pruneaudit"), 0, 0.05

    while run(code, environ, seconds=seconds):
        killed += 1
        seconds *= 1.4
        there = stored(range(10))
        assert there in ([], list(range(10)))
        assert Pruned.objects.exists() == (not there)
        assert seconds < 60

    assert killed > 2
    assert stored(range(10)) == []
    assert Event.objects.filter(action="audit.prune").count() == 1
