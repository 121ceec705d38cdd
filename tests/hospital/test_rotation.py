"""Every key is changed while people work; nothing is lost, and nothing stays on an old key."""

import json
import re
from datetime import timedelta
from io import StringIO
from uuid import uuid4

import pytest
from django.core.management import CommandError, call_command
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital.audit.models import Event
from hospital.crypto import keyring
from hospital.crypto.data_keys import SYSTEM_SUBJECT, destroy, wrapping_aad
from hospital.crypto.epochs import Epoch
from hospital.crypto.fields import open_text, seal_text
from hospital.crypto.index_keys import index_keys
from hospital.crypto.indexes import token_digests
from hospital.crypto.models import DataKey, IndexKey, Job, KeyEpoch
from hospital.crypto.rotation import data, in_flight, indexes, jobs, kek
from hospital.crypto.rotation.jobs import Busy, LeaseLost, Run
from hospital.crypto.sealing import generation_of, pack
from hospital.crypto.suites import Key, Suite
from hospital.crypto.wrapping import u32
from hospital.patients.enrolment import Person, enrol
from hospital.patients.models import Patient, WechatAccount

pytestmark = pytest.mark.django_db

NAMES = {"110101199003070038": "张三", "110101199003070046": "李四", "110101199003070054": "王五"}


@pytest.fixture(autouse=True)
def nobody_remembers(settings):
    """Alone in the world: no other process remembers a key, and no task is running."""
    settings.KEY_CACHE_SECONDS = 0
    settings.IN_HAND_SECONDS = 0
    keyring.clear()


@pytest.fixture
def patients():
    found = []
    for number, name in NAMES.items():
        person = Person(name, 1, number)
        found.append(
            enrol(person, accounts={"wx1": f"o-{number}"}, campus="main", at=timezone.now())[0]
        )
    return found


def rotate(*args):
    out = StringIO()
    call_command("rotatekeys", *args, stdout=out)
    return out.getvalue()


def blobs(model=Patient, *fields):
    names = fields or ("real_name", "document_number")
    return {
        (pk, name): held.blob
        for pk, *values in model.objects.values_list("pk", *names)
        for name, held in zip(names, values, strict=True)
    }


def generations():
    return {generation_of(blob) for blob in blobs().values()}


def assert_everybody_is_there():
    keyring.clear()
    for number, name in NAMES.items():
        found = Patient.objects.with_document(1, number).get()
        assert (found.real_name, found.document_number) == (name, number)
        account = WechatAccount.objects.with_openid("wx1", f"o-{number}").get()
        assert account.openid == f"o-{number}"
        assert account.patient_id == found.pk


def failing(*args):
    with pytest.raises(CommandError) as caught:
        rotate(*args)
    return caught.value


def while_waiting(monkeypatch, act):
    """Do something each time a rotation waits for the other processes."""
    monkeypatch.setattr(in_flight, "settle", lambda run, _aliases: act(run))


def die(*_args, **_kwargs):
    raise Killed


class Killed(BaseException):
    """What `kill -9` is to a rotation: nothing of its own runs any more."""


# The key-encryption key.


def test_a_new_epoch_wraps_every_key_and_no_value_is_touched(patients):
    token_digests("face_session.face_sid", "t")
    before = blobs()

    said = rotate("--kek")

    assert "完成，已核对" in said
    old, new = KeyEpoch.objects.order_by("epoch")
    assert (old.state, new.state) == ("decrypt_only", "active")
    assert {*DataKey.objects.values_list("epoch", flat=True)} == {new.pk}
    assert {*IndexKey.objects.values_list("epoch", flat=True)} == {new.pk}
    assert blobs() == before
    assert_everybody_is_there()


def test_a_key_that_does_not_unwrap_is_named_and_left_as_it_is(patients):
    bad = DataKey.objects.get(subject=patients[1].pk)
    DataKey.objects.filter(pk=bad.pk).update(wrapped=bytes(60))

    caught = failing("--kek")

    assert caught.returncode == 1
    [job] = Job.objects.all()
    assert (job.state, job.failed) == ("failed", 1)
    assert job.findings == [
        {"model": "crypto.datakey", "pk": str(bad.pk), "field": "wrapped", "error": "WrongKey"}
    ]
    assert bytes(DataKey.objects.get(pk=bad.pk).wrapped) == bytes(60)


