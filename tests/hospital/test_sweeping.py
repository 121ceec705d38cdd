"""What is past its period goes, what is not stays, and a legal hold is before both."""

import json
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
from django.apps import apps
from django.core.management import CommandError, call_command
from django.db import connection, transaction
from django.utils import timezone
from uuid6 import uuid7

from devices.models import StoredAnswer, TerminalRequest
from faceauth.models import Consent, Declining, FaceSession
from hospital import retention
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.categories import CATEGORIES, Unit, before
from hospital.crypto import data_keys
from hospital.patients import lapsing
from hospital.patients.documents import DocumentType
from hospital.patients.enrolment import Person, enrol
from hospital.patients.models import (
    Correction,
    HandOff,
    Identification,
    Likeness,
    Patient,
    Registration,
    Reveal,
    WechatAccount,
    WechatUnion,
)
from hospital.privacy import holding, sweeping, tasks
from hospital.privacy.models import (
    Assessment,
    Disclosure,
    Erasure,
    Incident,
    LegalHold,
    Notification,
    RetentionRule,
    RetentionRun,
    RightsRequest,
)
from tests.conftest import recorded
from tests.hospital.aged import HERE
from tests.locks import until_waited_for

# Half past eight in the evening of a leap day, as people see it.
NOW = datetime(2028, 2, 29, 12, 30, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)
STAFF = uuid7()


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


def sweep(at=NOW, **how):
    return sweeping.sweep(clock=lambda: at, **how)


def patient(name="李四", number="110101199003072211", at=NOW):
    person = Person(name, DocumentType.RESIDENT, number)
    return enrol(person, accounts={}, campus="main", at=at)[0]


def consent(notice, kiosk, at, **said):
    said = {"granted": True, "purposes": ["onboarding"]} | said
    return Consent.objects.create(
        notice=notice, notice_digest=notice.digest, terminal=kiosk.terminal, at=at, **said
    )


def session(notice, kiosk, ended, **said):
    return FaceSession.objects.create(
        terminal=kiosk.terminal,
        consent=consent(notice, kiosk, ended),
        state=FaceSession.State.FAILED,
        opened_at=ended,
        finished_at=ended,
        **said,
    )


def registration(entered, **said):
    said = {"state": Registration.State.WAITING} | said
    return Registration.objects.create(
        cause=Registration.Cause.UNABLE,
        evidence=Identification.Evidence.ORIGINAL,
        campus="main",
        document_type=DocumentType.RESIDENT,
        real_name="王五",
        document_number="110101199003078899",
        entered_by=STAFF,
        entered_at=entered,
        **said,
    )


def correction(whose, asked, **said):
    return Correction.objects.create(
        patient=whose,
        real_name="李肆",
        document_type=DocumentType.RESIDENT,
        document_number="110101199003072211",
        evidence=Identification.Evidence.ORIGINAL,
        reason="同音字",
        asked_by=STAFF,
        asked_at=asked,
        **said,
    )


def request_of(whose, **said):
    return RightsRequest.objects.create(
        kind=RightsRequest.Kind.ACCESS,
        patient=whose,
        campus="main",
        applicant=RightsRequest.Applicant.SELF,
        opened_by=STAFF,
        opened_at=NOW - timedelta(days=4000),
        due_on=NOW.date(),
        **said,
    )


def incident(closed, number="IR-20280229-01"):
    return Incident.objects.create(
        number=number,
        kind=Incident.Kind.LOSS,
        level=Incident.Level.GENERAL,
        state=Incident.State.CLOSED,
        summary="丢失一台终端",
        found_at=closed,
        opened_by=STAFF,
        opened_at=closed,
        closed_at=closed,
        conclusion="已找回",
    )


def hold(whose, until=None, **said):
    return LegalHold.objects.create(
        patient=whose,
        until=until or (NOW + timedelta(days=30)).date(),
        placed_at=NOW - timedelta(days=4000),
        proposal=uuid7(),
        **said,
    )


def erasure(subject, done):
    return Erasure.objects.create(
        subject=subject,
        cause=Erasure.Cause.REQUEST,
        state=Erasure.State.DONE,
        decided_at=done,
        due_at=done,
        done_at=done,
    )


