"""权利请求: taken, identity checked, answered by somebody else in time, and all of it on record."""

from dataclasses import replace
from datetime import date, datetime, timedelta

import pytest
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from faceauth import withdrawal
from hospital import policy
from hospital.accounts.models import PolicyChoice
from hospital.audit import stated
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.labels import Label, NotCleared
from hospital.patients import correcting
from hospital.patients.correcting import TellsWho
from hospital.patients.models import Correction, Identification, Patient
from hospital.privacy import answering, rights
from hospital.privacy.erasing import asking
from hospital.privacy.models import Disclosure, Erasure, LegalHold, RightsRequest
from tests.conftest import recorded
from tests.hospital.test_correcting import ZHANG, onboard

Applicant = RightsRequest.Applicant
Evidence = Identification.Evidence
Kind = RightsRequest.Kind
Refused = RightsRequest.Refused
State = RightsRequest.State

SUNDAY = datetime(2026, 11, 22, 10, tzinfo=timezone.get_fixed_timezone(480))


def now():
    return timezone.now()


@pytest.fixture
def patient(db):
    return onboard()


@pytest.fixture
def ask(patient, chen):
    def take(kind=Kind.ACCESS, *, applicant=Applicant.SELF, at=None):
        return rights.open_request(
            patient, kind, applicant=applicant, by=chen, at=at or timezone.now()
        )

    return take


@pytest.fixture
def checked(ask, chen):
    """A request whose applicant showed their document to 陈."""

    def take(kind=Kind.ACCESS):
        request = ask(kind)
        rights.verify(request, evidence=Evidence.ORIGINAL, by=chen, at=now())
        return request

    return take


def facts_of(action):
    event = Event.objects.filter(action=action).latest("id")
    return stated.facts(event.payload)


def test_a_request_is_taken_at_a_campus_and_its_clock_runs(ask, patient):
    with recorded():
        request = ask()

    assert (request.state, request.campus) == (State.OPEN, "main")
    assert facts_of("rights.open") == {
        "kind": "access",
        "patient": str(patient.pk),
        "applicant": "self",
        "due": f"{request.due_on:%Y%m%d}",
    }


def test_it_is_due_after_fifteen_working_days(ask):
    assert ask(at=SUNDAY).due_on == date(2026, 12, 11)


def test_a_hospital_may_be_quicker(ask):
    PolicyChoice.objects.create(key="RIGHTS_WORKING_DAYS", value=3, set_at=now())
    policy.forget()

    assert ask(at=SUNDAY).due_on == date(2026, 11, 25)


def test_holidays_do_not_make_it_later_than_thirty_days(ask, settings):
    settings.HOLIDAYS = frozenset(date(2026, 11, 23) + timedelta(days) for days in range(40))

    assert ask(at=SUNDAY).due_on == date(2026, 12, 22)


def test_the_same_is_not_asked_twice_at_once(ask):
    ask()

    with pytest.raises(rights.AlreadyOpen):
        ask()
    ask(Kind.COPY)


def test_relatives_of_the_dead_may_not_withdraw_for_them(ask):
    ask(Kind.ACCESS, applicant=Applicant.RELATIVE)

    with pytest.raises(rights.NotTheirs):
        ask(Kind.WITHDRAW, applicant=Applicant.RELATIVE)


def test_nothing_is_answered_before_the_identity_was_checked(ask, gu):
    with pytest.raises(rights.NotOpen):
        answering.grant(ask(), by=gu, at=now())


def test_who_applies_shows_who_they_are(ask, chen):
    request = ask()
    with recorded():
        rights.verify(request, evidence=Evidence.READER, by=chen, at=now())

    assert (request.state, request.verified_by) == (State.VERIFIED, chen.pk)
    with pytest.raises(rights.NotOpen):
        rights.verify(request, evidence=Evidence.READER, by=chen, at=now())