def test_a_key_destroyed_while_it_is_wrapped_anew_stays_destroyed(patients, monkeypatch):
    swap, erased = kek.swap, patients[0].pk

    def just_after_the_erasure(*args, **kwargs):
        destroy(erased)
        return swap(*args, **kwargs)

    monkeypatch.setattr(kek, "swap", just_after_the_erasure)
    rotate("--kek")

    assert DataKey.objects.get(subject=erased).wrapped is None
    assert Job.objects.get().conflicts == 1


def test_a_provider_that_does_not_give_back_what_it_was_given_gets_no_epoch(patients, monkeypatch):
    made = kek.epochs.make

    def broken(*args):
        row = made(*args)
        row.wrapped = bytes(60)
        return row

    monkeypatch.setattr(kek.epochs, "make", broken)
    failing("--kek")

    assert KeyEpoch.objects.get().state == "active"


# Data keys.


def test_every_value_is_sealed_anew_and_the_old_keys_are_gone(patients):
    before = blobs()

    rotate("--data")

    assert generations() == {2}
    assert {*DataKey.objects.values_list("generation", flat=True)} == {2}
    assert not {*before.values()} & {*blobs().values()}
    assert_everybody_is_there()


def test_whoever_changes_a_row_meanwhile_has_the_last_word(patients, monkeypatch):
    swap, pk = data.swap, patients[0].pk

    def just_after_the_wedding(model, *args, **kwargs):
        if model is Patient:
            monkeypatch.setattr(data, "swap", swap)
            bride = Patient.objects.get(pk=pk)
            bride.real_name = "张三丰"
            bride.save()
        return swap(model, *args, **kwargs)

    monkeypatch.setattr(data, "swap", just_after_the_wedding)
    rotate("--data")

    assert Patient.objects.get(pk=pk).real_name == "张三丰"
    assert Job.objects.get().conflicts == 1
    assert generations() == {2}


def test_what_was_read_before_and_saved_after_is_sealed_anew_before_its_key_goes(
    patients, monkeypatch
):
    slow = Patient.objects.get(pk=patients[0].pk)
    saved, waited_in = [], []

    def save(run):
        waited_in.append(run.job.phase)
        if run.job.phase == "quiet" and not saved:
            slow.save()
            saved.append(generation_of(Patient.objects.values_list("real_name")[2][0].blob))

    while_waiting(monkeypatch, save)
    rotate("--data")

    assert saved == [1]
    assert waited_in == ["settle", "quiet", "quiet"]  # there may be another like that
    assert generations() == {2}
    assert_everybody_is_there()


def test_who_is_erased_gets_no_new_key(patients):
    erased = patients[0].pk
    destroy(erased)
    before = blobs(WechatAccount, "openid")

    rotate("--data")

    assert not DataKey.objects.filter(subject=erased, wrapped__isnull=False).exists()
    account = WechatAccount.objects.get(patient=erased).pk
    assert blobs(WechatAccount, "openid")[account, "openid"] == before[account, "openid"]


def test_who_is_erased_during_the_rotation_stays_so(patients, monkeypatch):
    erased = patients[0].pk
    while_waiting(monkeypatch, lambda run: run.job.phase == "settle" and destroy(erased))

    rotate("--data")

    assert [*DataKey.objects.filter(subject=erased).values_list("wrapped", flat=True)] == [None] * 2


