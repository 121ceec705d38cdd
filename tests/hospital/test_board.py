"""今日工作台: what needs a person at one campus now, and the button that does it."""

from datetime import timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from django.contrib import admin
from django.core.cache.backends.base import BaseCache
from django.db import connection as database
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from redis.exceptions import RedisError

from devices import journal, suspension
from devices.models import Terminal
from faceauth import connection, handling, onboarding
from faceauth.models import FaceSession
from hospital import policy
from hospital.audit.models import Event
from hospital.desk import board, working
from hospital.labels import Label
from hospital.patients import enrolment, finding
from hospital.patients.documents import DocumentType
from hospital.patients.models import Correction, Identification, Likeness, Patient, Registration
from tests import minutes
from tests.hospital.test_pages import Page, seated, to

pytestmark = pytest.mark.django_db

HOME = reverse("admin:index")
MANUAL = Path(__file__).resolve().parents[2] / "docs" / "desk.md"
State = FaceSession.State


class Gone(BaseCache):
    """A shared cache that cannot be reached."""

    def __init__(self, _location, params):
        super().__init__(params)

    def get(self, *_, **__):
        raise RedisError

    add = set = incr = get


@pytest.fixture
def lobby(kiosk, notice, merchant):
    """A terminal whose visits end as a test says."""

    def visit(state=State.FAILED, reason="authorization_failed"):
        session = FaceSession.objects.get(pk=kiosk.agree())
        FaceSession.objects.filter(pk=session.pk).update(
            state=state, reason=reason, finished_at=timezone.now()
        )
        session.refresh_from_db()
        return session

    return visit


def patient(number, *, name="张三", campus="main"):
    person = enrolment.Person(name, DocumentType.PASSPORT, f"E{number:08}")
    made, _ = enrolment.enrol(person, accounts={}, campus=campus, at=timezone.now())
    return made


def pair(number, *, campus="main"):
    both = sorted(
        [patient(number, campus=campus), patient(number + 1, campus=campus)],
        key=lambda one: one.pk,
    )
    return Likeness.objects.create(
        kind=Likeness.Kind.EXACT, first=both[0], second=both[1], found_at=timezone.now()
    )


def correction(of, *, by):
    return Correction.objects.create(
        patient=of,
        real_name="张山",
        document_type=of.document_type,
        evidence=Identification.Evidence.ORIGINAL,
        reason="笔误",
        asked_by=by.pk,
        asked_at=timezone.now(),
    )


def registration(*, by, campus="main"):
    return Registration.objects.create(
        state=Registration.State.WAITING,
        cause=Registration.Cause.UNABLE,
        evidence=Identification.Evidence.ORIGINAL,
        campus=campus,
        document_type=DocumentType.PASSPORT,
        real_name="李四",
        entered_by=by.pk,
        entered_at=timezone.now(),
    )


def live(browser, **headers):
    return browser.get(reverse("desk:board-live"), headers={"X-Desk-Refresh": "1", **headers})


def asked(browser, address):
    """Return what a page asks the database, once what is remembered for a while is."""
    policy.forget()
    browser.get(address)
    journal.forget()  # of what terminals asked; written every few seconds, by whoever comes by
    with CaptureQueriesContext(database) as queries:
        assert browser.get(address).status_code == 200
    return [one["sql"] for one in queries]


def views():
    return Event.objects.filter(action="patient.view").count()


def test_the_registrars_home_is_the_board(chen):
    shown = seated(chen).get(HOME)

    assert "今日工作台" in shown.text
    assert "没有等待人工办理的患者" in shown.text


@pytest.mark.parametrize(
    ("state", "advice"),
    [
        (State.FAILED, "微信授权没有成功，可请患者重新刷脸"),
        (State.DECLINED, "患者未在微信上授权"),
        (State.REFUSED, "患者未同意刷脸，可凭证件人工办理"),
        (State.GUARDIAN_REQUIRED, "须由监护人陪同办理"),
    ],
)
def test_who_was_left_standing_is_there_with_what_to_do_and_a_button(chen, lobby, state, advice):
    session = lobby(state, reason="authorization_failed" if state == State.FAILED else "")

    shown = seated(chen).get(HOME).text

    assert advice in shown
    assert f'formaction="{reverse("desk:session-take", args=[session.pk])}"' in shown


