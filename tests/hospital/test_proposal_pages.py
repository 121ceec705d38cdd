"""The pages on which one person asks and another decides."""

import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from structlog.testing import capture_logs

from hospital.accounts import granting
from hospital.accounts.models import Staff
from hospital.audit import proposing, tasks
from hospital.audit.actions import Action
from hospital.audit.log import Leaf
from hospital.audit.models import Archive, Event, Proposal
from hospital.audit.recording import record
from tests import signing_in
from tests.conftest import PASSWORD
from tests.hospital.aged import (
    HERE,
    NOW,
    YEARS,
    aged,
    approve,
    ask_to_prune,
    ask_to_redact,
    execute,
    postgresql_only,
    sign,
    stored,
)


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
        signing_in.step_up(client, person)
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
    asker, decider = at_desk(zhou, fresh=True), at_desk(mei, fresh=True)
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
    shown = asker.get(page("change", proposal.pk)).content.decode()
    assert "封存后执行：由后台进程" in shown
    assert "已批准" in shown
    sign(house, proposal)
    tasks.attend_to_proposals.apply()

    proposal.refresh_from_db()
    assert proposal.state == "done"
    assert "已执行" in asker.get(page("changelist")).content.decode()
    assert "archiveaudit --again" in asker.get(page("change", proposal.pk)).content.decode()


def test_what_is_to_be_pruned_is_offered_and_waits_for_a_worker(house, zhou, mei):
    archived(4, 10)
    shown = at_desk(zhou, fresh=True).get(page("prune")).content.decode()
    assert "trail-0-4.zip" in shown
    assert "trail-4-10.zip" in shown

    at_desk(zhou, fresh=True).post(page("prune"), {"end": 4, "note": "超过保存期限"})
    proposal = Proposal.objects.get()
    assert proposal.facts == {"start": 0, "end": 4}
    at_desk(mei, fresh=True).post(page("decision", proposal.pk), {"decision": "approve"})

    proposal.refresh_from_db()
    assert proposal.state == "approved"


def test_a_worker_does_what_waits_and_closes_what_nobody_decided(house, zhou, mei):
    archived(10)
    at_desk(zhou, fresh=True).post(page("prune"), {"end": 10, "note": "超过保存期限"})
    at_desk(mei, fresh=True).post(
        page("decision", Proposal.objects.get().pk), {"decision": "approve"}
    )
    sign(house, Proposal.objects.get())
    late = ask_to_redact(zhou, 11)
    Proposal.objects.filter(pk=late.pk).update(expires_at=timezone.now())

    tasks.attend_to_proposals.apply()

    states = dict(Proposal.objects.values_list("kind", "state"))
    assert states == {"audit.prune": "failed", "audit.redact": "expired"}  # there is no such file
    assert len(stored(range(10))) == 10


def test_what_is_not_sealed_yet_waits(house, zhou, mei):
    proposal = ask_to_redact(zhou, 3)
    at_desk(mei, fresh=True).post(page("decision", proposal.pk), {"decision": "approve"})

    tasks.attend_to_proposals.apply()

    assert Proposal.objects.get().state == "approved"


class TestRoles:
    pytestmark = postgresql_only

    def test_what_the_applications_account_may_not_do_is_left_and_said_once(self, house, zhou, mei):
        proposal = approve(house, ask_to_redact(zhou, 3), mei)
        execute("CREATE ROLE proposal_app")
        execute(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO proposal_app"
        )
        execute("REVOKE INSERT ON audit_redacted, audit_pruned FROM proposal_app")

        execute("SET LOCAL ROLE proposal_app")
        with capture_logs() as logs:
            for _ in range(3):
                assert tasks.attend_to_proposals.apply().state == "SUCCESS"
        shown = at_desk(zhou).get(page("change", proposal.pk)).content.decode()
        execute("RESET ROLE")

        assert Proposal.objects.get().state == "approved"
        assert [(one["event"], one["proposal"]) for one in logs] == [
            ("proposal.left", str(proposal.pk))
        ]
        assert "封存后执行：由清理账号运行 pruneaudit" in shown


def test_without_anything_old_there_is_nothing_to_ask_for(house, zhou):
    answer = at_desk(zhou, fresh=True).get(page("prune"))

    assert "没有可以清理的留痕" in answer.content.decode()


@pytest.mark.parametrize("end", ["3", "13", "", "x"])
def test_nothing_else_than_what_is_offered_is_asked_for(house, zhou, end):
    archived(4, 10)

    at_desk(zhou, fresh=True).post(page("prune"), {"end": end, "note": "x"})

    assert not Proposal.objects.exists()


@pytest.mark.parametrize("index", ["-1", "99", "9" * 30, "x", "٣", ""])
def test_a_line_that_is_not_there_is_not_found(house, zhou, index):
    answer = at_desk(zhou, fresh=True).get(page("redact"), {"index": index})

    assert answer.status_code == 200
    assert "提交申请" not in answer.content.decode()


def test_what_is_asked_for_is_what_was_looked_at(house, zhou):
    at_desk(zhou, fresh=True).post(page("redact"), {"index": 3, "hash": "00" * 32, "note": "x"})
    at_desk(zhou, fresh=True).post(page("redact"), {"index": 3, "hash": "张三", "note": "x"})

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


def test_whoever_has_not_the_right_is_not_asked_who_they_are(house, zhou):
    proposal = ask_to_redact(zhou, 3)

    assert at_desk(zhou).get(page("decision", proposal.pk)).status_code == 403


@pytest.mark.parametrize("sent", [{}, {"decision": ""}, {"decision": "x"}])
def test_an_answer_that_is_neither_decides_nothing(house, zhou, mei, sent):
    proposal = ask_to_redact(zhou, 3)

    answer = at_desk(mei, fresh=True).post(page("decision", proposal.pk), sent)

    assert answer.status_code == 400
    assert Proposal.objects.get().state == "asked"