def test_what_does_not_open_is_named_and_keeps_its_key(patients):
    bad = patients[0]
    held = blobs()[bad.pk, "real_name"]
    damaged = held[:-1] + bytes([held[-1] ^ 1])
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE patients_patient SET real_name = %s WHERE number = %s", [damaged, bad.number]
        )

    caught = failing("--data")

    assert caught.returncode == 1
    [job] = Job.objects.all()
    assert job.findings == [
        {
            "model": "patients.patient",
            "pk": str(bad.pk),
            "field": "real_name",
            "error": "Tampered",
        }
    ]
    assert blobs()[bad.pk, "real_name"] == damaged
    kept = DataKey.objects.filter(generation=1).values_list("subject", flat=True)
    assert [*kept] == [bad.pk]
    keyring.clear()
    assert Patient.objects.get(pk=bad.pk).document_number == bad.document_number


def test_what_lies_in_a_cache_is_absent_afterwards(patients):
    row = uuid4()
    kept = seal_text("credential", context="authinfo", row=row)

    rotate("--data")

    with pytest.raises(keyring.UnknownKey):
        open_text(kept, context="authinfo", row=row)
    assert DataKey.objects.get(subject=SYSTEM_SUBJECT).generation == 2


def test_a_new_patient_meanwhile_needs_no_second_key(monkeypatch, patients):
    def arrive(run):
        if run.job.phase == "settle":
            enrol(Person("赵六", 2, "E1"), accounts={}, campus="main", at=timezone.now())

    while_waiting(monkeypatch, arrive)
    rotate("--data")

    assert Patient.objects.with_document(2, "E1").get().real_name == "赵六"


def test_the_aad_of_a_data_key_is_the_packed_list_of_its_parts():
    epoch, subject = Epoch(pk=1, check=b"", number=7, key=Key(Suite.SM4_GCM, bytes(16))), uuid4()

    aad = wrapping_aad(subject, 3, Suite.SM4_GCM, epoch)

    assert aad == pack(b"hfe-dek", subject.bytes, u32(3), u32(2), u32(7))


# Blind indexes.


def test_everybody_is_found_and_unique_in_every_phase(patients, monkeypatch):
    seen = []

    def look(run):
        assert_everybody_is_there()
        with pytest.raises(IntegrityError), transaction.atomic():
            Patient.objects.create(
                number="P-again",
                real_name="张三",
                document_type=1,
                document_number="110101199003070038",
                created_at=timezone.now(),
            )
        seen.append(run.job.phase)

    while_waiting(monkeypatch, look)
    rotate("--index", "patient.document")

    assert seen == ["heard", "searched", "left"]
    assert_everybody_is_there()
    old, new = IndexKey.objects.filter(label="patient.document").order_by("version")
    assert (old.state, old.wrapped, new.state) == ("destroyed", None, "active")
    first, second = Patient.by_document.columns
    assert not Patient.objects.filter(**{f"{first}__isnull": False}).exists()
    assert not Patient.objects.filter(**{f"{second}__isnull": True}).exists()


def test_an_index_goes_back_and_forth_between_its_columns(patients):
    rotate("--index", "patient.document")
    rotate("--index", "patient.document")

    assert_everybody_is_there()
    first, second = Patient.by_document.columns
    assert Patient.objects.filter(**{f"{first}__isnull": False}).count() == len(patients)
    assert not Patient.objects.filter(**{f"{second}__isnull": False}).exists()


def test_two_rows_with_one_document_stop_it_before_the_switch(patients):
    column = Patient.by_document.columns[0]
    Patient.objects.filter(pk=patients[0].pk).update(**{column: "f" * 32})
    twin = Patient.objects.create(
        number="P-twin",
        real_name="张三",
        document_type=1,
        document_number="110101199003070038",
        created_at=timezone.now(),
    )

    caught = failing("--index", "patient.document")

    assert caught.returncode == 1
    [job] = Job.objects.all()
    assert {one["pk"] for one in job.findings} == {str(patients[0].pk), str(twin.pk)}
    assert {one["error"] for one in job.findings} == {"Duplicate"}
    assert index_keys("patient.document", normaliser="opaque/1").active.version == 1

    Patient.objects.filter(pk=patients[0].pk).delete()
    rotate("--index", "patient.document")
    keyring.clear()
    assert Patient.objects.with_document(1, "110101199003070038").get() == twin
    assert index_keys("patient.document", normaliser="opaque/1").active.version == 2


