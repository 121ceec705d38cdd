"""A trail with events of years ago, and the two people it takes, for tests of keeping it."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from hospital.audit import guards, proposing, tasks
from hospital.audit.keeping import archiving
from hospital.audit.log import Leaf
from hospital.audit.models import Event
from tests.hospital.notarised import House

NOW = timezone.now()
YEARS = timedelta(days=365)
# Each test once, on the database there is.
HERE = pytest.param(
    connection.vendor, marks=[pytest.mark.postgresql] if connection.vendor == "postgresql" else []
)
postgresql_only = [
    pytest.mark.postgresql,
    pytest.mark.skipif(connection.vendor != "postgresql", reason="PostgreSQL only"),
]


def aged(tmp_path, settings):
    """Return a house with ten events of four years ago, in two checkpoints, and three of today."""
    house = kept(House(tmp_path, now=NOW - 4 * YEARS), settings)
    house.seal(6)
    house.later(hours=1)
    house.seal(4)
    house.now = NOW - timedelta(minutes=10)
    house.seal(3)
    return house


def kept(house, settings):
    """Configure what keeping a house's trail needs."""
    settings.ARCHIVE_DIR = house.directory / "archive"
    settings.VAR_DIR = house.directory / "var"
    settings.TRAIL_ORIGIN = house.origin
    settings.TRAIL_VERIFIERS = [str(one) for one in house.verifiers]
    return house


def carried_out(house, proposal, by):
    """Have it approved and signed, and the worker do it."""
    proposing.decide(proposal, approves=True, by=by, at=timezone.now())
    house.now = timezone.now()
    house.notary().step(now=house.now)
    tasks.attend_to_proposals.apply(throw=True)
    proposal.refresh_from_db()
    return proposal


def archive(settings, *, until=NOW - timedelta(days=200)):
    return list(archiving.archive(until=until, at=NOW, directory=settings.ARCHIVE_DIR))


def ask_to_prune(by, start=0, end=10):
    return proposing.ask(
        "audit.prune", {"start": start, "end": end}, reason="超过保存期限", by=by, at=NOW
    )


def ask_to_redact(by, index):
    hash_ = bytes(Leaf.objects.get(index=index).hash).hex()
    return proposing.ask(
        "audit.redact", {"index": index, "hash": hash_}, reason="误写入姓名", by=by, at=NOW
    )


def approve(house, proposal, by):
    """Have it approved, and the notary sign that it was."""
    proposing.decide(proposal, approves=True, by=by, at=NOW)
    return sign(house, proposal)


def sign(house, proposal):
    house.now = max(house.now, NOW)
    house.notary().step(now=house.now)
    return proposal


def prune(house, zhou, mei, start=0, end=10):
    return proposing.carry_out(approve(house, ask_to_prune(zhou, start, end), mei), at=NOW)


def redact(house, zhou, mei, index):
    return proposing.carry_out(approve(house, ask_to_redact(zhou, index), mei), at=NOW)


def execute(statement, parameters=()):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement, parameters)
        return cursor.rowcount


def refused(statement, parameters=()):
    with pytest.raises(IntegrityError, match="append-only"):
        execute(statement, parameters)
    return True


def stored(indexes):
    """Return which of these leaves still have their event."""
    leaves = Leaf.objects.filter(index__in=indexes)
    there = set(Event.objects.values_list("pk", flat=True))
    return sorted(leaf.index for leaf in leaves if leaf.event_id in there)


def faults(house):
    """Return what the verifier finds; the staff of these tests came without an event."""
    return [one for one in house.verify().findings if one.kind != "unrecorded"]


def forget_archives():
    """Take the rows away and leave the files: what a process killed in between leaves behind."""
    guards.remove(connection)
    execute("DELETE FROM audit_archive")
    guards.install(connection)