def test_taking_over_leads_to_registering_them(chen, lobby):
    session = lobby()

    answer = seated(chen).post(reverse("desk:session-take", args=[session.pk]), {"back": "board"})

    session.refresh_from_db()
    assert session.taken_by == chen.pk
    assert answer.url == f"{reverse('desk:register')}?session={session.pk}"


def test_what_a_colleague_has_says_so_and_has_no_button(chen, sun, lobby):
    session = lobby()
    handling.take(session, by=sun, at=timezone.now())

    shown = live(seated(chen)).text

    assert "sun（sun）正在办理" in shown
    assert "formaction" not in shown


def test_what_is_ones_own_goes_on(chen, lobby):
    handling.take(lobby(), by=chen, at=timezone.now())

    assert "继续办理" in live(seated(chen)).text


def test_two_who_press_it_are_told_who_has_it(chen, sun, lobby):
    session = lobby()
    handling.take(session, by=sun, at=timezone.now())

    answer = seated(chen).post(
        reverse("desk:session-take", args=[session.pk]), {"back": "board"}, follow=True
    )

    assert "同事已接手该会话" in answer.text


def test_what_was_dealt_with_is_gone(chen, lobby):
    session = lobby()
    handling.settle(session, FaceSession.Settlement.LEFT, by=chen, at=timezone.now())

    assert str(session.pk) not in live(seated(chen)).text


def refused_by_wechat(session, *, ago):
    """WeChat did not answer a while ago; it is to be asked again in a minute."""
    at = timezone.now() - ago
    FaceSession.objects.filter(pk=session.pk).update(due_at=at)
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=lambda: at)
    due_at = timezone.now() + timedelta(minutes=1)
    FaceSession.objects.filter(pk=session.pk).update(due_at=due_at)


def test_what_waits_for_wechat_is_retried_by_one_button(chen, authorized, simulator, worker):
    simulator.expect("down", times=1, endpoint="users")
    refused_by_wechat(authorized, ago=timedelta(seconds=11))
    address = reverse("desk:session-requeue", args=[authorized.pk])

    browser = seated(chen)
    before = live(browser).text
    answer = browser.post(address, {"back": "board"}, follow=True)

    authorized.refresh_from_db()
    assert f'formaction="{address}"' in before
    assert "第 1 次核验没有结果。微信系统繁忙，稍后会自动重试" in before
    assert "已安排立即重试" in answer.text
    assert authorized.due_at <= timezone.now()


def test_what_was_tried_a_moment_ago_has_no_button_yet(chen, authorized, simulator):
    simulator.expect("down", times=1, endpoint="users")
    refused_by_wechat(authorized, ago=timedelta(seconds=5))

    shown = live(seated(chen)).text

    assert "第 1 次核验没有结果" in shown
    assert "立即重试" not in shown


def test_what_nobody_came_to_ask_about_says_so(chen, authorized):
    at = timezone.now() - working.STUCK - timedelta(seconds=1)
    FaceSession.objects.filter(pk=authorized.pk).update(due_at=at)

    shown = live(seated(chen)).text

    assert str(authorized.pk) in shown
    assert "后台没有处理，请告知系统管理员" in shown


def test_what_a_worker_is_at_is_not_on_the_board(chen, authorized):
    FaceSession.objects.claim(authorized.pk, at=timezone.now())

    assert str(authorized.pk) not in live(seated(chen)).text


def test_a_colleagues_registration_waits_for_a_second_look(chen, sun):
    theirs, own = registration(by=sun), registration(by=chen)

    shown = live(seated(chen)).text

    assert reverse("desk:registration", args=[theirs.pk]) in shown
    assert str(own.pk) not in shown
    assert "李四" not in shown