def test_a_row_that_does_not_open_stops_it_before_the_switch(patients):
    DataKey.objects.filter(subject=patients[0].pk).update(wrapped=bytes(60))
    keyring.clear()

    failing("--index", "patient.document")

    assert Job.objects.get().findings[0]["error"] == "WrongKey"
    assert index_keys("patient.document", normaliser="opaque/1").active.version == 1


def test_a_row_changed_while_its_digest_is_made_has_the_last_word(patients, monkeypatch):
    swap, pk = indexes.swap, patients[0].pk

    def just_after_the_correction(*args, **kwargs):
        monkeypatch.setattr(indexes, "swap", swap)
        corrected = Patient.objects.get(pk=pk)
        corrected.document_number = "110101199003070062"
        corrected.save()
        return swap(*args, **kwargs)

    monkeypatch.setattr(indexes, "swap", just_after_the_correction)
    rotate("--index", "patient.document")

    keyring.clear()
    assert Patient.objects.with_document(1, "110101199003070062").get().pk == pk


def test_tokens_are_known_by_the_old_key_until_they_are_void(patients):
    label = "face_session.face_sid"
    [before] = token_digests(label, "sid")

    said = rotate("--index", label)

    keyring.clear()
    written, older = token_digests(label, "sid")
    assert older == before != written
    assert "48 小时" in said

    IndexKey.objects.update(since=timezone.now() - timedelta(days=30))
    rotate("--index", label)
    keyring.clear()
    assert before in token_digests(label, "sid")

    IndexKey.objects.update(since=timezone.now() - timedelta(days=32))
    rotate("--index", label)
    keyring.clear()
    assert before not in token_digests(label, "sid")


def test_a_label_nobody_knows_is_a_mistake_of_the_caller(patients):
    caught = failing("--index", "patient.shoe_size")

    assert caught.returncode == 2
    assert "patient.document" in str(caught)


# The suite.


def test_a_suite_no_process_is_set_to_is_refused(patients):
    caught = failing("--suite", "sm4-gcm")

    assert caught.returncode == 2
    assert "CRYPTO_SUITE" in str(caught)
    assert not Job.objects.exists()


def test_everything_moves_to_another_suite(patients, settings):
    settings.CRYPTO_SUITE = "sm4-gcm"

    rotate("--suite", "sm4-gcm")

    assert_everybody_is_there()
    assert {*DataKey.objects.values_list("suite", flat=True)} == {Suite.SM4_GCM}
    assert KeyEpoch.objects.get(state="active").suite == Suite.SM4_GCM
    assert {blob[2] for blob in blobs().values()} == {Suite.SM4_GCM}
    alive = IndexKey.objects.filter(state="active")
    assert {*alive.values_list("algorithm", flat=True)} == {Suite.SM4_GCM.mac}
    assert "没有需要更换的密钥" in rotate("--suite", "sm4")


# Jobs.


@pytest.mark.parametrize("phase", [*kek.PHASES])
def test_a_new_epoch_is_finished_by_whoever_comes_next(patients, monkeypatch, phase):
    killed_in(monkeypatch, kek, phase, "--kek")

    rotate("--kek")

    assert KeyEpoch.objects.count() == 2
    assert kek.left_behind(target="2") == 0
    assert_everybody_is_there()


@pytest.mark.parametrize("phase", [*data.PHASES])
def test_new_data_keys_are_finished_by_whoever_comes_next(patients, monkeypatch, phase):
    killed_in(monkeypatch, data, phase, "--data")

    rotate("--data")

    assert Job.objects.count() == 1
    assert generations() == {2}
    assert {*DataKey.objects.values_list("generation", flat=True)} == {2}
    assert_everybody_is_there()