@pytest.mark.parametrize(
    ("applicant", "evidence"),
    [
        (Applicant.SELF, Evidence.STATED),
        (Applicant.SELF, Evidence.COPY),
        (Applicant.GUARDIAN, Evidence.ORIGINAL),
    ],
)
def test_a_word_is_no_evidence(ask, chen, applicant, evidence):
    request = ask(applicant=applicant)

    with pytest.raises(rights.Unproven):
        rights.verify(request, evidence=evidence, by=chen, at=now())


@pytest.mark.parametrize("applicant", [Applicant.AGENT, Applicant.RELATIVE])
def test_who_asks_for_another_shows_that_they_may(ask, chen, applicant):
    request, desk = ask(applicant=applicant), seated(chen)
    assert "ground_shown" in desk.get(right(request)).text

    told = desk.post(right(request, "-verify"), {"evidence": "reader"}, follow=True).text
    assert rights.NoGround.message in told
    shown = {"evidence": "reader", "ground_shown": "on"}
    desk.post(right(request, "-verify"), shown, follow=True)

    request.refresh_from_db()
    assert request.state == State.VERIFIED
    assert facts_of("rights.verify") == {"evidence": "reader", "ground_shown": True}


def test_who_checked_the_identity_does_not_answer(checked, chen):
    request = checked()

    with pytest.raises(answering.SamePerson):
        answering.grant(request, by=chen, at=now())
    with pytest.raises(IntegrityError), transaction.atomic():
        RightsRequest.objects.filter(pk=request.pk).update(answered_by=chen.pk)


def test_what_was_told_is_in_the_ledger(checked, patient, gu):
    request = checked()
    with recorded():
        answering.grant(request, by=gu, at=now())

    assert (request.state, request.answered_by) == (State.DONE, gu.pk)
    told = Disclosure.objects.get()
    assert (told.recipient, told.subject) == (Disclosure.Recipient.SUBJECT, patient.pk)
    assert "patients.patient" in told.fields


def test_an_answer_is_given_once(checked, gu):
    request = checked()
    answering.grant(request, by=gu, at=now())

    with pytest.raises(rights.NotOpen):
        answering.grant(request, by=gu, at=now())
    with pytest.raises(rights.NotOpen):
        answering.refuse(request, reason=Refused.UNFOUNDED, note="没有依据", by=gu, at=now())


@pytest.mark.parametrize(("reason", "note"), [(None, "没有依据"), (Refused.LAW, "  ")])
def test_a_refusal_needs_a_clause_and_a_sentence(checked, gu, reason, note):
    with pytest.raises(answering.NoReason):
        answering.refuse(checked(), reason=reason, note=note, by=gu, at=now())


@pytest.mark.parametrize("note", ["张三的病历不在这里", "见 11010119900307002X"])
def test_a_refusal_names_nobody(checked, gu, note):
    with pytest.raises(TellsWho):
        answering.refuse(checked(), reason=Refused.RECORD, note=note, by=gu, at=now())


def test_an_identity_that_cannot_be_checked_is_refused(ask, gu):
    request = ask()
    with recorded():
        answering.refuse(request, reason=Refused.IDENTITY, note="没有出示证件", by=gu, at=now())

    assert (request.state, request.refused) == (State.REFUSED, Refused.IDENTITY)
    assert facts_of("rights.answer")["code"] == "identity"
    assert "证件" not in Event.objects.latest("id").payload


def test_restricting_follows_from_the_answer(checked, patient, gu):
    request = checked(Kind.RESTRICT)
    with recorded():
        answering.grant(request, by=gu, at=now())

    assert Patient.objects.get(pk=patient.pk).restricted_at is not None
    assert request.state == State.DONE
    assert facts_of("patient.restrict")["request"] == str(request.pk)


def test_a_correction_is_answered_once_it_was_made(checked, patient, chen, sun, gu):
    request = checked(Kind.CORRECT)
    asked = correcting.ask(
        patient,
        replace(ZHANG, real_name="张山"),
        evidence=Evidence.ORIGINAL,
        reason="读错了字",
        by=chen,
        at=now(),
        today=timezone.localdate(),
    )
    with pytest.raises(answering.NotCorrected):
        answering.grant(request, by=gu, at=now())

    correcting.approve(asked, by=sun, at=now())
    answering.grant(request, by=gu, at=now())

    assert request.state == State.DONE


