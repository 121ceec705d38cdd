import os
import threading
from contextlib import nullcontext
from uuid import UUID, uuid4

import pytest
from django.db import connection, connections, transaction
from django.utils import timezone

from hospital.crypto import data_keys, epochs, index_keys, keyring
from hospital.crypto.expiring import Expiring
from hospital.crypto.keyring import (
    SYSTEM_SUBJECT,
    KeyUnavailable,
    SubjectForgotten,
    UnknownKey,
    WrongKey,
)
from hospital.crypto.models import DataKey, IndexKey, KeyEpoch
from hospital.crypto.normalising import OPAQUE
from hospital.crypto.providers import KeyRefused
from hospital.crypto.providers.file import FileProvider
from hospital.crypto.suites import Suite
from hospital.errors import Refusal, Unavailable

SUBJECT = UUID("01890000-0000-7000-8000-000000000001")


class RolledBack(Exception):
    pass


def index_key(label):
    return index_keys.index_keys(label, normaliser=OPAQUE.name).active


@pytest.fixture(autouse=True)
def keyfile(settings, tmp_path):
    settings.KEY_FILE = tmp_path / "root.key"
    settings.KEY_PROVIDER = "file"
    settings.CRYPTO_SUITE = "aes-256-gcm"
    settings.KEY_CACHE_SECONDS = 60
    keyring.clear()
    yield FileProvider.create(settings.KEY_FILE)
    keyring.clear()


# The file provider.


def test_a_root_key_is_made_once_and_for_its_owner_only(keyfile):
    assert keyfile.path.stat().st_mode & 0o777 == 0o600
    assert keyfile.path.stat().st_size == 32
    with pytest.raises(FileExistsError):
        FileProvider.create(keyfile.path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644, 0o610])
def test_a_root_key_others_may_read_is_refused(keyfile, mode):
    keyfile.path.chmod(mode)

    with pytest.raises(KeyUnavailable) as caught:
        keyfile.wrap(bytes(32), context=b"")
    assert "chmod 600" in caught.value.reason


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_root_key_of_another_size_is_refused(keyfile, size):
    keyfile.path.write_bytes(bytes(size))

    with pytest.raises(KeyUnavailable):
        keyfile.wrap(bytes(32), context=b"")


def test_a_missing_root_key_is_unavailable(keyfile):
    keyfile.path.unlink()

    with pytest.raises(Unavailable) as caught:
        keyfile.unwrap(bytes(60), context=b"")
    assert "root.key" not in str(caught.value)


def test_what_the_file_wrapped_opens_in_its_context_only(keyfile, tmp_path):
    wrapped = keyfile.wrap(b"k" * 32, context=b"epoch 1")

    assert keyfile.unwrap(wrapped, context=b"epoch 1") == b"k" * 32
    for provider, given, context in [
        (keyfile, wrapped, b"epoch 2"),
        (keyfile, wrapped[:-1], b"epoch 1"),
        (keyfile, b"", b"epoch 1"),
        (FileProvider.create(tmp_path / "other.key"), wrapped, b"epoch 1"),
    ]:
        with pytest.raises(KeyRefused):
            provider.unwrap(given, context=context)


# Data keys.


@pytest.mark.django_db
@pytest.mark.parametrize("suite", Suite)
def test_a_subject_gets_one_key_of_the_configured_suite(settings, suite):
    settings.CRYPTO_SUITE = suite.name.lower().replace("_", "-")

    secret = keyring.data_key(SUBJECT)

    keyring.clear()
    assert keyring.data_key(SUBJECT) == secret
    assert keyring.data_key_of(SUBJECT, 1) == secret
    assert (secret.key.suite, secret.generation) == (suite, 1)
    assert DataKey.objects.count() == KeyEpoch.objects.count() == 1


