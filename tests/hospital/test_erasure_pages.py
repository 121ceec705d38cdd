"""Asking for an erasure at the desk, following and cancelling it: what each sees and may do."""

from datetime import timedelta

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import stepup
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.patients.correcting import TellsWho
from hospital.privacy.erasing import asking
from hospital.privacy.models import Erasure, LegalHold, RightsRequest
from tests.hospital.test_erasing import decided, erase, furnish, nobody_waits, patient

__all__ = ["nobody_waits", "patient"]


def page(staff, *, is_fresh=True):
    client = Client()
    client.force_login(staff)
    if is_fresh:
        session = client.session
        stepup.stamp(session, at=timezone.now())
        session.save()
    return client


def test_the_desk_sees_what_goes_and_what_stays_and_asks(patient, chen):
    furnish(patient)
    wanted = RightsRequest.objects.create(
        kind=RightsRequest.Kind.DELETE,
        state=RightsRequest.State.VERIFIED,
        patient=patient.pk,
        campus="main",
        applicant=RightsRequest.Applicant.SELF,
        opened_by=chen.pk,
        opened_at=timezone.now(),
        verified_at=timezone.now(),
        due_on=timezone.localdate(),
    )
    client, url = page(chen), reverse("desk:erase", args=[patient.pk])

    shown = client.get(url).content.decode()
    answer = client.post(url, {"note": "本人书面申请"})

    assert "微信账号" in shown
    assert "同意记录" not in shown  # none of theirs is kept
    assert "张三" not in shown
    [proposal] = Proposal.objects.all()
    assert proposal.facts == asking.stated(patient, wanted.pk)
    assert proposal.facts["request"] == str(wanted.pk)
    assert answer.url == reverse("admin:audit_proposal_change", args=[proposal.pk])
    assert not Erasure.objects.exists()


def test_that_page_asks_who_is_there(patient, chen):
    answer = page(chen, is_fresh=False).get(reverse("desk:erase", args=[patient.pk]))

    assert answer.status_code == 302
    assert answer.url.startswith(reverse("step-up"))


def test_without_a_reason_nothing_is_asked(patient, chen):
    answer = page(chen).post(reverse("desk:erase", args=[patient.pk]), {"note": ""})

    assert answer.status_code == 200
    assert not Proposal.objects.exists()


@pytest.mark.parametrize("note", ["张三本人申请", "证件 11010119900307002X"])
def test_the_reason_does_not_say_who_it_is(patient, chen, note):
    url = reverse("desk:erase", args=[patient.pk])

    told = page(chen).post(url, {"note": note}, follow=True).content.decode()

    assert TellsWho.message in told
    assert not Proposal.objects.exists()


def test_another_campus_finds_nobody_to_erase(patient, wu):
    assert page(wu).get(reverse("desk:erase", args=[patient.pk])).status_code == 404


def test_who_is_held_or_decided_upon_is_not_asked_for_again(patient, chen):
    client, url = page(chen), reverse("desk:erase", args=[patient.pk])
    now = timezone.now()
    erasure = decided(patient, cooling=timedelta(hours=72))
    assert "已决定删除" in client.get(url).content.decode()
    Erasure.objects.filter(pk=erasure.pk).delete()
    until = timezone.localdate(now) + timedelta(days=9)
    LegalHold.objects.create(patient=patient, until=until, placed_at=now, proposal=patient.pk)

    assert "正在依法保全" in client.get(url).content.decode()
    answer = client.post(url, {"note": "x"}, follow=True)
    assert "正在依法保全" in answer.content.decode()
    assert not Proposal.objects.exists()


def test_the_privacy_officer_follows_it_and_cancels_in_time(patient, gu):
    erasure = decided(patient, cooling=timedelta(hours=72))
    client, url = page(gu), reverse("admin:privacy_erasure_change", args=[erasure.pk])

    shown = client.get(url).content.decode()
    client.post(reverse("admin:privacy_erasure_cancel", args=[erasure.pk]))

    assert patient.number in shown
    assert "取消删除" in shown
    assert "张三" not in shown
    erasure.refresh_from_db()
    assert erasure.state == "cancelled"
    [event] = Event.objects.filter(action="erasure.cancel")
    assert event.actor_id == str(gu.pk)
    assert "取消删除" not in client.get(url).content.decode()


def test_looking_at_the_cancelling_address_cancels_nothing(patient, gu):
    erasure = decided(patient, cooling=timedelta(hours=72))
    url = reverse("admin:privacy_erasure_cancel", args=[erasure.pk])

    assert page(gu).get(url).status_code == 405
    assert page(gu, is_fresh=False).post(url).status_code == 302
    erasure.refresh_from_db()
    assert erasure.state == "cooling"


def test_one_that_is_done_shows_its_steps_and_what_is_left(patient, gu):
    erasure = erase(patient)
    client = page(gu)

    shown = client.get(reverse("admin:privacy_erasure_change", args=[erasure.pk])).content.decode()
    listed = client.get(reverse("admin:privacy_erasure_changelist")).content.decode()

    assert "现在还有什么" in shown
    assert "销毁密钥" in shown
    assert "尚未" not in shown
    assert patient.number in listed


@pytest.mark.parametrize("person", ["lin", "mei", "zhou", "chen"])
def test_nobody_else_sees_who_is_erased(patient, person, request):
    staff = request.getfixturevalue(person)
    erasure = decided(patient, cooling=timedelta(hours=72))
    client = page(staff)

    url = reverse("admin:privacy_erasure_change", args=[erasure.pk])
    assert client.get(url).status_code == 403
    answer = client.post(reverse("admin:privacy_erasure_cancel", args=[erasure.pk]))
    assert answer.status_code == 403


def test_the_home_page_says_what_can_still_be_cancelled(patient, gu):
    decided(patient, cooling=timedelta(hours=72))

    assert "冷静期中，可以取消" in page(gu).get(reverse("admin:index")).content.decode()