def test_a_correction_of_before_answers_nothing(checked, patient, gu):
    Correction.objects.create(
        patient=patient,
        state=Correction.State.DONE,
        document_type=1,
        evidence=Evidence.ORIGINAL,
        reason="读错了字",
        asked_by=gu.pk,
        asked_at=now(),
        decided_at=now(),
    )
    with pytest.raises(answering.NotCorrected):
        answering.grant(checked(Kind.CORRECT), by=gu, at=now())


def test_a_withdrawal_is_answered_once_it_was_made(checked, patient, chen, gu):
    request = checked(Kind.WITHDRAW)
    with pytest.raises(answering.NotWithdrawn):
        answering.grant(request, by=gu, at=now())

    withdrawal.withdraw(patient, by=chen, at=now())
    answering.grant(request, by=gu, at=now())

    assert request.state == State.DONE


def test_an_erasure_is_answered_once_two_people_decided(checked, patient, gu):
    request = checked(Kind.DELETE)
    with pytest.raises(answering.Undecided):
        answering.grant(request, by=gu, at=now())

    with recorded():
        answering.erasure_decided(request.pk, patient=patient.pk, by=gu.pk, at=now())

    request.refresh_from_db()
    assert (request.state, request.answered_by) == (State.DONE, gu.pk)


def test_a_cancelled_erasure_is_no_answer(checked, patient, gu):
    request = checked(Kind.DELETE)
    Erasure.objects.create(
        subject=patient.pk,
        cause=Erasure.Cause.REQUEST,
        state=Erasure.State.CANCELLED,
        decided_at=now(),
        due_at=now(),
    )

    with pytest.raises(answering.Undecided):
        answering.grant(request, by=gu, at=now())


def test_a_hold_suggests_why_an_erasure_is_refused(checked, patient):
    request, other = checked(Kind.DELETE), checked(Kind.ACCESS)
    assert answering.suggested(request, at=now()) is None
    LegalHold.objects.create(
        patient=patient,
        until=timezone.localdate() + timedelta(days=1),
        placed_at=now(),
        proposal=request.pk,
    )

    assert answering.suggested(request, at=now()) == Refused.HOLD
    assert answering.suggested(other, at=now()) is None


def test_an_applicant_may_take_it_back(checked, chen):
    request = checked()
    with recorded():
        rights.withdraw(request, by=chen, at=now())

    assert request.state == State.WITHDRAWN
    with pytest.raises(rights.NotOpen):
        rights.withdraw(request, by=chen, at=now())


def test_what_is_late_is_an_alert_once(ask):
    request = ask(at=SUNDAY)
    last = SUNDAY.replace(month=12, day=11, hour=23, minute=59)

    assert rights.raise_late(at=last) == 0
    with recorded():
        assert rights.raise_late(at=last + timedelta(minutes=1)) == 1
    assert rights.raise_late(at=last + timedelta(days=9)) == 0
    event = Event.objects.get(action="rights.late")
    assert (event.object_id, stated.said(event.payload)["severity"]) == (str(request.pk), "alert")


def test_what_was_answered_is_not_late(checked, gu):
    request = checked()
    answering.grant(request, by=gu, at=now())

    assert rights.raise_late(at=now() + timedelta(days=60)) == 0


def test_a_registrar_sees_their_own_campus_and_the_privacy_officer_all(ask, chen, wu, gu):
    request = ask()

    assert list(rights.seen_by(chen)) == list(rights.waiting(gu)) == [request]
    assert list(rights.seen_by(wu)) == []
    chen.clearance = Label.INTERNAL
    with pytest.raises(NotCleared):
        rights.seen_by(chen)


# The pages


def seated(person):
    client = Client()
    client.force_login(person)
    return client


def right(request, step=""):
    return reverse(f"desk:right{step}", args=[request.pk])


