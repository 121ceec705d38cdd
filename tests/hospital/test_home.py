"""Home: what waits for each role, and nothing that is another's; the way to every page."""

from datetime import timedelta

import pytest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from devices.models import Terminal
from faceauth.models import Notice
from hospital import admin as site
from hospital.accounts.models import Emergency
from hospital.audit import proposing
from hospital.audit.proposals import Proposal
from hospital.patients import enrolment
from hospital.patients.documents import DocumentType
from hospital.patients.models import Correction, Identification
from hospital.roles import GRANTS, Role
from tests.conftest import _staff
from tests.hospital.test_pages import CAST, Page, seated, to

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
# What only these roles' home says.
OWN = {
    "lin": ["七天内到期的账号", "condition=online"],
    "mei": ["未完成的密钥任务", "待批准的应急申请"],
    "zhou": ["待复核的应急使用", "审计发现", "每周分析"],
    "chen": ["待人工办理", "今日刷脸"],
    "gu": ["生效中的告知书", "待复核的更正", "待批准的应急申请"],
}


@pytest.fixture(params=CAST)
def person(request):
    return request.getfixturevalue(request.param)


def home(person):
    return seated(person).get(HOME).text


def test_home_says_what_waits_for_its_reader_and_nothing_of_others(person):
    shown = home(person)

    for name, words in OWN.items():
        for word in words:
            is_theirs = word in OWN[person.username]
            assert (word in shown) == is_theirs, (name, word)


def test_whoever_runs_terminals_sees_which_need_somebody(lin, kiosk, install):
    silent = timezone.now() - timedelta(hours=1)
    Terminal.objects.filter(pk=kiosk.terminal.pk).update(last_seen_at=silent)

    links = Page(home(lin)).links

    assert f"{to('devices.terminal')}?condition=silent" in links
    assert f"{to('devices.terminal')}?condition=drifting" not in links


def test_accounts_that_wait_for_a_role_are_told_to_who_gives_them(lin, mei):
    _staff("new", "")

    assert "1 个" in home(lin)
    assert "1 个" in home(mei)


def test_a_vendors_end_is_told_before_it_comes(lin):
    _staff("vendor", "", is_vendor=True, valid_until=timezone.now() + timedelta(days=3))

    assert "七天内到期的账号</dt><dd><a" in home(lin)
    assert ">1 个</a>" in home(lin)


@pytest.mark.parametrize("name", ["mei", "gu"])
def test_an_emergency_waits_for_the_two_who_decide(request, chen, name):
    Emergency.objects.create(
        campus="main",
        ticket="T-1",
        reason="系统故障",
        asked_by=chen.pk,
        asked_at=timezone.now(),
    )

    assert "待批准的应急申请</dt><dd><a" in home(request.getfixturevalue(name))
    assert ">1 项</a>" in home(request.getfixturevalue(name))


def test_a_request_waits_for_who_decides_and_not_for_who_asked(zhou, mei):
    kind = next(one for one in proposing.kinds() if one.tag == "audit.prune")
    now = timezone.now()
    Proposal.objects.create(
        kind=kind.tag,
        facts={"start": 0, "end": 1},
        reason="超过保存期限",
        asked_by=zhou.pk,
        asked_at=now,
        expires_at=now + timedelta(days=1),
    )

    assert "待您批准的申请</dt><dd><a" in home(mei)
    assert ">1 项</a>" in home(mei)
    assert "待您批准的申请</dt><dd><a" in home(zhou)
    assert ">1 项</a>" not in home(zhou)


def test_a_correction_waits_for_whoever_guards_privacy(gu, chen):
    person = enrolment.Person("张三", DocumentType.PASSPORT, "E00000001")
    patient, _ = enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())
    Correction.objects.create(
        patient=patient,
        document_type=patient.document_type,
        evidence=Identification.Evidence.ORIGINAL,
        reason="笔误",
        asked_by=chen.pk,
        asked_at=timezone.now(),
    )

    assert ">1 项</a>" in home(gu)


def test_without_a_notice_in_force_whoever_guards_privacy_is_told(gu):
    assert "没有，终端不能刷脸" in home(gu)


def test_the_notice_in_force_is_named(gu, notice):
    Notice.objects.create(version=9, title="新", text="…", purposes=notice.purposes, fallback="…")

    shown = home(gu)

    assert str(notice) in shown
    assert "1 份" in shown


# The way there


def test_the_side_bar_lists_the_desks_pages_by_right(person):
    links = Page(home(person)).links

    for view, _name, *rights in site.DESK:
        is_theirs = not GRANTS[Role(person.role)].isdisjoint(rights)
        assert (reverse(view) in links) == is_theirs, view


def test_every_page_of_a_registrar_finds_patients_by_post(chen):
    for address in (HOME, to("patients.patient"), to("faceauth.facesession")):
        shown = seated(chen).get(address).text

        form = shown[shown.index('<form id="quick"') :].split("</form>")[0]
        assert f'method="post" action="{reverse("desk:find")}"' in form
        assert "csrfmiddlewaretoken" in form
        assert 'name="typed"' in form


@pytest.mark.parametrize("name", ["lin", "mei", "zhou", "gu"])
def test_nobody_else_has_the_box(request, name):
    shown = home(request.getfixturevalue(name))

    assert 'id="quick"' not in shown
    assert "keys.js" not in shown


def test_every_page_of_the_side_bar_is_there():
    for view, _name, *_rights in site.DESK:
        try:
            reverse(view)
        except NoReverseMatch:
            pytest.fail(view)
