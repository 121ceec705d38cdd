"""Who is forgotten is forgotten: in every table, by every key and index, and for good."""

import subprocess
import sys
import zipfile
from datetime import date, timedelta

import pytest
from django.core.checks import run_checks
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from uuid6 import uuid7

from devices.models import StoredAnswer
from faceauth import declining
from faceauth.models import Consent, FaceSession
from hospital.audit import commitments, proposing, stated
from hospital.audit.actions import Action
from hospital.audit.exporting import bundle
from hospital.audit.exporting.selecting import Range
from hospital.audit.kept import Commitment
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import data_keys, keyring
from hospital.crypto.keyring import SubjectForgotten
from hospital.crypto.models import DataKey
from hospital.patients import enrolment, identity, viewing
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person
from hospital.patients.models import (
    Correction,
    Guardian,
    HandOff,
    Identification,
    Likeness,
    Patient,
    Registration,
    WechatAccount,
    WechatUnion,
)
from hospital.privacy import answering, copying, holding, subjects, tasks
from hospital.privacy.erasing import asking, deciding, planning, running, standing, verifying
from hospital.privacy.erasing.deciding import AlreadyDecided, NoSuchPatient, TooLate
from hospital.privacy.models import Erasure, LedgerMark, LegalHold, RightsCopy, RightsRequest
from tests.conftest import recorded
from tests.hospital.notarised import BOTH, House

ZHANG = Person("张三", 1, "11010119900307002X")
APPID, OPENID = "wx1", "o" + "z" * 27
State = Erasure.State


@pytest.fixture(autouse=True)
def nobody_waits(settings):
    settings.KEY_CACHE_SECONDS = settings.IN_HAND_SECONDS = 0


@pytest.fixture
def patient(db):
    return onboard()


def onboard(person=ZHANG, openid=OPENID):
    with transaction.atomic():
        now = timezone.now()
        patient, _ = enrolment.enrol(person, accounts={APPID: openid}, campus="main", at=now)
        digest = identity.commit(patient)
        record(Action.PATIENT_ONBOARD, by=SYSTEM, on=patient, at=now, identity=digest)
    return patient


def furnish(patient):
    """Give a patient one of everything that is kept of people."""
    now = timezone.now()
    WechatUnion.objects.link(patient, "union-1", at=now)
    evidence = Identification.Evidence.ORIGINAL
    typed = {"document_type": DocumentType.RESIDENT, "evidence": evidence}
    guardian = {"real_name": "张父", "document_number": "110101196003070011"}
    Guardian.objects.create(
        patient=patient, relation="parent", by=uuid7(), at=now, **typed, **guardian
    )
    Correction.objects.create(
        patient=patient, real_name="张山", document_number=ZHANG.document_number,
        reason="同音字", asked_by=uuid7(), asked_at=now, **typed,
    )  # fmt: skip
    Registration.objects.create(
        patient=patient, state=Registration.State.DONE, cause=Registration.Cause.UNABLE,
        real_name="张三", campus="main", entered_by=uuid7(), entered_at=now, **typed,
    )  # fmt: skip
    HandOff.objects.create(patient=patient, created_at=now, due_at=now)


def decided(patient, *, cooling=timedelta(0), at=None):
    return deciding.begin(
        patient.pk, cause=Erasure.Cause.REQUEST, cooling=cooling, at=at or timezone.now()
    )


def cold(pks):
    """As `verifyerasure` does it, in this process: what it remembers of keys is forgotten first."""
    keyring.clear()
    return {pk for pk in pks if verifying.legible(Erasure.objects.get(pk=pk))}


def erase(patient, *, at=None):
    erasure = decided(patient, at=at)
    running.advance(erasure.pk, at=at or timezone.now())
    running.conclude_due(verify=cold, at=at or timezone.now())
    erasure.refresh_from_db()
    return erasure


def steps(patient, outcome="success"):
    events = Event.objects.on(patient).filter(action="erasure.step", outcome=outcome)
    return [stated.facts(event.payload)["step"] for event in events.order_by("id")]


# What is gone, and what stays


