"""A notice comes into force by two people, as it was when it was asked for."""

import json

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from faceauth import consent, enforcing
from faceauth.models import Notice
from hospital.audit import proposing
from hospital.audit.models import Event, Proposal
from hospital.audit.proposing import NotAllowed
from hospital.audit.recording import SYSTEM
from tests import signing_in
from tests.hospital.aged import HERE, carried_out, kept
from tests.hospital.notarised import House


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    return kept(House(tmp_path, now=timezone.now()), settings)


@pytest.fixture
def draft(db):
    return Notice.objects.create(
        version=9,
        title="刷脸建档告知书",
        text="……",
        purposes=[{"code": "onboarding", "label": "建档", "required": True}],
        fallback="请到人工窗口",
    )


def ask(notice, by):
    facts = enforcing.stated(notice)
    return proposing.ask("notice.enforce", facts, reason="新增目的", by=by, at=timezone.now())


def test_who_wrote_it_asks_and_another_approves(house, draft, gu, mei):
    proposal = carried_out(house, ask(draft, gu), mei)

    draft.refresh_from_db()
    assert proposal.state == "done"
    assert draft.in_force_from is not None
    facts = json.loads(Event.objects.get(action="notice.enforce").payload)["facts"]
    assert facts == {
        "version": 9,
        "digest": draft.digest,
        "digest_sm3": draft.digest_sm3,
        "proposal": str(proposal.pk),
    }


def test_nobody_does_both(draft, gu, mei):
    with pytest.raises(NotAllowed):
        ask(draft, mei)
    with pytest.raises(NotAllowed):
        proposing.decide(ask(draft, gu), approves=True, by=gu, at=timezone.now())


def test_a_draft_that_was_edited_is_not_what_was_approved(house, draft, gu, mei):
    asked = ask(draft, gu)
    draft.text = "另一份"
    draft.save()

    carried_out(house, asked, mei)

    draft.refresh_from_db()
    assert draft.in_force_from is None
    assert asked.state != "done"


def test_a_text_changed_behind_its_digest_is_not_asked_for(draft, gu):
    Notice.objects.update(text="另一份")

    with pytest.raises(enforcing.NoticeChanged):
        ask(draft, gu)


def test_what_is_in_force_already_is_not_asked_for(draft, gu):
    consent.enforce(draft, by=SYSTEM, at=timezone.now())

    with pytest.raises(consent.AlreadyInForce):
        ask(draft, gu)


def test_it_is_asked_for_on_a_page_and_decided_on_another(draft, gu, mei):
    desk = Client()
    desk.force_login(gu)
    signing_in.step_up(desk, gu)
    page = reverse("admin:faceauth_notice_enforcement", args=[draft.pk])

    assert draft.digest_sm3 in desk.get(page).content.decode()
    assert desk.post(page, {"note": "新增目的"}).status_code == 302

    asked = Proposal.objects.get()
    assert asked.facts == enforcing.stated(draft)
    shown = desk.get(reverse("admin:faceauth_notice_change", args=[draft.pk])).content.decode()
    assert "未办结的申请" in shown
    other = Client()
    other.force_login(mei)
    decision = other.get(reverse("admin:audit_proposal_change", args=[asked.pk])).content.decode()
    assert draft.digest in decision


def test_the_list_brings_nothing_into_force(draft, gu):
    desk = Client()
    desk.force_login(gu)
    page = reverse("admin:faceauth_notice_changelist")

    desk.post(page, {"action": "enforce", "_selected_action": str(draft.pk)})

    draft.refresh_from_db()
    assert draft.in_force_from is None