def test_likely_duplicates_and_corrections_wait_masked(chen, sun):
    both, wanted = pair(1), correction(patient(7, name="王小明"), by=sun)

    shown = live(seated(chen)).text

    assert reverse("desk:likeness", args=[both.pk]) in shown
    assert reverse("desk:correction", args=[wanted.pk]) in shown
    assert wanted.patient.masked_name in shown
    assert "王小明" not in shown
    assert "张三" not in shown


def test_another_campus_is_not_on_the_board(wu, chen, lobby):
    lobby()
    registration(by=chen)
    pair(1)
    correction(patient(7), by=chen)

    shown = live(seated(wu)).text

    assert "data-key" not in shown
    assert "没有等待人工办理的患者" in shown


def test_another_campus_has_no_buttons_either(wu, lobby):
    session = lobby()

    for act in ("requeue", "take", "leave", "settle"):
        answer = seated(wu).post(reverse(f"desk:session-{act}", args=[session.pk]))
        assert answer.status_code == 404, act
    session.refresh_from_db()
    assert (session.taken_by, session.settled_at) == (None, None)


def test_todays_visits_are_counted_by_what_became_of_them(chen, lobby):
    lobby()
    lobby(State.ONBOARDED, "")
    handling.settle(lobby(), FaceSession.Settlement.LEFT, by=chen, at=timezone.now())
    old = lobby(State.ONBOARDED, "")
    FaceSession.objects.filter(pk=old.pk).update(opened_at=timezone.now() - timedelta(days=2))

    counted = {one.label: one.count for one in working.tallies(chen, at=timezone.now())}

    assert counted == {
        "今日刷脸": 3,
        "已建档": 1,
        "已识别（复诊）": 0,
        "处理中": 0,
        "待人工办理": 1,
        "已人工办结": 1,
    }


@pytest.mark.parametrize("hour", [1, 5, 12])
def test_the_night_is_on_the_board_and_counted_as_it_is_listed(chen, lobby, hour):
    at = timezone.localtime().replace(hour=hour, minute=0) + timedelta(days=1)
    for ago in (timedelta(hours=2), timedelta(hours=23), timedelta(hours=25)):
        FaceSession.objects.filter(pk=lobby().pk).update(opened_at=at - ago)

    counted = {one.label: one.count for one in working.tallies(chen, at=at)}

    assert len(working.visits(chen, at=at)) == counted["待人工办理"] == 2


def test_a_colleague_without_an_account_any_more_is_a_colleague(chen, lobby):
    FaceSession.objects.filter(pk=lobby().pk).update(taken_by=uuid4(), taken_at=timezone.now())

    assert "。同事正在办理" in live(seated(chen)).text


def test_of_a_pair_the_patient_of_another_campus_has_no_number_here(chen):
    one, other = sorted([patient(1), patient(2, campus="east")], key=lambda one: one.pk)
    Likeness.objects.create(
        kind=Likeness.Kind.EXACT, first=one, second=other, found_at=timezone.now()
    )
    numbers = {found.number: found.attendances.get().campus for found in (one, other)}

    shown = live(seated(chen)).text

    assert {campus for number, campus in numbers.items() if number in shown} == {"main"}
    assert "其他院区的患者" in shown


def test_a_terminal_that_is_switched_off_needs_nobody(chen, lin, kiosk):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="检修")

    assert "T-1" not in live(seated(chen)).text


def test_what_is_the_matter_with_a_terminal_is_what_is_said_of_it(chen, kiosk):
    Terminal.objects.filter(pk=kiosk.terminal.pk).update(
        last_seen_at=timezone.now(), agent_version="999", clock_offset=86_400
    )

    shown = live(seated(chen)).text

    assert "时钟不准，请告知系统管理员校时" in shown
    assert "到现场" not in shown


def test_of_very_many_terminals_the_first_are_listed(chen, kiosk, install, monkeypatch):
    monkeypatch.setattr(working, "SHOWN", 3)
    for number in range(5):
        install(f"Q-{number}")

    shown = live(seated(chen)).text

    assert shown.count('data-key="terminal-') == 3
    assert "只列 3 台" in shown