def test_everything_that_is_kept_of_a_person_is_gone(patient):
    furnish(patient)
    keys = DataKey.objects.filter(subject=patient.pk)

    with recorded():
        erasure = erase(patient)

    assert erasure.state == State.DONE
    patient.refresh_from_db()
    assert not keys.exclude(wrapped=None).exists()
    keyring.clear()
    with pytest.raises(SubjectForgotten):
        _ = Patient.objects.get().real_name
    assert patient.document_number is None
    assert patient.document_index is None
    assert patient.name_birth_index is None
    assert not Patient.objects.with_document(1, ZHANG.document_number).exists()
    assert not Patient.objects.named("张三", born=date(1990, 3, 7)).exists()
    for gone in (WechatAccount, WechatUnion, Guardian, HandOff, Commitment):
        assert not gone.objects.exists(), gone
    correction = Correction.objects.get()
    assert (correction.state, correction.real_name) == (Correction.State.WITHDRAWN, None)
    assert viewing.masked(patient).is_erased


def test_each_step_is_on_record_once(patient):
    erase(patient)

    assert steps(patient) == ["begun", "keys", "rows", "traces", "done"]
    assert Event.objects.filter(action="erasure.decide").count() == 1


def test_a_registration_sealed_under_a_key_of_its_own_loses_it(patient):
    furnish(patient)
    registration = Registration.objects.get()

    erase(patient)

    keyring.clear()
    assert keyring.alive([registration.pk, patient.pk]) == set()
    with pytest.raises(SubjectForgotten):
        _ = Registration.objects.get().real_name


def test_the_neighbour_stays_as_they_were(patient):
    neighbour = onboard(Person("李四", 2, "E12345678"), openid="o" + "l" * 27)
    furnish(neighbour)

    erase(patient)

    keyring.clear()
    found = Patient.objects.with_document(2, "E12345678").get()
    assert (found.pk, found.real_name) == (neighbour.pk, "李四")
    assert WechatAccount.objects.with_openid(APPID, "o" + "l" * 27).get().patient == neighbour
    assert Guardian.objects.get().real_name == "张父"
    assert HandOff.objects.count() == 1
    assert identity.agrees(found)


def test_a_session_under_way_ends_and_holds_nothing(patient, notice, kiosk, merchant):
    said = {"notice": notice, "granted": True, "purposes": ["onboarding"], "at": timezone.now()}
    consent = Consent.objects.create(terminal=kiosk.terminal, patient=patient.pk, **said)
    session = FaceSession.objects.create(
        terminal=kiosk.terminal,
        consent=consent,
        merchant=merchant,
        patient=patient,
        state=FaceSession.State.AUTHORIZED,
        face_sid="f" * 32,
        opened_at=timezone.now(),
        due_at=timezone.now(),
    )

    erasure = erase(patient)

    session.refresh_from_db()
    assert (session.state, session.reason, session.face_sid) == ("failed", "forgotten", None)
    assert Consent.objects.get().patient == patient.pk
    assert erasure.state == State.DONE


def test_that_they_said_no_is_forgotten_while_their_account_can_still_be_read(patient):
    now = timezone.now()
    theirs = declining.indexes({APPID: OPENID})
    others = declining.indexes({APPID: "o" + "l" * 27})
    declining.remember([*theirs, *others], at=now)

    erase(patient)

    assert not declining.is_recent(theirs, at=now)
    assert declining.is_recent(others, at=now)


def test_what_a_terminal_was_told_of_them_is_gone(patient, notice, kiosk, merchant):
    now = timezone.now()
    said = {"notice": notice, "granted": True, "purposes": ["onboarding"], "at": now}
    FaceSession.objects.create(
        terminal=kiosk.terminal,
        consent=Consent.objects.create(terminal=kiosk.terminal, patient=patient.pk, **said),
        merchant=merchant,
        patient=patient,
        state=FaceSession.State.RECOGNISED,
        opened_at=now,
        due_at=now,
    )
    answer = {"terminal": kiosk.terminal, "fingerprint": "f", "status": 200, "body": "{}"}
    earlier, later = (
        StoredAnswer.objects.create(key=key, created_at=now + timedelta(seconds=away), **answer)
        for key, away in (("before", -60), ("after", 1))
    )

    erase(patient)

    assert not StoredAnswer.objects.filter(pk=later.pk).exists()
    assert StoredAnswer.objects.filter(pk=earlier.pk).exists()