@pytest.mark.django_db
def test_a_change_of_suite_concerns_new_subjects(settings):
    old = keyring.data_key(SUBJECT)
    settings.CRYPTO_SUITE = "sm4-gcm"

    new = keyring.data_key(uuid4())

    assert new.key.suite is Suite.SM4_GCM
    keyring.clear()
    assert keyring.data_key(SUBJECT) == old


@pytest.mark.django_db
def test_keys_are_stored_wrapped_only(monkeypatch):
    made = []
    monkeypatch.setattr(
        "hospital.crypto.data_keys.os.urandom", lambda size: made.append(b"k" * size) or made[-1]
    )
    keyring.data_key(SUBJECT)

    row = DataKey.objects.get()
    assert made[0] not in bytes(row.wrapped) + bytes(row.check_value)
    assert len(row.wrapped) == 12 + 32 + 16
    assert len(row.check_value) == 8


@pytest.mark.django_db
def test_a_wrapped_key_moved_to_another_subject_is_wrong():
    keyring.data_key(SUBJECT)
    other = uuid4()
    keyring.data_key(other)
    row = DataKey.objects.get(subject=SUBJECT)
    DataKey.objects.filter(subject=other).update(wrapped=row.wrapped, check_value=row.check_value)
    keyring.clear()

    with pytest.raises(WrongKey):
        keyring.data_key(other)


@pytest.mark.django_db
def test_a_check_value_that_does_not_fit_is_a_wrong_key():
    keyring.data_key(SUBJECT)
    keyring.vouch(SUBJECT, 1)
    DataKey.objects.update(check_value=bytes(8))

    with pytest.raises(WrongKey):
        keyring.vouch(SUBJECT, 1)


@pytest.mark.django_db
def test_another_root_key_is_wrong_and_makes_no_new_epoch(settings, tmp_path):
    keyring.data_key(SUBJECT)
    settings.KEY_FILE = tmp_path / "other.key"
    FileProvider.create(settings.KEY_FILE)
    keyring.clear()

    with pytest.raises(WrongKey):
        keyring.data_key(SUBJECT)
    with pytest.raises(WrongKey):
        keyring.data_key(uuid4())
    assert KeyEpoch.objects.count() == 1


@pytest.mark.django_db
def test_without_the_provider_nothing_is_made(keyfile):
    keyfile.path.unlink()

    with pytest.raises(KeyUnavailable):
        keyring.data_key(SUBJECT)
    assert not DataKey.objects.exists()
    assert not KeyEpoch.objects.exists()


@pytest.mark.django_db
def test_the_provider_is_met_once_per_epoch(keyfile):
    keyring.data_key(SUBJECT)
    keyfile.path.unlink()

    keyring.data_key(uuid4())

    keyring.clear()
    with pytest.raises(KeyUnavailable):
        keyring.data_key(SUBJECT)


@pytest.mark.django_db
def test_a_generation_nobody_made_is_unknown():
    keyring.data_key(SUBJECT)

    with pytest.raises(UnknownKey):
        keyring.data_key_of(SUBJECT, 2)
    with pytest.raises(UnknownKey):
        keyring.data_key_of(uuid4(), 1)


@pytest.mark.django_db
def test_the_one_who_comes_second_takes_the_key_of_the_first():
    first = keyring.data_key(SUBJECT)

    # What a second process does that had looked before the first one wrote.
    data_keys._make([SUBJECT])
    epochs._make_first()
    index_keys._make_first("x", OPAQUE.name)
    index = index_key("x")
    index_keys._make_first("x", OPAQUE.name)

    keyring.clear()
    assert keyring.data_key(SUBJECT) == first
    assert index_key("x") == index
    assert DataKey.objects.count() == KeyEpoch.objects.count() == IndexKey.objects.count() == 1