@pytest.mark.parametrize("phase", [*indexes.PHASES])
def test_a_new_index_is_finished_by_whoever_comes_next(patients, monkeypatch, phase):
    killed_in(monkeypatch, indexes, phase, "--index", "patient.document")
    assert_everybody_is_there()

    rotate("--index", "patient.document")

    assert Job.objects.count() == 1
    states = IndexKey.objects.filter(label="patient.document").order_by("version")
    assert [*states.values_list("state", flat=True)] == ["destroyed", "active"]
    assert_everybody_is_there()


def killed_in(monkeypatch, kind, phase, *args):
    """Kill a rotation right after what it does in one phase, before it says so."""
    act = kind.PHASES[phase].act

    def act_and_die(run):
        act(run)
        raise Killed

    with monkeypatch.context() as patched:
        patched.setitem(kind.PHASES, phase, jobs.Phase("", act_and_die))
        with pytest.raises(Killed):
            rotate(*args)


def test_a_job_goes_on_behind_its_cursor(patients, monkeypatch):
    reseal, seen = data._reseal_batch, []

    def noted(run, table, rows):
        if len(seen) == 2:
            raise Killed
        seen.append([row["pk"] for row in rows])
        reseal(run, table, rows)

    def noted_again(run, table, rows):
        seen.append([row["pk"] for row in rows])
        reseal(run, table, rows)

    monkeypatch.setattr(data, "_reseal_batch", noted)
    with pytest.raises(Killed):
        rotate("--data", "--batch", "1")
    interrupted = Job.objects.get()
    monkeypatch.setattr(data, "_reseal_batch", noted_again)
    rotate("--data")

    in_order = sorted(patient.pk for patient in patients)
    assert (interrupted.phase, interrupted.done) == ("reseal", 2)
    assert seen[:3] == [[in_order[0]], [in_order[1]], [in_order[2]]]
    assert generations() == {2}


def opened(kind="data", target="x", **changes):
    job = jobs.opened(kind, target)
    Job.objects.filter(pk=job.pk).update(**changes)
    job.refresh_from_db()
    return job


def taken(job, *, told=lambda _run, _word: None, rate=0):
    return Run(job, rate=rate, batch=0, told=told)


def test_a_cursor_never_runs_ahead_of_its_rows(patients):
    job = opened()

    with taken(job) as run, pytest.raises(Killed), run.batch("default") as step:
        Patient.objects.filter(pk=patients[0].pk).update(number="lost")
        step.cursor, step.done = "far ahead", 1000
        raise Killed

    job.refresh_from_db()
    assert (job.cursor, job.done) == ("", 0)
    assert not Patient.objects.filter(number="lost").exists()


def test_who_lost_the_lease_writes_nothing_any_more(patients):
    job = opened()

    with taken(job) as run:
        Job.objects.filter(pk=job.pk).update(lease_owner="somebody else")
        with pytest.raises(LeaseLost), run.batch("default") as step:
            Patient.objects.filter(pk=patients[0].pk).update(number="stale")
            step.cursor = "stale"

    assert not Patient.objects.filter(number="stale").exists()
    assert Job.objects.get().lease_owner == "somebody else"


def test_a_job_somebody_is_at_is_not_taken(monkeypatch):
    job = opened(lease_owner="other", lease_until=timezone.now() + timedelta(seconds=9))

    def meanwhile(_seconds):
        later = timezone.now() + timedelta(seconds=30)
        Job.objects.update(lease_until=later)

    monkeypatch.setattr(jobs.time, "sleep", meanwhile)
    with pytest.raises(Busy), taken(job):
        pass

    assert Job.objects.get().lease_owner == "other"


def test_a_job_whose_owner_died_is_taken_when_its_lease_is_over(monkeypatch):
    until = timezone.now() + timedelta(seconds=9)
    job, said = opened(lease_owner="dead", lease_until=until), []

    def nine_seconds_later(_seconds):
        Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    monkeypatch.setattr(jobs.time, "sleep", nine_seconds_later)
    with taken(job, told=lambda _run, word: said.append(word)) as run:
        assert run.job.lease_owner != "dead"

    assert said == ["等待上一个进程的租约到期"]