def test_terminals_with_trouble_are_named(chen, kiosk, install):
    now = timezone.now()
    Terminal.objects.filter(pk=kiosk.terminal.pk).update(last_seen_at=now)
    silent = install("T-9").terminal
    Terminal.objects.filter(pk=silent.pk).update(last_seen_at=now - timedelta(hours=1))

    shown = live(seated(chen)).text

    assert "1/2 在线" in shown
    assert "失联" in shown
    assert "T-9" in shown
    assert "T-1" not in shown


# Asked for again and again


def test_what_did_not_change_is_not_sent_again(chen, lobby):
    browser = seated(chen)
    first = live(browser)

    again = live(browser, **{"If-None-Match": first["ETag"]})
    lobby()
    then = live(browser, **{"If-None-Match": first["ETag"]})

    assert (again.status_code, again.content) == (304, b"")
    assert then.status_code == 200
    assert then["ETag"] != first["ETag"]
    assert "no-store" in then["Cache-Control"]


def test_a_board_that_ticks_records_each_person_once(chen, sun):
    correction(patient(1), by=sun)
    browser = seated(chen)
    live(browser)
    live(browser)
    once = views()

    correction(patient(2), by=sun)
    live(browser)

    assert once == 1
    assert views() == 2


def test_whoever_opens_the_board_is_on_record_each_time(chen, sun):
    correction(patient(1), by=sun)
    browser = seated(chen)

    browser.get(HOME)
    browser.get(HOME)

    assert views() == 2


def test_a_page_that_says_it_ticks_is_on_record_all_the_same(chen, sun, lobby):
    correction(patient(1), by=sun)
    browser = seated(chen)
    browser.get(HOME)

    browser.get(HOME, headers={"X-Desk-Refresh": "1"})

    assert views() == 2


def test_nobody_is_shown_before_they_are_on_record(chen, sun, monkeypatch):
    correction(patient(1), by=sun)
    opened, known = [], Patient.masked_name.fget
    seen = property(lambda self: opened.append(views()) or known(self))
    monkeypatch.setattr(Patient, "masked_name", seen)

    live(seated(chen))

    assert opened == [1]


@pytest.mark.parametrize("address", [HOME, reverse("desk:board-live")])
def test_without_a_cache_the_board_goes_on_and_records(chen, sun, settings, address):
    correction(patient(1), by=sun)
    browser = seated(chen)
    settings.CACHES = {"default": {"BACKEND": "tests.hospital.test_board.Gone"}}

    answer = browser.get(address, headers={"X-Desk-Refresh": "1"})

    assert answer.status_code == 200
    assert views() == 1


def test_who_is_not_cleared_for_patients_has_a_home_without_a_board(chen, lobby):
    lobby()
    chen.clearance = Label.INTERNAL
    chen.save(update_fields=["clearance"])

    answer = seated(chen).get(HOME)

    assert answer.status_code == 200
    assert "待人工办理" not in answer.text


def test_a_board_that_ticks_does_not_keep_the_login_alive(chen, lobby):
    browser = seated(chen)
    browser.get(HOME)
    before = browser.cookies["sessionid"]["expires"], dict(browser.session.items())

    answer = live(browser)

    assert "sessionid" not in answer.cookies
    assert dict(browser.session.items()) == before[1]


@pytest.mark.parametrize("address", [HOME, reverse("desk:board-live")])
def test_sixty_rows_take_no_more_questions_than_three(chen, sun, lobby, address):
    browser = seated(chen)

    def fill(start, count):
        for number in range(start, start + 4 * count, 4):
            lobby()
            registration(by=sun)
            pair(number)
            correction(patient(number + 2), by=sun)
        handling.take(lobby(), by=sun, at=timezone.now())

    fill(1, 3)
    few = asked(browser, address)
    fill(1001, 57)
    many = asked(browser, address)

    assert len(many) == len(few)


# One visit