def test_a_request_goes_through_its_pages(patient, chen, gu):
    desk, office = seated(chen), seated(gu)
    opening = reverse("desk:rights-open", args=[patient.pk])
    assert opening in desk.get(reverse("desk:patient", args=[patient.pk])).text
    desk.post(opening, {"kind": "restrict", "applicant": "self"})
    request = RightsRequest.objects.get()

    assert "身份已核验" in desk.get(right(request)).text
    assert "等待登记员核验申请人身份" in office.get(right(request)).text
    desk.post(right(request, "-verify"), {"evidence": "original"})
    assert "限制处理，办结" in office.get(right(request)).text
    office.post(right(request, "-answer"), {"decision": "grant"})

    request.refresh_from_db()
    assert request.state == State.DONE
    shown = desk.get(reverse("desk:patient", args=[patient.pk])).text
    assert "限制处理：自" in shown
    assert "查看明文的用途" not in shown


def test_what_is_held_is_shown_once_the_identity_was_checked(ask, chen):
    request = ask()
    assert "本系统保存的个人信息" not in seated(chen).get(right(request)).text
    rights.verify(request, evidence=Evidence.ORIGINAL, by=chen, at=now())

    shown = seated(chen).get(right(request)).text

    assert "本系统保存的个人信息" in shown
    assert "身份核验</dt><dd>1 项" in shown
    assert "张三" not in shown


def test_a_refusal_without_words_stays_on_its_page(ask, gu):
    request = ask()
    answer = seated(gu).post(right(request, "-answer"), {"decision": "refuse", "reason": "law"})

    assert answer.status_code == 200
    assert str(answering.NoReason()) in answer.text
    request.refresh_from_db()
    assert request.state == State.OPEN


def test_each_sees_their_own_buttons(checked, chen, gu):
    request = checked()
    at_desk, in_office = (seated(one).get(right(request)).text for one in (chen, gu))

    assert "申请人撤回" in at_desk
    assert 'value="refuse"' not in at_desk
    assert "申请人撤回" not in in_office
    assert 'value="refuse"' in in_office
    for step in ("-verify", "-withdraw"):
        assert seated(gu).post(right(request, step)).status_code == 403
    assert seated(chen).post(right(request, "-answer")).status_code == 403


def test_home_says_what_waits_and_how_long_there_is(ask, checked, chen, gu):
    ask(Kind.COPY, at=now() - timedelta(days=60))
    checked(Kind.RESTRICT)

    board, home = (seated(one).get(reverse("admin:index")).text for one in (chen, gu))

    assert "复制，已逾期" in board
    assert "请核对申请人的证件" in board
    assert "待答复：限制处理" in home
    assert "待答复：复制" not in home
    assert "未办结的权利请求" in home


def test_the_list_shows_the_most_urgent_first(ask, chen, wu):
    late, fresh = ask(Kind.COPY, at=now() - timedelta(days=60)), ask()

    shown = seated(chen).get(reverse("desk:rights")).text

    assert shown.index(str(late.pk)) < shown.index(str(fresh.pk))
    assert "已逾期" in shown
    assert str(late.pk) not in seated(wu).get(reverse("desk:rights")).text
    assert seated(wu).get(right(late)).status_code == 404


def test_an_erasure_asked_for_with_a_request_answers_it(checked, patient, chen, gu):
    request = checked(Kind.DELETE)
    with transaction.atomic():
        proposal = Proposal.objects.create(
            kind=asking.TAG,
            facts=asking.stated(patient, request.pk),
            reason="本人申请",
            asked_by=chen.pk,
            asked_at=now(),
            decided_by=gu.pk,
            decided_at=now(),
            expires_at=now() + timedelta(days=1),
        )
    with recorded(), transaction.atomic():
        asking.carry_out(proposal, now())

    request.refresh_from_db()
    assert (request.state, request.answered_by) == (State.DONE, gu.pk)
    shown = seated(chen).get(reverse("desk:patient", args=[patient.pk])).text
    assert "已决定删除，冷静期至" in shown