def likeness(first, second):
    first, second = sorted((first, second), key=lambda one: one.pk)
    return Likeness.objects.create(
        kind=Likeness.Kind.EXACT,
        state=Likeness.State.LINKED,
        first=first,
        second=second,
        found_at=NOW - timedelta(days=4000),
        decided_at=NOW - timedelta(days=4000),
    )


# Every category has somebody who sweeps it.


def test_no_category_is_forgotten():
    swept = {one.category for one in sweeping.sweeps()}

    assert swept | sweeping.ELSEWHERE.keys() == {one.key for one in CATEGORIES}
    assert not swept & sweeping.ELSEWHERE.keys()


# To the moment: what is as old as its period stays, what is older by a moment goes.


def of_session(at, notice, kiosk):
    return session(notice, kiosk, at)


def of_consent(at, notice, kiosk):
    return consent(notice, kiosk, at, granted=False)


def of_withdrawn_consent(at, notice, kiosk):
    long_ago = NOW - timedelta(days=4000)
    return consent(notice, kiosk, long_ago, patient=uuid7(), withdrawn_at=at)


def of_consent_of_the_forgotten(at, notice, kiosk):
    given = consent(notice, kiosk, NOW - timedelta(days=4000), patient=uuid7())
    erasure(given.patient, at)
    return given


def of_registration(at, notice, kiosk):
    return registration(at - timedelta(days=1), state=Registration.State.DONE, looked_at=at)


def of_correction(at, notice, kiosk):
    asked = at - timedelta(days=1)
    return correction(patient(), asked, state=Correction.State.REFUSED, decided_at=at)


def of_likeness(at, notice, kiosk):
    first, second = patient(), patient("王五", "110101199003078899")
    erasure(second.pk, at)
    return likeness(first, second)


def of_wechat_account(at, notice, kiosk):
    return WechatAccount.objects.create(
        patient=patient(), appid="wx1", openid="o1", created_at=at - MOMENT, last_used_at=at
    )


def of_wechat_union(at, notice, kiosk):
    return WechatUnion.objects.create(patient=patient(), union_id="u1", created_at=at)


def of_rights(at, notice, kiosk):
    answered = {"state": RightsRequest.State.DONE, "verified_at": at, "answered_at": at}
    return request_of(uuid7(), **answered)


def of_disclosure(at, notice, kiosk):
    recipient = Disclosure.Recipient.HIS
    return Disclosure.objects.create(recipient=recipient, purpose="handoff", subject=uuid7(), at=at)


def of_assessment(at, notice, kiosk):
    return Assessment.objects.create(
        reference="PIA-1",
        digest="0" * 64,
        notice_version=1,
        purposes=[],
        approved_at=at,
        review_on=at.date(),
        ended_at=at,
    )


def of_incident(at, notice, kiosk):
    one = incident(at)
    Notification.objects.create(
        incident=one, recipient=Notification.Recipient.MANAGEMENT, due_at=at
    )
    return one


def of_hold(at, notice, kiosk):
    return hold(patient(), lifted_at=at)


def of_retention_run(at, notice, kiosk):
    return RetentionRun.objects.create(state=RetentionRun.State.DONE, started_at=at, finished_at=at)


def of_request_log(at, notice, kiosk):
    return TerminalRequest.objects.create(
        terminal=kiosk.terminal, at=at, method="GET", route="notice", status=200, ms=1
    )


def of_stored_answer(at, notice, kiosk):
    return StoredAnswer.objects.create(
        terminal=kiosk.terminal, key="k", fingerprint="f", created_at=at
    )


GOING = [
    ("session", of_session),
    ("consent", of_consent),
    ("consent", of_withdrawn_consent),
    ("consent", of_consent_of_the_forgotten),
    ("registration", of_registration),
    ("registration", of_correction),
    ("registration", of_likeness),
    ("wechat_account", of_wechat_account),
    ("wechat_account", of_wechat_union),
    ("rights", of_rights),
    ("disclosure", of_disclosure),
    ("assessment", of_assessment),
    ("incident", of_incident),
    ("hold", of_hold),
    ("retention_run", of_retention_run),
    ("request_log", of_request_log),
    ("stored_answer", of_stored_answer),
]