def test_a_visit_tells_who_did_what_where_and_what_wechat_said(chen, authorized, simulator):
    simulator.expect("down", times=1, endpoint="users")
    onboarding.onboard(authorized.pk, client_for=connection.identity_client, clock=timezone.now)
    authorized.refresh_from_db()
    authorized.end(State.FAILED, at=timezone.now(), reason="name_differs")
    handling.settle(authorized, FaceSession.Settlement.LEFT, by=chen, at=timezone.now())

    shown = seated(chen).get(to("faceauth.facesession", "change", args=[authorized.pk])).text

    for told in (
        "终端 大厅（T-1）",
        "微信暂不可用",
        "微信系统繁忙",
        "第 1 次",
        "人工接手会话",
        "chen（chen）",
        "患者已离开",
    ):
        assert told in shown, told


def test_wechats_own_number_is_there_to_quote(chen, authorized):
    onboarding.onboard(authorized.pk, client_for=connection.identity_client, clock=timezone.now)
    authorized.refresh_from_db()

    shown = seated(chen).get(to("faceauth.facesession", "change", args=[authorized.pk])).text

    assert f"微信请求编号 {authorized.wechat_request_id}" in shown
    assert "微信已应答" in shown


def test_a_visit_is_closed_with_a_reason(chen, lobby):
    session = lobby()
    browser = seated(chen)
    page = to("faceauth.facesession", "change", args=[session.pk])

    assert "患者重新刷脸" in browser.get(page).text
    answer = browser.post(
        reverse("desk:session-settle", args=[session.pk]), {"settlement": "again"}, follow=True
    )

    session.refresh_from_db()
    assert session.settlement == "again"
    assert "已办结" in answer.text
    assert "formaction" not in answer.text


def test_a_visit_of_a_known_patient_is_closed_by_their_number(chen, lobby):
    session, known = lobby(), patient(1)

    seated(chen).post(
        reverse("desk:session-settle", args=[session.pk]),
        {"settlement": "known", "number": f" {known.number.lower()}"},
    )

    session.refresh_from_db()
    assert session.settled_patient == known


def test_a_patient_of_another_campus_closes_nothing_here(chen, lobby):
    session, other = lobby(), patient(1, campus="east")

    answer = seated(chen).post(
        reverse("desk:session-settle", args=[session.pk]),
        {"settlement": "known", "number": other.number},
        follow=True,
    )

    session.refresh_from_db()
    assert session.settled_at is None
    assert "没有这个患者编号" in answer.text


def test_only_registering_somebody_says_that_they_were_registered(chen, lobby):
    session, known = lobby(), patient(1)

    answer = seated(chen).post(
        reverse("desk:session-settle", args=[session.pk]),
        {"settlement": "registered", "number": known.number},
        follow=True,
    )

    session.refresh_from_db()
    assert session.settled_at is None
    assert "请选择办理结果" in answer.text


def test_a_number_tried_while_closing_is_a_search_on_record(chen, lobby):
    session, known = lobby(), patient(1)
    browser, address = seated(chen), reverse("desk:session-settle", args=[session.pk])
    searches = Event.objects.filter(action="patient.search")

    told = [
        browser.post(address, {"settlement": "left", "number": number}, follow=True).text
        for number in (known.number, "P0000000000")
    ]
    browser.post(address, {"settlement": "known", "number": "P0000000000"})

    assert all("按此结果办结的会话没有患者" in text for text in told)
    assert searches.count() == 1


def test_numbers_are_not_tried_by_closing_faster_than_by_searching(chen, lobby, monkeypatch):
    minutes.stop(monkeypatch)
    monkeypatch.setattr(finding, "PER_MINUTE", 2)
    session, known = lobby(), patient(1)
    browser, address = seated(chen), reverse("desk:session-settle", args=[session.pk])

    for number in ("P0000000000", "P0000000001", known.number):
        answer = browser.post(address, {"settlement": "known", "number": number}, follow=True)

    session.refresh_from_db()
    assert session.settled_at is None
    assert "查找过于频繁" in answer.text