def test_the_second_of_two_is_told_so(patients, monkeypatch):
    opened("kek", "2", lease_owner="other", lease_until=timezone.now() + timedelta(seconds=9))
    monkeypatch.setattr(
        jobs.time,
        "sleep",
        lambda _seconds: Job.objects.update(lease_until=timezone.now() + timedelta(seconds=30)),
    )

    caught = failing("--kek")

    assert caught.returncode == 1
    assert "另一个进程" in str(caught)
    assert KeyEpoch.objects.count() == 1


def test_a_limited_job_takes_its_time(patients, monkeypatch):
    rested = []
    monkeypatch.setattr(jobs.time, "sleep", rested.append)
    monkeypatch.setattr(jobs.time, "monotonic", lambda: 100.0)

    with taken(opened(), rate=10) as run:
        assert run.batch_size(1000) == 10
        for _ in range(3):
            with run.batch("default") as step:
                step.done = 10

    assert rested == [1.0, 2.0, 3.0]


# Saying so.


@pytest.mark.parametrize("what", [("--kek",), ("--data",), ("--index",), ("--suite", "sm4-gcm")])
def test_a_dry_run_changes_nothing(patients, settings, what):
    token_digests("face_session.face_sid", "t")
    settings.CRYPTO_SUITE = "sm4-gcm" if "--suite" in what else "aes-256-gcm"
    connection.ensure_connection()
    before = connection.connection.serialize()

    said = rotate(*what, "--dry-run")

    assert connection.connection.serialize() == before
    assert "未作任何改动" in said
    assert "预计" in said


def test_a_dry_run_counts_by_column(patients):
    said = rotate("--data", "--dry-run")

    assert "patients.patient.real_name：3 条" in said
    assert "patients.wechataccount.openid：3 条" in said


def test_start_and_end_are_on_record(patients):
    rotate("--kek")

    found = [json.loads(one.payload) for one in Event.objects.filter(action__startswith="keys.")]
    end, begin = sorted(found, key=lambda one: one["uid"], reverse=True)
    assert (begin["action"], end["action"]) == ("keys.rotate_begin", "keys.rotate_end")
    assert end["object"]["type"] == "crypto.job"
    assert end["facts"] == {
        "kind": "kek",
        "target": "2",
        "total": DataKey.objects.count() + IndexKey.objects.count(),
        "conflicts": 0,
        "failed": 0,
    }


def test_nothing_it_says_names_anybody(patients):
    said = "".join(rotate(*what) for what in (("--kek",), ("--data",), ("--index",)))

    for number, name in NAMES.items():
        assert name not in said
        assert number not in said


@pytest.mark.parametrize("args", [(), ("--kek", "--data"), ("--kek", "--rate", "-1")])
def test_what_cannot_be_meant_is_refused(args):
    failing(*args)

    assert not Job.objects.exists()


# The page.


def shown(person, job):
    browser = Client()
    browser.force_login(person)
    return browser.get(reverse("admin:crypto_job_change", args=[job.pk])).text


def test_an_open_job_shows_how_far_it_is_and_stays_fresh(mei):
    began = timezone.now() - timedelta(seconds=100)
    job = opened(phase="reseal", total=1000, done=250, phase_began_at=began)

    page = shown(mei, job)

    assert "重新封存数据" in page
    assert 'value="25"' in page
    assert re.search(r"每秒 2 条，本阶段剩余约 5 分 \d+ 秒", page)
    assert "没有进程在处理" in page
    assert 'id="live"' in page


def test_a_job_in_good_hands_is_not_called_abandoned(mei):
    job = opened(phase="reseal", lease_until=timezone.now() + timedelta(seconds=9))

    assert "没有进程在处理" not in shown(mei, job)


def test_a_finished_job_shows_what_it_found(mei):
    finding = {"model": "patients.patient", "pk": "7", "field": "real_name", "error": "Tampered"}
    job = opened(state="failed", total=4, done=3, failed=1, findings=[finding])

    page = shown(mei, job)

    assert all(word in page for word in ("未通过", *finding.values()))
    assert 'id="live"' not in page