@pytest.mark.parametrize(("key", "made"), GOING)
def test_what_is_as_old_as_its_period_stays_and_what_is_older_goes(key, made, notice, kiosk):
    row = made(retention.cutoff(key, NOW), notice, kiosk)

    sweep()
    assert type(row).objects.filter(pk=row.pk).exists()

    with recorded():
        run = sweep(NOW + MOMENT)
    assert not type(row).objects.filter(pk=row.pk).exists()
    assert run.counts[key] == {"due": 1, "gone": 1, "held": 0}
    [event] = Event.objects.filter(action="retention.sweep")
    facts = json.loads(event.payload)["facts"]
    assert (facts["category"], facts["count"], facts["run"]) == (key, 1, str(run.pk))


def test_looks_in_clear_are_counted_for_two_days(chen):
    old = Reveal.objects.create(staff=chen, at=NOW - timedelta(days=2) - MOMENT)
    young = Reveal.objects.create(staff=chen, at=NOW - timedelta(days=2))

    sweep()

    assert [one.pk for one in Reveal.objects.all()] == [young.pk] != [old.pk]


@pytest.mark.parametrize(
    ("at", "cutoff"),
    [
        ("2028-08-29T08:00:00+00:00", "2028-02-29T08:00:00+00:00"),
        ("2028-08-31T08:00:00+00:00", "2028-02-29T08:00:00+00:00"),
        ("2027-08-31T08:00:00+00:00", "2027-02-28T08:00:00+00:00"),
        ("2028-02-29T08:00:00+00:00", "2027-08-29T08:00:00+00:00"),
        ("2027-03-31T08:00:00+00:00", "2026-09-30T08:00:00+00:00"),
    ],
)
def test_six_months_of_a_session_are_calendar_months(at, cutoff, notice, kiosk):
    rule(key="session", value=6)
    at, cutoff = datetime.fromisoformat(at), datetime.fromisoformat(cutoff)
    young = session(notice, kiosk, cutoff)
    session(notice, kiosk, cutoff - timedelta(days=1))

    sweep(at)

    assert [one.pk for one in FaceSession.objects.all()] == [young.pk]


def rule(*, key, value):
    RetentionRule.objects.create(category=key, value=value, proposal=uuid7(), changed_at=NOW)
    retention.forget()


# Nothing within its period goes: whatever is decided, whenever it is swept.


@pytest.mark.parametrize("one", CATEGORIES, ids=lambda one: one.key)
def test_no_decision_brings_a_period_below_its_line(one):
    rule(key=one.key, value=max(0, one.least - 1))

    assert retention.cutoff(one.key, NOW) <= before(NOW, one.least, one.unit)


@pytest.mark.parametrize("age", [0, 1, 29, 180, 184, 365, 1094, 1095])
def test_a_sweep_never_takes_what_is_within_its_period(age, notice, kiosk):
    at = NOW - timedelta(days=age)
    kept = []
    for key, made in GOING:
        if key in {"incident", "assessment", "registration", "wechat_account", "hold"}:
            continue  # of these there is one of a kind, and each has its moment above
        row = made(at, notice, kiosk)
        if at >= retention.cutoff(key, NOW):
            kept.append(row)

    sweep()

    assert all(type(row).objects.filter(pk=row.pk).exists() for row in kept)


# What a visit holds for a moment.


def holding_something(notice, kiosk, *, came, state=FaceSession.State.AUTHORIZED, **held):
    one = FaceSession.objects.create(
        terminal=kiosk.terminal,
        consent=consent(notice, kiosk, came),
        state=state,
        opened_at=came - timedelta(minutes=9),
        finished_at=came if state in FaceSession.FINAL else None,
        **held,
    )
    action = Action.WECHAT_ANSWER if "answer" in held else Action.SESSION_SEE
    record(action, by=SYSTEM, on=one, at=came)
    return one


@pytest.mark.parametrize(
    ("held", "limit"),
    [
        ({"face_sid": "s" * 32}, timedelta(hours=24)),
        ({"face_sid": "s" * 32, "answer": "{}"}, timedelta(minutes=10)),
    ],
)
def test_what_a_visit_holds_too_long_is_dropped_and_it_fails(held, limit, notice, kiosk):
    one = holding_something(notice, kiosk, came=NOW - limit, **held)
    sweep()
    one.refresh_from_db()
    assert one.state == "authorized"

    with recorded():
        run = sweep(NOW + timedelta(milliseconds=1))

    one.refresh_from_db()
    assert (one.state, one.reason) == ("failed", "retention")
    assert (one.face_sid, one.answer) == (None, None)
    [key] = [key for key, count in run.counts.items() if count["gone"]]
    assert key == ("answer" if "answer" in held else "face_sid")