def test_who_decides_sees_which_line_it_is_and_nothing_it_says(house, zhou, mei, chen):
    with transaction.atomic():
        event = record(Action.TERMINAL_SUSPEND, by=chen, on=chen, at=house.now, reason="张三摔坏了")
    house.notary().step(now=house.now)
    proposal = ask_to_redact(zhou, Leaf.objects.get(event_id=event.pk).index)
    time = f"{timezone.localtime(house.now):%Y-%m-%d %H:%M:%S}"
    decider = at_desk(mei, fresh=True)

    for name in ("decision", "change"):
        shown = decider.get(page(name, proposal.pk)).content.decode()
        for said in ("停用终端", f"{chen.display_name}（chen）", time, str(chen.pk)):
            assert said in shown, (name, said)
        assert "张三" not in shown
        assert "事项涉及申请人或您本人" not in shown


def test_a_request_for_the_askers_own_line_says_so(house, zhou, mei):
    with transaction.atomic():
        event = record(Action.TERMINAL_RESUME, by=zhou, on=None, at=house.now)
    house.notary().step(now=house.now)
    leaf = Leaf.objects.get(event_id=event.pk)
    proposal = a_row("audit.redact", {"index": leaf.index, "hash": bytes(leaf.hash).hex()}, zhou)

    shown = at_desk(mei, fresh=True).get(page("decision", proposal.pk)).content.decode()

    assert "事项涉及申请人或您本人" in shown


def a_row(kind, facts, person):
    """Return a request that nobody checked when it was made."""
    return Proposal.objects.create(
        kind=kind, facts=facts, reason="x", asked_by=person.pk, asked_at=NOW,
        expires_at=NOW + YEARS,
    )  # fmt: skip


def test_a_kind_of_act_that_is_no_more_is_shown_and_not_decided(house, zhou, mei):
    proposal = a_row("audit.other", {"count": 3}, zhou)

    for person in (zhou, mei):
        desk = at_desk(person, fresh=True)
        assert "audit.other" in desk.get(page("change", proposal.pk)).content.decode()
        assert "audit.other" in desk.get(page("changelist")).content.decode()
        assert desk.post(page("withdrawal", proposal.pk)).status_code == 404
        assert desk.post(page("decision", proposal.pk), {"decision": "approve"}).status_code == 404


def test_why_it_failed_is_said(house, zhou, mei):
    archived(10)
    proposal = approve(house, ask_to_prune(zhou), mei)
    tasks.attend_to_proposals.apply()

    shown = at_desk(mei).get(page("change", proposal.pk)).content.decode()

    assert "执行失败" in shown
    assert "归档文件缺失、损坏或未通过核验（archive_damaged）" in shown


def test_who_may_decide_is_told_on_every_page_that_a_request_waits(house, zhou, mei, lin):
    proposal = ask_to_redact(zhou, 3)
    waits = "有 1 项申请待批准"

    assert waits in at_desk(mei).get(reverse("admin:index")).content.decode()
    for other in (zhou, lin):
        assert waits not in at_desk(other).get(reverse("admin:index")).content.decode()
    proposing.decide(proposal, approves=False, by=mei, at=NOW)
    assert waits not in at_desk(mei).get(reverse("admin:index")).content.decode()


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


def test_who_has_a_part_in_other_acts_does_not_see_it(house, zhou, lin):
    proposal = ask_to_redact(zhou, 3)
    client = at_desk(lin)

    assert "误写入姓名" not in client.get(page("changelist")).content.decode()
    assert client.get(page("change", proposal.pk)).status_code == 302
    assert client.post(page("withdrawal", proposal.pk)).status_code == 403


@pytest.mark.parametrize("who", ["chen", "gu"])
def test_others_see_none_of_it(house, zhou, request, who):
    proposal = ask_to_redact(zhou, 3)
    client = at_desk(request.getfixturevalue(who))

    assert "误写入姓名" not in client.get(page("changelist")).text
    assert client.get(page("change", proposal.pk)).status_code == 302
    assert client.post(page("withdrawal", proposal.pk)).status_code == 403
    assert Proposal.objects.get().state == Proposal.State.ASKED


def test_who_has_a_part_in_no_act_of_two_has_no_list_of_them(house, zhou, chen):
    Staff.objects.filter(pk=chen.pk).update(role="")
    proposal = ask_to_redact(zhou, 3)
    client = at_desk(Staff.objects.get(pk=chen.pk))

    assert client.get(page("changelist")).status_code == 403
    assert client.get(page("change", proposal.pk)).status_code == 403


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

    shown = at_desk(zhou, fresh=True).get(page("redact"), {"index": 3}).content.decode()

    assert str(event.uid) in shown
    assert "canonical" not in shown


def test_a_long_list_asks_the_database_no_more_than_a_short_one(mei, lin):
    def ask(*names):
        for name in names:
            one = Staff.objects.create_user(name, PASSWORD, display_name="王", person_id=name)
            given = {"role": "registrar", "campus": "main", "clearance": 4}
            proposing.ask(
                "role.grant", granting.stated(one, given), reason="新到岗", by=mei, at=NOW
            )

    client = at_desk(lin)
    ask("w1", "w2")
    client.get(page("changelist"))
    with CaptureQueriesContext(connection) as short:
        client.get(page("changelist"))
    ask("w3", "w4", "w5")

    with CaptureQueriesContext(connection) as long:
        shown = client.get(page("changelist")).content.decode()

    assert len(long) == len(short)
    for name in ("王（w1）：登记员", "王（w5）：登记员", f"{mei.display_name}（mei）"):
        assert name in shown