def test_the_trail_still_verifies_with_its_salts_gone(patient, tmp_path):
    house = House(tmp_path, now=timezone.now())
    house.notary().step(now=house.now)
    assert house.kinds() == []

    erase(patient)

    house.now = timezone.now()
    house.notary().step(now=house.now)
    assert house.kinds() == []
    assert not Commitment.objects.filter(subject=patient.pk).exists()


def test_what_the_trail_says_stays_and_names_nobody(patient):
    digest = stated.facts(Event.objects.get(action="patient.onboard").payload)["identity"]
    before = list(Event.objects.order_by("id").values_list("payload", "mac"))

    erase(patient)

    assert list(Event.objects.order_by("id").values_list("payload", "mac")[: len(before)]) == before
    assert commitments.opens(digest, "anything") is None
    text = "".join(Event.objects.values_list("payload", flat=True))
    assert not any(word in text for word in ("张三", ZHANG.document_number, OPENID))


def test_a_person_who_comes_back_is_somebody_new(patient):
    erase(patient)

    again = onboard()

    assert again.pk != patient.pk
    assert again.real_name == "张三"


def asked_for_copy(patient):
    return RightsRequest.objects.create(
        kind=RightsRequest.Kind.COPY, state=RightsRequest.State.VERIFIED, patient=patient.pk,
        campus="main", applicant="self", opened_by=uuid7(), opened_at=timezone.now(),
        due_on=date(2026, 12, 1), verified_at=timezone.now(), answered_at=timezone.now(),
    )  # fmt: skip


def test_a_copy_nobody_fetched_goes_with_them(patient, chen):
    request = asked_for_copy(patient)
    copying.make(request, by=chen, at=timezone.now())
    assert RightsCopy.objects.exists()

    erasure = decided(patient)
    running.advance(erasure.pk, at=timezone.now())

    assert not RightsCopy.objects.exists()
    request.refresh_from_db()
    assert request.copy_until is None


# The trail


@pytest.fixture(params=BOTH)
def either(request, transactional_db):
    # Transactions of its own: a copy is made over another connection.
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


def test_every_proof_holds_that_was_given_before_and_the_whole_trail_after(
    either, tmp_path, settings, capsys
):
    house = House(tmp_path, now=timezone.now())
    settings.TRAIL_VERIFIERS = keys = [str(one) for one in house.verifiers]
    settings.VERIFIED_STATE = tmp_path / "verified"
    patient = onboard()
    furnish(patient)
    house.seal(3, witnessed=True)
    house.notary().anchor(now=house.now)
    [onboarded] = Event.objects.on(patient).filter(action="patient.onboard")
    digest = stated.facts(onboarded.payload)["identity"]
    bundle.write(tmp_path / "copy.zip", selection=Range(0, 4), manifest_facts={})

    with recorded():
        erasure = erase(patient)
    house.now = timezone.now()
    house.seal(2, witnessed=True)

    assert erasure.state == State.DONE
    assert not Commitment.objects.filter(digest=digest).exists()
    call_command("verifyaudit", "--full", "--anchor", str(house.anchor_file.path))
    assert "外部锚点相符 1 个" in capsys.readouterr().out
    with zipfile.ZipFile(tmp_path / "copy.zip") as copy:
        copy.extractall(tmp_path / "copy")
    assert digest in (tmp_path / "copy" / "events.jsonl").read_text()
    command = [sys.executable, "-I", "-S", "verify.py", "--key", keys[0], "--key", keys[1]]
    answer = subprocess.run(command, cwd=tmp_path / "copy", capture_output=True, text=True)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    assert "完整：序号 0 至 3，共 4 条，一条不少" in answer.stdout


# The ledger