def test_what_an_ended_visit_still_holds_is_dropped(notice, kiosk):
    long_ago = NOW - timedelta(days=2)
    failed = FaceSession.State.FAILED
    one = holding_something(notice, kiosk, came=long_ago, state=failed, face_sid="s" * 32)

    sweep()

    one.refresh_from_db()
    assert (one.state, one.reason, one.face_sid) == ("failed", "", None)


def test_a_refusal_is_remembered_until_its_day(notice, kiosk):
    Declining.objects.create(openid_index="a" * 32, until=NOW)
    Declining.objects.create(openid_index="b" * 32, until=NOW + MOMENT)

    sweep()

    assert [one.openid_index for one in Declining.objects.all()] == ["b" * 32]


# What nobody confirmed.


def test_what_nobody_looked_at_within_a_day_is_dropped(notice):
    young = registration(NOW - timedelta(hours=24))
    old = registration(NOW - timedelta(hours=24) - MOMENT)

    with recorded():
        sweep()

    young.refresh_from_db()
    old.refresh_from_db()
    assert (young.state, young.real_name) == ("waiting", "王五")
    assert (old.state, old.note) == ("returned", lapsing.NOTE)
    assert (old.real_name, old.document_number, old.birth_date) == (None, None, None)
    [event] = Event.objects.on(old)
    assert (event.action, event.actor_type) == ("registration.decide", "system")


def test_a_correction_nobody_decided_within_a_day_is_taken_back():
    one = correction(patient(), NOW - timedelta(hours=24) - MOMENT)

    with recorded():
        sweep()

    one.refresh_from_db()
    assert (one.state, one.real_name, one.document_number) == ("withdrawn", None, None)


# Identity.


def test_who_was_not_here_for_fifteen_years_is_forgotten():
    visited = before(NOW, 180, Unit.MONTHS)
    one = patient(at=visited)
    sweep()
    assert not Erasure.objects.exists()

    with recorded():
        sweep(NOW + MOMENT)

    [erasing] = Erasure.objects.all()
    assert (erasing.subject, erasing.cause, erasing.due_at) == (one.pk, "retention", NOW + MOMENT)
    assert sweep(NOW + timedelta(days=1)).counts["identity"]["due"] == 0  # decided once


def test_a_visit_begins_the_period_anew():
    one = patient(at=before(NOW, 200, Unit.MONTHS))
    enrol(
        Person("李四", DocumentType.RESIDENT, "110101199003072211"),
        accounts={},
        campus="east",
        at=NOW - timedelta(days=1),
    )

    sweep()

    one.refresh_from_db()
    assert one.last_visit_at == NOW - timedelta(days=1)
    assert not Erasure.objects.exists()


def test_an_account_wechat_recognised_lately_stays_linked():
    account = of_wechat_account(NOW - timedelta(days=4000), None, None)
    union = WechatUnion.objects.create(
        patient=account.patient, union_id="u1", created_at=NOW - timedelta(days=4000)
    )
    WechatAccount.objects.filter(pk=account.pk).update(last_used_at=NOW - timedelta(days=1))

    sweep()

    assert WechatAccount.objects.filter(pk=account.pk).exists()
    assert WechatUnion.objects.filter(pk=union.pk).exists()


# Records that others stand on.


def test_a_consent_somebody_stands_on_has_no_end(notice, kiosk):
    given = consent(notice, kiosk, NOW - timedelta(days=8000), patient=patient().pk)

    sweep()

    assert Consent.objects.filter(pk=given.pk).exists()


def test_a_consent_goes_after_its_visit_and_never_with_it(notice, kiosk):
    one = session(notice, kiosk, NOW - timedelta(days=4000))

    sweep()
    assert not FaceSession.objects.exists()
    assert Consent.objects.filter(pk=one.consent_id).exists()

    sweep(NOW + timedelta(hours=1))
    assert not Consent.objects.filter(pk=one.consent_id).exists()