def test_a_visit_is_given_back(chen, lobby):
    session = lobby()
    handling.take(session, by=chen, at=timezone.now())

    seated(chen).post(reverse("desk:session-leave", args=[session.pk]))

    session.refresh_from_db()
    assert session.taken_by is None


# Lists that grow


def walk(browser, label):
    """Return the keys of every row, page by page, and all that was asked for."""
    address, rows, pages = to(label), [], 0
    with CaptureQueriesContext(database) as queries:
        while address:
            page = browser.get(address)
            rows += [row.pk for row in page.context_data["cl"].result_list]
            pages += 1
            older = page.context_data["cl"].older
            address = f"{to(label)}{older}" if older else ""
    return rows, pages, [one["sql"] for one in queries]


def test_lists_turn_their_pages_without_counting(chen, lobby, monkeypatch):
    made = {FaceSession: [lobby().pk for _ in range(7)]}
    made[Patient] = [patient(number).pk for number in range(7)]
    for model, keys in made.items():
        monkeypatch.setattr(admin.site.get_model_admin(model), "list_per_page", 3)

        rows, pages, sent = walk(seated(chen), model._meta.label_lower)

        assert rows == sorted(keys, reverse=True)
        assert pages == 3
        assert [sql for sql in sent if "COUNT(" in sql.upper()] == []
        assert [sql for sql in sent if " OFFSET " in sql.upper()] == []


def test_back_leads_to_where_one_came_from(chen, monkeypatch):
    keys = sorted((patient(number).pk for number in range(7)), reverse=True)
    monkeypatch.setattr(admin.site.get_model_admin(Patient), "list_per_page", 3)
    browser, address = seated(chen), to("patients.patient")

    last = browser.get(f"{address}?before={keys[5]}").context_data["cl"]
    middle = browser.get(f"{address}{last.newer}").context_data["cl"]
    first = browser.get(f"{address}{middle.newer}").context_data["cl"]

    assert [row.pk for row in last.result_list] == keys[6:]
    assert [row.pk for row in middle.result_list] == keys[3:6]
    assert [row.pk for row in first.result_list] == keys[:3]
    assert (first.newer, last.older) == ("", "")


def test_a_filter_begins_at_the_newest(chen, lobby, monkeypatch):
    for _ in range(5):
        lobby()
    monkeypatch.setattr(admin.site.get_model_admin(FaceSession), "list_per_page", 2)
    page = seated(chen).get(to("faceauth.facesession"))
    older = seated(chen).get(f"{to('faceauth.facesession')}{page.context_data['cl'].older}")

    filters = [link for link in Page(older.text).links if "state__exact" in link]

    assert filters
    assert not any("before=" in link for link in filters)


@pytest.mark.parametrize("place", ["nonsense", "1", "0" * 40])
def test_a_place_that_is_none_is_the_first_page(chen, place):
    answer = seated(chen).get(f"{to('patients.patient')}?before={place}")

    assert answer.status_code == 302


@pytest.mark.parametrize("label", ["faceauth.facesession", "patients.patient"])
def test_a_long_list_takes_no_more_questions_than_a_short_one(chen, lobby, label):
    browser = seated(chen)

    def fill(start, count):
        for number in range(start, start + count):
            session = lobby(State.ONBOARDED, "")
            FaceSession.objects.filter(pk=session.pk).update(patient=patient(number))

    fill(0, 3)
    few = asked(browser, to(label))
    fill(3, 40)

    assert len(asked(browser, to(label))) == len(few)


def test_the_manual_names_every_list_of_the_board_in_its_order(chen, monkeypatch):
    titles, made = [], board.Section

    def noted(key, title, rows, **how):
        titles.append(title)
        return made(key, title, rows, **how)

    monkeypatch.setattr(board, "Section", noted)
    board.shown(board.waiting(chen, at=timezone.now()), chen, at=timezone.now())

    table = MANUAL.read_text().partition("|---|---|---|\n")[2].partition("\n\n")[0]
    assert [row.split(" | ")[0].strip("| ") for row in table.splitlines()] == titles