def test_the_ledger_knows_of_it_before_any_key_is_gone(patient, settings, tmp_path):
    settings.ERASURE_LEDGER = tmp_path / "gone" / "erasures.jsonl"
    (tmp_path / "gone").write_text("no directory")  # a disk that is not there
    erasure = decided(patient)

    with pytest.raises(standing.LedgerUnreadable):
        running.advance(erasure.pk, at=timezone.now())

    erasure.refresh_from_db()
    assert Patient.objects.get().real_name == "张三"
    assert keyring.alive([patient.pk])
    (tmp_path / "gone").unlink()
    running.advance(erasure.pk, at=timezone.now())
    [line] = standing.lines()
    assert line.entry.subject == patient.pk
    assert not keyring.alive([patient.pk])


def test_a_line_written_twice_is_one(patient):
    erasure = decided(patient)
    now = timezone.now()
    running.step(erasure, at=now)
    erasure.refresh_from_db()
    running.write_down(erasure, at=now)
    # As a crash between the file and the commit leaves it.
    Erasure.objects.update(ledger_place=None)
    LedgerMark.objects.update(place=0, digest="", end=0)

    standing.demand_replayed(thorough=True)
    running.advance(erasure.pk, at=now)

    assert len(standing.lines()) == 1
    assert LedgerMark.objects.get().place == 1


def test_lines_follow_each_other(patient):
    erase(patient)
    erase(onboard(Person("李四", 2, "E12345678"), openid="o" + "l" * 27))

    assert [line.mark.place for line in standing.examined()] == [1, 2]
    assert LedgerMark.objects.get().place == 2


# Cooling, cancelling, holding


def test_nothing_is_touched_while_it_cools_down(patient):
    now = timezone.now()
    erasure = decided(patient, cooling=timedelta(hours=72), at=now)

    running.advance(erasure.pk, at=now + timedelta(hours=72, seconds=-1))

    erasure.refresh_from_db()
    assert erasure.state == State.COOLING
    assert Patient.objects.get().real_name == "张三"
    running.advance(erasure.pk, at=now + timedelta(hours=72))
    erasure.refresh_from_db()
    assert erasure.state == State.TRACES


def test_until_then_it_can_be_cancelled_and_decided_anew(patient, gu):
    now = timezone.now()
    erasure = decided(patient, cooling=timedelta(hours=72), at=now)

    deciding.cancel(erasure, by=gu, at=now)

    running.advance(erasure.pk, at=now + timedelta(days=30))
    erasure.refresh_from_db()
    assert erasure.state == State.CANCELLED
    assert Patient.objects.get().real_name == "张三"
    assert decided(patient).pk != erasure.pk


def test_what_has_begun_cannot_be_cancelled(patient, gu):
    erasure = decided(patient)
    running.step(erasure, at=timezone.now())

    with pytest.raises(TooLate):
        deciding.cancel(erasure, by=gu, at=timezone.now())


def hold(patient, at):
    until = timezone.localdate(at) + timedelta(days=30)
    return LegalHold.objects.create(patient=patient, until=until, placed_at=at, proposal=uuid7())


def test_who_is_held_is_not_erased(patient):
    hold(patient, timezone.now())

    with pytest.raises(holding.Held):
        decided(patient)


def test_a_hold_placed_meanwhile_stops_it(patient):
    now = timezone.now()
    erasure = decided(patient, cooling=timedelta(hours=72), at=now)
    hold(patient, now)

    running.advance(erasure.pk, at=now + timedelta(hours=72))

    erasure.refresh_from_db()
    assert erasure.state == State.CANCELLED
    [event] = Event.objects.filter(action="erasure.cancel")
    assert stated.facts(event.payload)["code"] == "legal_hold"
    assert Patient.objects.get().real_name == "张三"


def asked_for(patient, chen, *, verified_by=None):
    now = timezone.now()
    return RightsRequest.objects.create(
        kind=RightsRequest.Kind.DELETE, state=RightsRequest.State.VERIFIED, patient=patient.pk,
        campus="main", applicant="self", opened_by=chen.pk, opened_at=now, verified_at=now,
        verified_by=verified_by or chen.pk, due_on=timezone.localdate(),
    )  # fmt: skip