def test_what_was_decided_of_two_records_holds_as_long_as_both():
    pair = likeness(patient(), patient("王五", "110101199003078899"))

    sweep(NOW + timedelta(days=1))

    assert Likeness.objects.filter(pk=pair.pk).exists()


# Legal holds.


def test_a_hold_keeps_everything_of_its_patient(notice, kiosk):
    one = patient(at=before(NOW, 200, Unit.MONTHS))
    long_ago = NOW - timedelta(days=4000)
    visit = session(notice, kiosk, long_ago, patient=one)
    account = WechatAccount.objects.create(
        patient=one, appid="wx1", openid="o1", created_at=long_ago
    )
    asked = correction(one, long_ago, state=Correction.State.ASKED)
    hold(one)

    with recorded():
        run = sweep()

    assert FaceSession.objects.filter(pk=visit.pk).exists()
    assert WechatAccount.objects.filter(pk=account.pk).exists()
    assert Correction.objects.get(pk=asked.pk).state == "asked"
    assert not Erasure.objects.exists()
    for key in ("session", "wechat_account", "draft", "identity"):
        assert run.counts[key] == {"due": 0, "gone": 0, "held": 1}


def test_a_hold_is_over_after_its_day_and_no_moment_before():
    one = patient(at=before(NOW, 200, Unit.MONTHS))
    placed = hold(one, until=datetime(2028, 2, 29, tzinfo=UTC).date())
    last = datetime(2028, 2, 29, 15, 59, 59, tzinfo=UTC)  # a second to midnight, as people see it

    sweep(last)
    assert holding.end_past(at=last) == 0
    assert not Erasure.objects.exists()

    with recorded():
        assert holding.end_past(at=last + timedelta(seconds=1)) == 1
        sweep(last + timedelta(seconds=1))
    placed.refresh_from_db()
    assert placed.lifted_at == last + timedelta(seconds=1)
    assert Erasure.objects.filter(subject=one.pk).exists()
    [event] = Event.objects.filter(action="hold.lift")
    assert json.loads(event.payload)["facts"]["code"] == "ended"


def sweep_aside():
    try:
        return sweep()
    finally:
        connection.close()


@pytest.mark.postgresql
def test_a_batch_waits_for_a_hold_that_is_being_placed(transactional_db):
    one = patient()
    told = Disclosure.objects.create(
        recipient=Disclosure.Recipient.HIS,
        purpose="handoff",
        subject=one.pk,
        at=NOW - timedelta(days=4000),
    )
    with ThreadPoolExecutor(1) as aside:
        with transaction.atomic():
            Patient.objects.select_for_update().get(pk=one.pk)  # as `placing` does
            sweeping_ = aside.submit(sweep_aside)
            until_waited_for(sweeping_.done)
            hold(one)
        run = sweeping_.result()

    assert Disclosure.objects.filter(pk=told.pk).exists()
    assert run.counts["disclosure"]["gone"] == 0


# A sweep, as a whole.


def full_of_old_things(notice, kiosk, chen):
    long_ago = NOW - timedelta(days=7000)
    for key, made in GOING:
        if key not in {"wechat_account", "registration", "hold"}:
            made(long_ago, notice, kiosk)
    first = patient(at=long_ago)
    second = patient("王五", "110101199003078899", at=long_ago)
    account = WechatAccount.objects.create(
        patient=first, appid="wx1", openid="o1", created_at=long_ago
    )
    WechatUnion.objects.create(patient=first, union_id="u1", created_at=long_ago)
    registration(long_ago)
    registration(long_ago, state=Registration.State.RETURNED)
    correction(first, long_ago)
    hold(second)
    hold(first, lifted_at=NOW - timedelta(days=3990))
    Reveal.objects.create(staff=chen, at=long_ago)
    holding_something(notice, kiosk, came=long_ago, face_sid="s" * 32)
    holding_something(notice, kiosk, came=long_ago, face_sid="t" * 32, answer="{}")
    return account


def contents():
    with connection.cursor() as cursor:
        tables = [
            name
            for name in connection.introspection.table_names(cursor)
            if name.split("_")[0] in {"faceauth", "patients", "privacy", "devices"}
            or name == "audit_event"
        ]
        found = {}
        for table in tables:
            cursor.execute(f"SELECT * FROM {table} ORDER BY 1")  # noqa: S608 (names of ours)
            found[table] = cursor.fetchall()
    return found


