"""The pages on which one person asks and another decides."""

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital.audit import tasks
from hospital.audit.log import Leaf
from hospital.audit.models import Archive, Event, Proposal
from tests.conftest import PASSWORD
from tests.hospital.aged import HERE, NOW, aged, ask_to_redact, stored


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


@pytest.fixture
def house(tmp_path, settings):
    return aged(tmp_path, settings)


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        client.post(reverse("step-up"), {"password": PASSWORD})
    return client


def page(name, *args):
    return reverse(f"admin:audit_proposal_{name}", args=args)


def archived(*ends):
    start = 0
    for end in ends:
        Archive(
            start=start, end=end, root=b"r" * 32, name=f"trail-{start}-{end}.zip", size=1,
            sha256="0" * 64, sm3="0" * 64, at=NOW,
        ).save()  # fmt: skip
        start = end


def test_one_asks_another_approves_and_the_line_is_redacted(house, zhou, mei):
    archived(4, 10)
    asker, decider = at_desk(zhou), at_desk(mei, fresh=True)
    shown = asker.get(page("redact"), {"index": 3}).content.decode()
    hash_ = bytes(Leaf.objects.get(index=3).hash).hex()
    assert hash_ in shown
    assert "trail-0-4.zip" in shown

    answer = asker.post(page("redact"), {"index": 3, "hash": hash_, "note": "误写入姓名"})
    proposal = Proposal.objects.get()
    assert answer.url == page("change", proposal.pk)
    assert "批准或不批准" in decider.get(page("change", proposal.pk)).content.decode()
    assert "误写入姓名" in decider.get(page("decision", proposal.pk)).content.decode()
    decider.post(page("decision", proposal.pk), {"decision": "approve"})

    proposal.refresh_from_db()
    assert proposal.state == "done"
    assert "已执行" in asker.get(page("changelist")).content.decode()
    assert "archiveaudit --again" in asker.get(page("change", proposal.pk)).content.decode()


def test_what_is_to_be_pruned_is_offered_and_waits_for_a_worker(house, zhou, mei):
    archived(4, 10)
    shown = at_desk(zhou).get(page("prune")).content.decode()
    assert "trail-0-4.zip" in shown
    assert "trail-4-10.zip" in shown

    at_desk(zhou).post(page("prune"), {"end": 4, "note": "超过保存期限"})
    proposal = Proposal.objects.get()
    assert proposal.facts == {"start": 0, "end": 4}
    at_desk(mei, fresh=True).post(page("decision", proposal.pk), {"decision": "approve"})

    proposal.refresh_from_db()
    assert proposal.state == "approved"


def test_a_worker_does_what_waits_and_closes_what_nobody_decided(house, zhou, mei):
    archived(10)
    at_desk(zhou).post(page("prune"), {"end": 10, "note": "超过保存期限"})
    at_desk(mei, fresh=True).post(
        page("decision", Proposal.objects.get().pk), {"decision": "approve"}
    )
    late = ask_to_redact(zhou, 11)
    Proposal.objects.filter(pk=late.pk).update(expires_at=timezone.now())

    tasks.attend_to_proposals.apply()

    states = dict(Proposal.objects.values_list("kind", "state"))
    assert states == {"audit.prune": "failed", "audit.redact": "expired"}  # there is no such file
    assert len(stored(range(10))) == 10


def test_without_anything_old_there_is_nothing_to_ask_for(house, zhou):
    answer = at_desk(zhou).get(page("prune"))

    assert "没有可以清理的留痕" in answer.content.decode()


@pytest.mark.parametrize("end", ["3", "13", "", "x"])
def test_nothing_else_than_what_is_offered_is_asked_for(house, zhou, end):
    archived(4, 10)

    at_desk(zhou).post(page("prune"), {"end": end, "note": "x"})

    assert not Proposal.objects.exists()


@pytest.mark.parametrize("index", ["-1", "99", "9" * 30, "x", "٣", ""])
def test_a_line_that_is_not_there_is_not_found(house, zhou, index):
    answer = at_desk(zhou).get(page("redact"), {"index": index})

    assert answer.status_code == 200
    assert "提交申请" not in answer.content.decode()


def test_what_is_asked_for_is_what_was_looked_at(house, zhou):
    at_desk(zhou).post(page("redact"), {"index": 3, "hash": "00" * 32, "note": "x"})
    at_desk(zhou).post(page("redact"), {"index": 3, "hash": "张三", "note": "x"})

    assert not Proposal.objects.exists()


def test_a_refusal_is_a_refusal_and_says_so(house, zhou, mei):
    proposal = ask_to_redact(zhou, 3)

    answer = at_desk(mei, fresh=True).post(
        page("decision", proposal.pk), {"decision": "refuse"}, follow=True
    )

    assert "不批准" in answer.content.decode()
    assert stored([3]) == [3]


def test_who_decides_shows_first_that_it_is_them(house, zhou, mei):
    proposal = ask_to_redact(zhou, 3)
    decider = at_desk(mei)

    answer = decider.post(page("decision", proposal.pk), {"decision": "approve"})

    assert answer.url.startswith(reverse("step-up"))
    assert Proposal.objects.get().state == "asked"


def test_who_asked_may_take_it_back(house, zhou):
    proposal = ask_to_redact(zhou, 3)
    asker = at_desk(zhou)
    assert "撤回申请" in asker.get(page("change", proposal.pk)).content.decode()
    assert asker.get(page("withdrawal", proposal.pk)).status_code == 405

    asker.post(page("withdrawal", proposal.pk))

    assert Proposal.objects.get().state == "withdrawn"


@pytest.mark.parametrize("who", ["lin", "chen", "gu", "mei"])
def test_others_ask_for_nothing(house, request, who):
    client = at_desk(request.getfixturevalue(who), fresh=True)

    for name in ("prune", "redact"):
        assert client.get(page(name)).status_code == 403
        assert client.post(page(name), {"index": 3, "end": 10, "note": "x"}).status_code == 403

    assert not Proposal.objects.exists()


@pytest.mark.parametrize("who", ["lin", "chen", "gu", "zhou"])
def test_others_decide_nothing(house, zhou, request, who):
    proposal = ask_to_redact(zhou, 3)
    client = at_desk(request.getfixturevalue(who), fresh=True)

    answer = client.post(page("decision", proposal.pk), {"decision": "approve"})

    assert answer.status_code == 403
    assert Proposal.objects.get().state == "asked"


@pytest.mark.parametrize("who", ["lin", "chen", "gu"])
def test_others_see_none_of_it(house, zhou, request, who):
    proposal = ask_to_redact(zhou, 3)
    client = at_desk(request.getfixturevalue(who))

    assert client.get(page("changelist")).status_code == 403
    assert client.get(page("change", proposal.pk)).status_code == 403
    assert client.post(page("withdrawal", proposal.pk)).status_code == 403


def test_both_see_what_why_who_and_until_when(house, zhou, mei):
    ask_to_redact(zhou, 3)

    for person in (zhou, mei):
        shown = at_desk(person).get(page("changelist")).content.decode()
        assert "遮盖留痕中的内容" in shown
        assert "误写入姓名" in shown
        assert "zhou" in shown
        assert "有效期至" in shown


def test_the_page_of_a_line_shows_nothing_it_says(house, zhou):
    event = Event.objects.get(pk=Leaf.objects.get(index=3).event_id)

    shown = at_desk(zhou).get(page("redact"), {"index": 3}).content.decode()

    assert str(event.uid) in shown
    assert "canonical" not in shown