def answered(patient, request, gu, at):
    """Decide on what was asked for, and answer it, as carrying it out does."""
    cooling, cause = timedelta(hours=72), Erasure.Cause.REQUEST
    erasure = deciding.begin(patient.pk, cause=cause, cooling=cooling, request=request.pk, at=at)
    answering.erasure_decided(request.pk, patient=patient.pk, by=gu.pk, at=at)
    return erasure


def test_where_nothing_was_erased_nobody_was_told_that_it_is_done(patient, chen, gu):
    now = timezone.now()
    request = asked_for(patient, chen)
    erasure = answered(patient, request, gu, now)
    request.refresh_from_db()
    assert request.state == RightsRequest.State.DONE
    hold(patient, now)

    with recorded():
        running.advance(erasure.pk, at=now + timedelta(hours=72))

    request.refresh_from_db()
    assert (request.state, request.answered_by) == (RightsRequest.State.VERIFIED, None)
    last = Event.objects.filter(action="rights.answer").latest("id")
    assert stated.facts(last.payload)["decision"] == "reopened"


def test_asked_again_meanwhile_the_first_request_stays_answered(patient, chen, gu):
    now = timezone.now()
    request = asked_for(patient, chen)
    erasure = answered(patient, request, gu, now)
    again = asked_for(patient, chen)

    deciding.cancel(erasure, by=gu, at=now)

    assert [one.pk for one in RightsRequest.objects.filter(state="verified")] == [again.pk]


def test_who_checked_the_applicant_does_not_decide_on_the_erasure(patient, chen, gu):
    request = asked_for(patient, chen, verified_by=gu.pk)

    with pytest.raises(answering.SamePerson):
        answering.erasure_decided(request.pk, patient=patient.pk, by=gu.pk, at=timezone.now())


def test_who_came_back_before_their_time_ran_out_stays(patient):
    long_ago = timezone.now() - timedelta(days=6000)
    Patient.objects.filter(pk=patient.pk).update(created_at=long_ago, last_visit_at=long_ago)
    now = timezone.now()
    cause = Erasure.Cause.RETENTION
    erasure = deciding.begin(patient.pk, cause=cause, cooling=timedelta(0), at=now)
    enrolment.enrol(ZHANG, accounts={}, campus="main", at=now + timedelta(seconds=20))

    running.advance(erasure.pk, at=now + timedelta(seconds=30))

    erasure.refresh_from_db()
    assert erasure.state == State.CANCELLED
    [event] = Event.objects.filter(action="erasure.cancel")
    assert stated.facts(event.payload)["code"] == "erasure_visited"


def test_who_did_not_come_back_goes_when_their_time_ran_out(patient):
    long_ago = timezone.now() - timedelta(days=6000)
    Patient.objects.filter(pk=patient.pk).update(created_at=long_ago, last_visit_at=long_ago)
    now = timezone.now()
    cause = Erasure.Cause.RETENTION
    erasure = deciding.begin(patient.pk, cause=cause, cooling=timedelta(0), at=now)

    running.advance(erasure.pk, at=now)

    erasure.refresh_from_db()
    assert erasure.state == State.TRACES


def test_decided_twice_it_is_one(patient):
    assert decided(patient).pk == decided(patient).pk


def test_nobody_who_is_not_there_is_erased(db):
    with pytest.raises(NoSuchPatient):
        deciding.begin(
            uuid7(), cause=Erasure.Cause.RETENTION, cooling=timedelta(0), at=timezone.now()
        )


# Twice, at once, and half


@pytest.mark.parametrize("number", range(1, 6))
def test_broken_off_after_any_step_it_goes_on(patient, number):
    erasure = decided(patient)
    for _ in range(number):
        erasure.refresh_from_db()
        running.step(erasure, at=timezone.now())

    running.advance(erasure.pk, at=timezone.now())
    running.conclude_due(verify=cold, at=timezone.now())

    erasure.refresh_from_db()
    assert erasure.state == State.DONE
    assert steps(patient) == ["begun", "keys", "rows", "traces", "done"]