def test_a_dry_run_counts_what_a_real_one_takes_and_changes_nothing(notice, kiosk, chen):
    full_of_old_things(notice, kiosk, chen)
    before_it = contents()

    dry = sweeping.rehearse(at=NOW)

    after = contents()
    assert after.pop("privacy_retentionrun") != before_it.pop("privacy_retentionrun")
    assert after == before_it
    dry.delete()
    real = sweep()
    assert {key: (one["due"], one["held"]) for key, one in dry.counts.items()} == {
        key: (one["gone"], one["held"]) for key, one in real.counts.items()
    }
    assert sum(one["gone"] for one in real.counts.values()) > 15


def test_a_dry_run_lists_each_row_a_real_one_takes(notice, kiosk, chen):
    full_of_old_things(notice, kiosk, chen)
    listed = list(sweeping.listed(at=NOW))
    assert all(is_there(table, pk) for _, table, pk in listed)

    real = sweep()

    assert Counter(key for key, _, _ in listed) == Counter(
        {key: one["gone"] for key, one in real.counts.items() if one["gone"]}
    )
    assert not set(listed) & set(sweeping.listed(at=NOW))


def is_there(table, pk):
    model = next(one for one in apps.get_models() if one._meta.db_table == table)
    return model._base_manager.filter(pk=pk).exists()


def test_the_command_lists_only_beside_a_dry_run(notice, kiosk, chen, capsys):
    full_of_old_things(notice, kiosk, chen)
    with pytest.raises(CommandError, match="--dry-run"):
        call_command("sweepretention", "--list")

    call_command("sweepretention", "--dry-run", "--list")

    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert lines == [list(map(str, one)) for one in sweeping.listed(at=timezone.now())]
    assert lines


def test_a_second_sweep_finds_nothing_and_says_nothing(notice, kiosk, chen):
    full_of_old_things(notice, kiosk, chen)
    sweep()
    sweep()  # the consents whose visit went with the first
    said = Event.objects.count()

    again = sweep()

    assert not any(one["gone"] for one in again.counts.values())
    assert Event.objects.count() == said


def test_there_is_one_sweep_at_a_time(notice):
    RetentionRun.objects.create(started_at=NOW, lease_until=NOW + timedelta(minutes=5))

    with pytest.raises(sweeping.Busy):
        sweep()


def test_what_lives_for_minutes_waits_for_no_other_sweep(notice, kiosk):
    RetentionRun.objects.create(started_at=NOW, lease_until=NOW + timedelta(minutes=5))
    of_stored_answer(NOW - timedelta(hours=25), notice, kiosk)

    run = sweep(scope=RetentionRun.Scope.ARTEFACTS)

    assert (run.state, run.counts["stored_answer"]["gone"]) == ("done", 1)
    with pytest.raises(sweeping.Busy):
        sweep()


def test_a_whole_sweep_that_was_killed_is_not_ended_by_a_partial_one(notice, kiosk):
    session(notice, kiosk, NOW - timedelta(days=4000))
    killed = RetentionRun.objects.create(started_at=NOW - MOMENT, lease_until=NOW - MOMENT)

    assert sweep(scope=RetentionRun.Scope.ARTEFACTS).pk != killed.pk
    killed.refresh_from_db()
    assert killed.state == "running"

    assert sweep().pk == killed.pk
    assert not FaceSession.objects.exists()


# The database refuses to let registrations go; PostgreSQL at the COMMIT, as its guards do.
STUCK = {
    "sqlite": [
        (
            "CREATE TRIGGER stuck BEFORE DELETE ON patients_registration"
            " BEGIN SELECT RAISE(ABORT, 'stuck'); END"
        )
    ],
    "postgresql": [
        (
            "CREATE FUNCTION stuck() RETURNS trigger LANGUAGE plpgsql AS"
            " $$ BEGIN RAISE 'stuck' USING ERRCODE = 'integrity_constraint_violation'; END $$"
        ),
        (
            "CREATE CONSTRAINT TRIGGER stuck AFTER DELETE ON patients_registration"
            " DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION stuck()"
        ),
    ],
}
UNSTUCK = {
    "sqlite": "DROP TRIGGER stuck",
    "postgresql": "DROP FUNCTION stuck CASCADE",
}