@pytest.mark.django_db
def test_many_at_once_get_their_keys_in_three_queries(django_assert_num_queries):
    known, forgotten, *fresh = (uuid4() for _ in range(7))
    before = keyring.data_key(known)
    keyring.data_key(forgotten)
    keyring.destroy(forgotten)
    keyring.data_key(uuid4())
    data_keys.forget()

    with django_assert_num_queries(4):  # fetch, the active epoch, insert, fetch again
        keyring.provide([known, forgotten, *fresh])

    with django_assert_num_queries(0):
        assert keyring.data_key(known) == before
        assert len({keyring.data_key(one).check for one in fresh}) == 5
    with pytest.raises(SubjectForgotten):
        keyring.data_key(forgotten)


@pytest.mark.django_db
def test_new_values_take_the_newest_generation_and_old_ones_their_own():
    first = keyring.data_key(SUBJECT)
    epoch = epochs.active()
    data_keys.new_key(SUBJECT, 2, suite=Suite.SM4_GCM, epoch=epoch).save()
    keyring.clear()

    assert keyring.data_key(SUBJECT).generation == 2
    assert keyring.data_key_of(SUBJECT, 1) == first
    data_keys.forget()
    keyring.prefetch([SUBJECT])
    assert keyring.data_key(SUBJECT).generation == 2


# The provider's absence.


class Root:
    """A provider that can be sent away."""

    name = "file"

    def __init__(self, real):
        self.real = real
        self.away = False
        self.asked = 0

    def wrap(self, key, *, context):
        return self.real.wrap(key, context=context)

    def unwrap(self, wrapped, *, context):
        self.asked += 1
        if self.away:
            raise KeyUnavailable("away")
        return self.real.unwrap(wrapped, context=context)


@pytest.fixture
def root(keyfile, monkeypatch):
    root = Root(keyfile)
    monkeypatch.setattr(epochs, "provider", {root.name: root}.__getitem__)
    return root


@pytest.fixture
def clock(monkeypatch):
    now = [1000.0]
    monkeypatch.setattr(epochs, "monotonic", lambda: now[0])
    return now


class AtOnce:
    """A thread that does not run beside anything."""

    def __init__(self, *, target, args, daemon):
        self.start = lambda: target(*args)


@pytest.fixture
def no_threads(monkeypatch):
    monkeypatch.setattr(epochs, "Thread", AtOnce)


@pytest.mark.django_db
def test_a_process_that_cannot_open_its_epochs_does_not_start(root):
    keyring.data_key(SUBJECT)
    keyring.clear()
    root.away = True

    with pytest.raises(KeyUnavailable):
        keyring.open_all()


@pytest.mark.django_db
def test_what_was_opened_serves_until_its_time_is_up_and_then_nothing_does(
    root, clock, settings, no_threads
):
    settings.ROOT_KEY_CACHE_SECONDS = 3600
    keyring.data_key(SUBJECT)
    root.away = True

    clock[0] += 3599
    keyring.data_key(uuid4())
    data_keys.forget()
    keyring.data_key(SUBJECT)

    clock[0] += 1
    data_keys.forget()
    with pytest.raises(KeyUnavailable):
        keyring.data_key(SUBJECT)


@pytest.mark.django_db
def test_a_provider_is_asked_again_at_half_time_and_no_request_waits(
    root, clock, settings, no_threads
):
    settings.ROOT_KEY_CACHE_SECONDS = 3600
    keyring.data_key(SUBJECT)
    assert root.asked == 1

    for seconds, asked in [(1799, 1), (1, 2), (1, 2), (1798, 2), (2, 3), (1799, 3), (1, 4)]:
        clock[0] += seconds
        keyring.data_key(uuid4())
        assert root.asked == asked


@pytest.mark.django_db
def test_a_provider_that_is_away_is_not_asked_with_every_request(root, clock, settings, no_threads):
    settings.ROOT_KEY_CACHE_SECONDS = 3600
    keyring.data_key(SUBJECT)
    root.away = True

    clock[0] += 1800
    for _ in range(5):
        keyring.data_key(uuid4())
    assert root.asked == 2

    clock[0] += 30
    keyring.data_key(uuid4())
    assert root.asked == 3