def test_of_two_workers_each_step_is_taken_by_one(patient):
    erasure = decided(patient)
    stale = [Erasure.objects.get(pk=erasure.pk)]
    for _ in range(5):
        erasure.refresh_from_db()
        stale.append(Erasure.objects.get(pk=erasure.pk))
        running.step(erasure, at=timezone.now())

    for late in stale:
        running.step(late, at=timezone.now())

    assert steps(patient) == ["begun", "keys", "rows", "traces"]
    assert len(standing.lines()) == 1


def test_who_still_held_the_key_is_waited_for(patient, settings):
    settings.KEY_CACHE_SECONDS, settings.IN_HAND_SECONDS = 60, 60
    now = timezone.now()
    erasure = decided(patient, at=now)
    running.advance(erasure.pk, at=now)
    erasure.refresh_from_db()
    assert erasure.state == State.ROWS
    # Somebody who had read it before saved it: the value cannot be read, the index could.
    Patient.objects.filter(pk=patient.pk).update(document_index="0" * 32)

    running.advance(erasure.pk, at=now + timedelta(seconds=119))
    erasure.refresh_from_db()
    assert erasure.state == State.ROWS
    running.advance(erasure.pk, at=now + timedelta(seconds=120))

    erasure.refresh_from_db()
    patient.refresh_from_db()
    assert erasure.state == State.TRACES
    assert patient.document_index is None


def test_a_rotation_gives_nobody_a_key_who_was_forgotten(patient):
    keys = DataKey.objects.filter(subject=patient.pk)
    suite, epoch = data_keys.epochs.configured_suite(), data_keys.epochs.active()
    data_keys.new_key(patient.pk, 2, suite=suite, epoch=epoch).save()

    erase(patient)

    assert keys.count() == 2
    assert not keys.filter(wrapped__isnull=False).exists()


def test_the_worker_takes_the_steps_of_each_by_itself(patient):
    erasure = decided(patient)

    tasks.take_steps.apply(kwargs={"erasure_id": str(erasure.pk)}, throw=True)

    erasure.refresh_from_db()
    assert erasure.state == State.TRACES
    assert running.due(at=timezone.now()) == []


# Verifying


def test_what_can_still_be_read_is_found_and_done_again(patient):
    erasure = decided(patient)
    now = timezone.now()
    running.advance(erasure.pk, at=now)
    Patient.objects.filter(pk=patient.pk).update(name_birth_index="0" * 16)

    assert running.conclude_due(verify=cold, at=now) == 0

    erasure.refresh_from_db()
    assert (erasure.state, erasure.fault) == (State.BEGUN, "legible")
    assert steps(patient, outcome="failed") == ["done"]
    later = now + timedelta(minutes=10)
    running.advance(erasure.pk, at=later)
    running.conclude_due(verify=cold, at=later)
    erasure.refresh_from_db()
    assert (erasure.state, erasure.fault) == (State.DONE, "")


def spoil_key(patient):
    suite, epoch = data_keys.epochs.configured_suite(), data_keys.epochs.active()
    data_keys.new_key(patient.pk, 9, suite=suite, epoch=epoch).save()


def spoil_copy(patient):
    """As a process that had read the key before it was destroyed."""
    spoil_key(patient)
    request = asked_for_copy(patient)
    RightsCopy(request=request, patient=patient.pk, packed="all that is held").save()


def spoil_account(patient):
    other = onboard(Person("李四", 2, "E12345678"), openid="o" + "l" * 27)
    QuerySet(WechatAccount).filter(patient=other).update(patient=patient)


@pytest.mark.parametrize(
    ("spoil", "found"),
    [
        (spoil_key, "crypto.datakey"),
        (spoil_account, "patients.wechataccount.openid_index"),
        (spoil_copy, "privacy.rightscopy.packed"),
        (
            lambda one: Patient.objects.filter(pk=one.pk).update(document_index_b="0" * 32),
            "patients.patient.document_index_b",
        ),
    ],
)
def test_whatever_is_left_is_named(patient, spoil, found):
    erasure = erase(patient)
    assert verifying.legible(erasure) == []

    spoil(patient)

    assert found in verifying.legible(erasure)