@pytest.fixture
def stuck(transactional_db):
    with connection.cursor() as cursor:
        for statement in STUCK[connection.vendor]:
            cursor.execute(statement)
    yield
    with connection.cursor() as cursor:
        cursor.execute(UNSTUCK[connection.vendor])


def test_what_the_database_refuses_keeps_no_other_category_back(stuck, notice, kiosk):
    one = registration(NOW - timedelta(days=4000), state=Registration.State.RETURNED)
    of_disclosure(NOW - timedelta(days=4000), notice, kiosk)

    run = sweep()

    assert Registration.objects.filter(pk=one.pk).exists()
    assert (run.state, run.counts["registration"]["refused"]) == ("failed", "database_error")
    assert run.counts["disclosure"] == {"due": 1, "gone": 1, "held": 0}


def test_a_dry_run_counts_nobody_for_whom_something_was_still_asked():
    one = patient(at=NOW - timedelta(days=60))
    HandOff.objects.create(
        patient=one,
        state=HandOff.State.DONE,
        created_at=NOW - timedelta(days=50),
        acknowledged_at=NOW - timedelta(days=40),
    )
    correction(one, NOW - timedelta(days=30))

    dry, real = sweeping.rehearse(at=NOW), sweep()

    assert {key: count["due"] for key, count in dry.counts.items()} == {
        key: count["gone"] for key, count in real.counts.items()
    }


def test_a_sweep_that_was_killed_is_gone_on_with(notice, kiosk):
    for _ in range(3):
        session(notice, kiosk, NOW - timedelta(days=4000))
    lease, count = NOW - MOMENT, {"session": {"due": 5, "gone": 2, "held": 0}}
    killed = RetentionRun.objects.create(started_at=lease, lease_until=lease, counts=count)

    run = sweep()

    assert (run.pk, run.state) == (killed.pk, "done")
    assert run.counts["session"] == {"due": 5, "gone": 5, "held": 0}


def test_who_lost_the_lease_takes_nothing_more(notice, kiosk):
    session(notice, kiosk, NOW - timedelta(days=4000))

    def taken_over(run):
        RetentionRun.objects.filter(pk=run.pk).update(lease_until=NOW + timedelta(days=1))

    registration(NOW - timedelta(days=4000))  # swept before the visit
    with pytest.raises(sweeping.LeaseLost):
        sweep(told=taken_over)

    assert FaceSession.objects.exists()


def test_of_many_rows_every_batch_is_one_event_that_names_them(notice, kiosk, monkeypatch):
    monkeypatch.setattr(sweeping, "BATCH", 2)
    gone = {str(session(notice, kiosk, NOW - timedelta(days=4000)).pk) for _ in range(5)}

    with recorded():
        sweep()

    events = Event.objects.filter(action="retention.sweep")
    rows = [json.loads(event.payload)["facts"]["rows"] for event in events]
    assert sorted(map(len, rows)) == [1, 2, 2]
    assert {row for batch in rows for row in batch} == gone


def test_what_refuses_is_left_for_the_next_sweep_and_keeps_nobody_back():
    lost, other = patient(), patient("王五", "110101199003078899")
    long_ago = NOW - timedelta(days=400)
    for one in (lost, other):
        HandOff.objects.create(
            patient=one,
            state=HandOff.State.DONE,
            created_at=long_ago,
            acknowledged_at=long_ago,
        )
    data_keys.destroy(lost.pk)  # nothing of theirs opens

    run = sweep()

    assert (run.state, run.counts["identity_after_his"]["gone"]) == ("done", 1)
    assert Patient.objects.get(pk=other.pk).thinned_at == NOW
    assert Patient.objects.get(pk=lost.pk).thinned_at is None


def test_every_minute_only_what_lives_for_minutes_is_asked_for(notice, kiosk):
    session(notice, kiosk, NOW - timedelta(days=4000))
    tasks.sweep_artefacts.apply(throw=True)
    assert not RetentionRun.objects.exists()  # nothing to say, so nothing is said

    of_stored_answer(timezone.now() - timedelta(hours=25), notice, kiosk)
    tasks.sweep_artefacts.apply(throw=True)

    [run] = RetentionRun.objects.all()
    assert run.counts["stored_answer"]["gone"] == 1
    assert "session" not in run.counts
    assert FaceSession.objects.exists()