# Forgetting.


@pytest.mark.django_db
def test_a_destroyed_key_is_gone_and_never_made_again():
    keyring.data_key(SUBJECT)
    at = timezone.now()

    assert keyring.destroy(SUBJECT, at=at) == 1

    for attempt in (keyring.data_key, lambda subject: keyring.data_key_of(subject, 1)):
        with pytest.raises(SubjectForgotten) as caught:
            attempt(SUBJECT)
        assert isinstance(caught.value, Refusal)
        assert str(caught.value) == "该患者信息已依法删除"
    row = DataKey.objects.get()
    assert row.wrapped is None
    assert row.destroyed_at == at
    assert keyring.destroy(SUBJECT) == 0


@pytest.mark.django_db
def test_the_systems_own_key_is_not_destroyed():
    keyring.data_key(SYSTEM_SUBJECT)

    with pytest.raises(ValueError, match="rotated"):
        keyring.destroy(SYSTEM_SUBJECT)


@pytest.mark.django_db(transaction=True)
def test_a_key_destroyed_elsewhere_stops_working_when_its_time_is_up(settings):
    settings.KEY_CACHE_SECONDS = 0.05
    keyring.data_key(SUBJECT)
    DataKey.objects.update(wrapped=None, destroyed_at=timezone.now())

    threading.Event().wait(0.06)

    with pytest.raises(SubjectForgotten):
        keyring.data_key(SUBJECT)


@pytest.mark.django_db(transaction=True)
def test_a_destruction_that_rolls_back_destroys_nothing():
    before = keyring.data_key(SUBJECT)

    with pytest.raises(RolledBack), transaction.atomic():
        keyring.destroy(SUBJECT)
        raise RolledBack

    assert keyring.data_key(SUBJECT) == before


@pytest.mark.django_db(transaction=True)
def test_a_key_read_and_destroyed_in_one_transaction_is_not_remembered_by_it():
    with transaction.atomic():
        keyring.data_key(SUBJECT)
        keyring.destroy(SUBJECT)
        with pytest.raises(SubjectForgotten):
            keyring.data_key_of(SUBJECT, 1)

    with pytest.raises(SubjectForgotten):
        keyring.data_key(SUBJECT)


# Transactions.


@pytest.mark.django_db(transaction=True)
def test_a_key_made_in_a_transaction_that_rolls_back_is_forgotten_with_it():
    with pytest.raises(RolledBack), transaction.atomic():
        lost = keyring.data_key(SUBJECT)
        assert keyring.data_key(SUBJECT) == lost
        raise RolledBack

    assert not KeyEpoch.objects.exists()
    kept = keyring.data_key(SUBJECT)
    assert kept != lost
    keyring.clear()
    assert keyring.data_key(SUBJECT) == kept


@pytest.mark.django_db(transaction=True)
def test_a_key_made_in_a_savepoint_that_rolls_back_is_forgotten_with_it():
    with transaction.atomic():
        outer = keyring.data_key(SYSTEM_SUBJECT)
        with pytest.raises(RolledBack), transaction.atomic():
            lost = keyring.data_key(SUBJECT)
            raise RolledBack
        kept = keyring.data_key(SUBJECT)
        assert kept != lost
        assert keyring.data_key(SYSTEM_SUBJECT) == outer

    keyring.clear()
    assert keyring.data_key(SUBJECT) == kept
    assert keyring.data_key(SYSTEM_SUBJECT) == outer


@pytest.mark.django_db(transaction=True)
def test_an_index_key_made_in_a_transaction_that_rolls_back_is_forgotten_with_it():
    with pytest.raises(RolledBack), transaction.atomic():
        lost = index_key("patient.document")
        raise RolledBack

    kept = index_key("patient.document")
    keyring.clear()
    assert index_key("patient.document") == kept
    assert kept != lost