# Two people


def test_the_desk_asks_and_the_privacy_officer_decides(patient, chen, gu):
    facts = asking.stated(patient, None)
    proposal = proposing.ask(asking.TAG, facts, reason="本人申请", by=chen, at=timezone.now())

    with pytest.raises(proposing.NotAllowed):
        proposing.decide(proposal, approves=True, by=chen, at=timezone.now())
    proposing.decide(proposal, approves=True, by=gu, at=timezone.now())
    with transaction.atomic():
        asking.carry_out(proposal, timezone.now())
    Proposal.objects.update(state=Proposal.State.DONE)

    erasure = Erasure.objects.get()
    assert (erasure.subject, erasure.proposal) == (patient.pk, proposal.pk)
    assert erasure.due_at - erasure.decided_at == timedelta(hours=72)
    with pytest.raises(AlreadyDecided):
        proposing.ask(asking.TAG, facts, reason="再次", by=chen, at=timezone.now())


def linked(patient, number="E12345678", openid="o" + "q" * 27):
    """Return another record of the same person, as a colleague judged it."""
    other = onboard(Person("张三", 2, number, ZHANG.born), openid=openid)
    pairs = Likeness.objects.filter(Q(first=other) | Q(second=other))
    assert pairs.update(state=Likeness.State.LINKED)
    return other


def approved(facts, chen, gu):
    now = timezone.now()
    proposal = proposing.ask(asking.TAG, facts, reason="本人申请", by=chen, at=now)
    return proposing.decide(proposal, approves=True, by=gu, at=now)


def test_who_has_two_records_is_forgotten_in_both(patient, chen, gu):
    other = linked(patient)
    facts = asking.stated(patient, None)
    assert other.number in asking.told(facts, {})

    with transaction.atomic(), recorded():
        asking.carry_out(approved(facts, chen, gu), timezone.now())

    assert set(Erasure.objects.values_list("subject", flat=True)) == {patient.pk, other.pk}


def test_a_record_nobody_approved_is_not_taken_along(patient, chen, gu):
    proposal = approved(asking.stated(patient, None), chen, gu)
    linked(patient)

    with pytest.raises(asking.Relinked), transaction.atomic():
        asking.carry_out(proposal, timezone.now())

    assert not Erasure.objects.exists()


def test_a_hold_on_one_of_two_records_keeps_both(patient, chen):
    hold(linked(patient), timezone.now())

    with pytest.raises(holding.Held):
        asking.check(asking.stated(patient, None), timezone.now())


def test_what_the_privacy_officer_reads_names_no_name(patient):
    told = asking.told(asking.stated(patient, None), {})

    assert patient.number in told
    assert "张三" not in told


def test_who_is_held_cannot_even_be_asked_for(patient, chen):
    hold(patient, timezone.now())

    with pytest.raises(holding.Held):
        proposing.ask(
            asking.TAG, asking.stated(patient, None), reason="x", by=chen, at=timezone.now()
        )


# The plan, and that it leaves nothing out


def test_the_plan_counts_every_place_and_changes_nothing(patient):
    furnish(patient)
    before = Event.objects.count()

    plan = {part.label: part for part in planning.plan(patient.pk)}

    assert plan["微信账号"].count == 1
    assert plan["监护人"].count == 1
    assert all(part.outcome or part.remains for part in plan.values())
    assert Event.objects.count() == before
    assert Patient.objects.get().real_name == "张三"


def test_every_table_that_names_a_patient_is_a_place_or_says_why_not(db):
    assert [one for one in run_checks() if str(one.id).startswith("privacy.")] == []


@pytest.mark.parametrize("name", ["patients.wechataccount", "faceauth.consent"])
def test_a_table_nobody_registered_is_an_error(name, monkeypatch):
    monkeypatch.delitem(subjects._PLACES, name)

    [found] = [one for one in run_checks() if one.id == "privacy.E001"]

    assert name in found.msg