@pytest.mark.django_db(transaction=True)
def test_a_key_is_remembered_within_its_transaction_and_after_its_commit(
    django_assert_num_queries,
):
    with transaction.atomic():
        keyring.data_key(SUBJECT)
        with django_assert_num_queries(0):
            keyring.data_key(SUBJECT)
            keyring.data_key_of(SUBJECT, 1)

    with django_assert_num_queries(0):
        keyring.data_key(SUBJECT)


@pytest.mark.django_db(transaction=True)
def test_what_one_transaction_has_not_committed_no_other_thread_is_given():
    keyring.data_key(uuid4())  # an epoch
    seen = []

    def look():
        seen.append(data_keys._known.get((SUBJECT, 0), using="default"))
        connections.close_all()

    with transaction.atomic():
        keyring.data_key(SUBJECT)
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()

    assert seen == [None]


# Lists.


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("inside", [False, True])
def test_a_list_costs_one_query(django_assert_num_queries, inside):
    subjects = [uuid4() for _ in range(5)]
    before = {one: keyring.data_key(one) for one in subjects}
    data_keys.forget()

    with transaction.atomic() if inside else nullcontext():
        with django_assert_num_queries(1):
            keyring.prefetch(subjects)
        with django_assert_num_queries(0):
            assert {one: keyring.data_key(one) for one in subjects} == before
            assert keyring.data_key_of(subjects[0], 1) == before[subjects[0]]
            keyring.prefetch(subjects)


@pytest.mark.django_db
def test_a_list_passes_over_the_forgotten_the_unknown_and_the_damaged():
    good, forgotten, damaged, unknown = (uuid4() for _ in range(4))
    for one in (good, forgotten, damaged):
        keyring.data_key(one)
    keyring.destroy(forgotten)
    DataKey.objects.filter(subject=damaged).update(wrapped=bytes(60))
    keyring.clear()

    keyring.prefetch([good, forgotten, damaged, unknown])

    assert keyring.data_key(good)
    with pytest.raises(SubjectForgotten):
        keyring.data_key(forgotten)
    with pytest.raises(WrongKey):
        keyring.data_key(damaged)


# Remembering.


def test_what_is_remembered_ends_at_its_moment():
    now = [100.0]
    memory = Expiring(size=2, clock=lambda: now[0])

    memory.put("a", 1, seconds=60)
    memory.put("never", 1, seconds=0)

    assert memory.get("never") is None
    now[0] = 159.9
    assert memory.get("a") == 1
    now[0] = 160.0
    assert memory.get("a") is None


def test_the_oldest_goes_first():
    memory = Expiring(size=2)
    memory.put("a", 1, seconds=60)
    memory.put("b", 2, seconds=60)

    memory.put("a", 1, seconds=60)
    memory.put("c", 3, seconds=60)

    assert [memory.get(key) for key in "abc"] == [1, None, 3]


def test_moving_memories_prolongs_none():
    now = [0.0]
    first = Expiring(size=9, clock=lambda: now[0])
    second = Expiring(size=9, clock=lambda: now[0])
    first.put("a", 1, seconds=60)

    now[0] = 59
    second.take_over(first)

    assert (first.get("a"), second.get("a")) == (None, 1)
    now[0] = 60
    assert second.get("a") is None


@pytest.mark.postgresql
@pytest.mark.skipif(
    "postgres" not in os.environ.get("DATABASE_URL", ""), reason="locks are PostgreSQL's business"
)
@pytest.mark.django_db(transaction=True)
def test_eight_at_once_make_one_key():
    assert connection.vendor == "postgresql"
    together = threading.Barrier(8)
    secrets = []

    def make():
        together.wait()
        try:
            with transaction.atomic():
                secrets.append((keyring.data_key(SUBJECT).check, index_key("x").check))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(secrets) == 8
    assert len(set(secrets)) == 1
    assert DataKey.objects.count() == KeyEpoch.objects.count() == IndexKey.objects.count() == 1
