"""Break-glass: one asks, two allow it, an hour at most, and somebody else looks at it."""

import json
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import pytest
from allauth.mfa.models import Authenticator
from django.db import IntegrityError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from hospital import roles, stepup
from hospital.accounts import emergencies, naming, sealed, tasks, working_days
from hospital.accounts.models import Emergency, Staff
from hospital.audit import alarms
from hospital.audit.actions import Action
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.audit.recording import record
from hospital.errors import Refusal
from hospital.patients import enrolment
from hospital.patients.models import Patient
from hospital.roles import May, Role
from tests.conftest import recorded
from tests.hospital.aged import HERE
from tests.signing_in import phone_of

FRIDAY = datetime(2026, 11, 20, 8, 0, tzinfo=UTC)  # 16:00 here
LATER = FRIDAY + timedelta(minutes=10)
OVER = FRIDAY + timedelta(minutes=70)
DAY = timedelta(days=1)
PATIENTS = "/admin/patients/patient/"
ZHANG = enrolment.Person("张三", 1, "11010119900307002X")
LI = enrolment.Person("李四", 1, "110101198001010010")
HOUR = timedelta(hours=1)


def ask(by, *, at=FRIDAY, **said):
    said = {"campus": "main", "ticket": "INC-1", "reason": "登记系统停机"} | said
    return emergencies.ask(**said, by=by, at=at)


def approve(emergency, *people, at=LATER):
    for person in people:
        emergencies.decide(emergency, approves=True, by=person, at=at)
    return emergency


def account():
    return Staff.objects.get(role=Role.EMERGENCY)


def told(row):
    return [event.action for event in Event.objects.on(row).order_by("id")]


def lines(row, action):
    events = Event.objects.on(row).filter(action=action).order_by("id")
    return [json.loads(event.payload) for event in events]


@pytest.fixture
def opened(chen, mei, gu):
    return approve(ask(chen), mei, gu)


def in_use(emergency, chen):
    emergencies.fetch(emergency, by=chen, at=LATER)
    return emergency


# The way it goes


@pytest.mark.parametrize("first", ["mei", "gu"])
def test_the_second_approval_opens_the_account_for_an_hour(chen, mei, gu, first):
    one, other = (mei, gu) if first == "mei" else (gu, mei)
    emergency = approve(ask(chen), one)
    assert not Staff.objects.filter(role=Role.EMERGENCY).exists()
    assert emergency.state == "asked"

    approve(emergency, other)

    sealed_account = account()
    assert emergency.state == "open"
    assert emergency.closes_at == LATER + HOUR
    assert (sealed_account.is_active, sealed_account.campus) == (True, "main")
    assert sealed_account.valid_until == LATER + HOUR
    assert not sealed_account.has_usable_password()
    assert told(emergency) == [
        "emergency.ask", "emergency.decide", "emergency.decide", "emergency.open",
    ]  # fmt: skip
    assert told(sealed_account) == ["staff.create", "staff.change"]


def test_the_asker_fetches_a_password_once(opened, chen):
    password = emergencies.fetch(opened, by=chen, at=LATER)

    assert account().check_password(password)
    assert len(password) >= 16
    assert password not in "".join(Event.objects.values_list("payload", flat=True))
    with pytest.raises(emergencies.NotFetchable):
        emergencies.fetch(opened, by=chen, at=LATER)
    assert account().check_password(password)


def test_nobody_else_fetches_it(opened, sun, mei, lin):
    for person in (sun, mei, lin):
        with pytest.raises(emergencies.NotAsker):
            emergencies.fetch(opened, by=person, at=LATER)


def test_nothing_is_fetched_once_it_is_over(opened, chen):
    with pytest.raises(emergencies.NotFetchable):
        emergencies.fetch(opened, by=chen, at=OVER)


@pytest.mark.parametrize("who", ["chen", "mei", "gu"])
def test_asker_or_approver_shut_it_early(opened, request, who, chen):
    password = emergencies.fetch(opened, by=chen, at=LATER)
    before = account().get_session_auth_hash()

    emergencies.close(opened, by=request.getfixturevalue(who), at=LATER)

    sealed_account = account()
    assert (opened.state, opened.closed_at) == ("closed", LATER)
    assert not sealed_account.is_active
    assert sealed_account.has_ended(at=LATER)
    assert not sealed_account.check_password(password)
    assert sealed_account.get_session_auth_hash() != before
    assert told(opened)[-1] == "emergency.close"
    assert told(sealed_account)[-1] == "staff.change"


def test_others_do_not_shut_it(opened, sun, lin, zhou):
    for person in (sun, lin, zhou):
        with pytest.raises(emergencies.NotAllowed):
            emergencies.close(opened, by=person, at=LATER)


def test_a_beat_shuts_it_at_its_end_and_not_before(opened, chen):
    in_use(opened, chen)
    assert emergencies.close_late(at=opened.closes_at - timedelta(seconds=1)) == 0

    assert emergencies.close_late(at=opened.closes_at) == 1

    opened.refresh_from_db()
    assert opened.state == "closed"
    assert not account().is_active
    assert not account().has_usable_password()
    [line] = lines(opened, "emergency.close")
    assert (line["actor"]["type"], line["facts"]) == ("system", {"code": "expired"})
    assert emergencies.close_late(at=OVER) == 0


def test_it_ends_with_the_asker(opened, chen):
    in_use(opened, chen)
    Staff.objects.filter(pk=chen.pk).update(is_active=False)

    assert emergencies.close_late(at=LATER) == 1

    assert lines(opened, "emergency.close")[0]["facts"] == {"code": "asker_left"}


def test_its_second_factors_end_with_it(opened, chen):
    in_use(opened, chen)
    Authenticator.objects.create(user=account(), type=Authenticator.Type.TOTP, data={})

    emergencies.close(opened, by=chen, at=LATER)

    assert not Authenticator.objects.exists()


def test_each_use_begins_anew(opened, chen, mei, gu):
    first = emergencies.fetch(opened, by=chen, at=LATER)
    session = account().get_session_auth_hash()
    emergencies.close(opened, by=chen, at=LATER)

    again = approve(ask(chen, campus="east", ticket="INC-2"), mei, gu)

    sealed_account = account()
    assert sealed_account.campus == "east"
    assert not sealed_account.check_password(first)
    assert sealed_account.get_session_auth_hash() != session
    assert emergencies.fetch(again, by=chen, at=LATER) != first
    assert Staff.objects.filter(role=Role.EMERGENCY).count() == 1


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("_vendor", [HERE])
def test_the_whole_of_a_use_is_on_record(chen, mei, gu, zhou, _vendor):
    with recorded():
        emergency = in_use(approve(ask(chen), mei, gu), chen)
        emergencies.close_late(at=OVER)
        emergencies.review(emergency, conclusion="与事由相符", by=zhou, at=OVER)
        emergencies.decide(ask(chen), approves=False, by=mei, at=LATER)
        ask(chen)
        emergencies.lapse(at=LATER + 2 * DAY)


# Who may what


def test_registrars_and_system_administrators_ask(chen, lin):
    assert {ask(chen).state, ask(lin).state} == {"asked"}


def test_others_do_not_ask(mei, gu, zhou):
    for person in (mei, gu, zhou):
        with pytest.raises(emergencies.NotAllowed):
            ask(person)


def test_only_its_two_offices_decide(chen, sun, lin, zhou):
    emergency = ask(chen)

    for person in (sun, lin, zhou):
        with pytest.raises(emergencies.NotAllowed):
            approve(emergency, person)


def test_one_office_is_not_both(chen, mei):
    emergency = approve(ask(chen), mei)
    other = Staff.objects.create_user(
        "mei2", "x", display_name="mei2", person_id="E-mei2", role=Role.SECURITY
    )

    with pytest.raises(emergencies.NotWaiting):
        approve(emergency, other)
    assert emergency.state == "asked"


def test_who_asked_does_not_allow_it_in_a_new_role(chen, gu):
    emergency = ask(chen)
    Staff.objects.filter(pk=chen.pk).update(role=Role.SECURITY, clearance=2)
    chen.refresh_from_db()

    with pytest.raises(emergencies.SamePerson):
        approve(emergency, chen)


def test_who_allowed_it_does_not_allow_it_again_in_a_new_role(chen, mei):
    emergency = approve(ask(chen), mei)
    Staff.objects.filter(pk=mei.pk).update(role=Role.PRIVACY)
    mei.refresh_from_db()

    with pytest.raises(emergencies.SamePerson):
        approve(emergency, mei)


@pytest.mark.parametrize(
    "forged",
    [
        {"security_by": "privacy"},
        {"security_by": "asker"},
        {"state": "open", "security_by": None},
    ],
)
def test_the_database_holds_it_as_well(chen, mei, gu, forged):
    emergency = approve(ask(chen), mei, gu)
    named = {"privacy": gu.pk, "asker": chen.pk}
    values = {name: named.get(value, value) for name, value in forged.items()}

    with pytest.raises(IntegrityError), transaction.atomic():
        Emergency.objects.filter(pk=emergency.pk).update(**values)


def test_it_is_not_opened_for_whom_is_gone(chen, mei, gu):
    emergency = approve(ask(chen), mei)
    Staff.objects.filter(pk=mei.pk).update(is_active=False)

    with pytest.raises(emergencies.NotHere):
        approve(emergency, gu)

    emergency.refresh_from_db()
    assert (emergency.state, emergency.privacy_by) == ("asked", None)


def test_it_is_not_opened_for_whose_time_is_over(chen, mei, gu):
    emergency = approve(ask(chen), mei)
    Staff.objects.filter(pk=mei.pk).update(valid_until=LATER)

    with pytest.raises(emergencies.NotHere):
        approve(emergency, gu)


def test_somebody_who_has_its_name_from_before_does_not_hinder_it(chen, mei, gu):
    for name, number in (("yingji", "E-1"), ("wang", "SEALED")):
        Staff.objects.create_user(name, "x", display_name=name, person_id=number)

    opened = approve(ask(chen), mei, gu)

    assert account().username == "yingji-2"
    assert account().person_id == "SEALED-2"
    browser = at_desk(chen, fresh=True)
    Emergency.objects.update(closes_at=timezone.now() + HOUR)
    assert "yingji-2" in browser.post(page("password", opened.pk)).text


@pytest.mark.parametrize("name", ["yingji", "YingJi"])
def test_nobody_is_called_like_it_any_more(name):
    with pytest.raises(naming.Reserved):
        naming.demand_own_name(name)


@pytest.mark.parametrize("number", ["SEALED", "sealed", "ｓｅａｌｅｄ "])
def test_nobody_has_its_number_any_more(chen, number):
    with pytest.raises(naming.ReservedNumber):
        naming.demand_no_account(number, but=chen)


def test_what_was_written_in_lines_is_kept_in_one(opened, chen, zhou):
    asked = ask(chen, reason="网络中断\r\n\r\n 需核对身份")
    assert asked.reason == "网络中断 需核对身份"

    emergencies.close(opened, by=chen, at=LATER)
    emergencies.review(opened, conclusion="逐条看过\n相符", by=zhou, at=LATER)

    assert opened.conclusion == "逐条看过 相符"


def test_a_long_list_costs_no_more_queries(chen, gu):
    browser = at_desk(gu)

    def cost():
        with CaptureQueriesContext(connection) as queries:
            shown = seen(browser, "changelist")
        assert "chen（chen）" in shown
        return len(queries)

    one = {"campus": "main", "reason": "停机", "asked_by": chen.pk, "asked_at": FRIDAY}
    Emergency.objects.create(ticket="INC-0", **one)
    cost()
    before = cost()
    for number in range(20):
        Emergency.objects.create(ticket=f"INC-{number}", **one)

    assert cost() == before


def test_pages_are_there_when_the_askers_account_is_not(opened, chen, gu):
    Emergency.objects.update(asked_by="00000000-0000-7000-8000-000000000000")

    assert "账号已不存在" in banners(at_desk(gu))


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_of_requests_at_once_one_waits(chen):
    def attempt(number):
        try:
            ask(chen, ticket=f"INC-{number}")
        except emergencies.AlreadyAsked:
            return False
        finally:
            connection.close()
        return True

    with ThreadPoolExecutor(6) as desks:
        asked = list(desks.map(attempt, range(6)))

    assert asked.count(True) == 1


def test_one_use_at_a_time(opened, lin, mei, gu):
    second = approve(ask(lin), mei)

    with pytest.raises(emergencies.AlreadyOpen):
        approve(second, gu)

    second.refresh_from_db()
    assert (second.state, second.privacy_by) == ("asked", None)
    emergencies.close(opened, by=gu, at=LATER)
    assert approve(second, gu).state == "open"


def test_one_refusal_is_enough(chen, mei, gu):
    emergency = approve(ask(chen), mei)

    emergencies.decide(emergency, approves=False, by=gu, at=LATER)

    assert emergency.state == "refused"
    [*_, line] = lines(emergency, "emergency.decide")
    assert line["facts"] == {"decision": "refused", "office": "privacy"}
    assert not Staff.objects.filter(role=Role.EMERGENCY).exists()


@pytest.mark.parametrize(
    "said", [{"campus": "west"}, {"ticket": " "}, {"ticket": "工单 张三"}, {"reason": " "}]
)
def test_what_is_incomplete_is_not_asked_for(chen, said):
    with pytest.raises(emergencies.Incomplete):
        ask(chen, **said)
    assert not Emergency.objects.exists()


def test_one_request_of_a_person_waits(chen, lin):
    ask(chen)

    with pytest.raises(emergencies.AlreadyAsked):
        ask(chen)
    assert ask(lin)


def test_what_nobody_allows_lapses_after_a_day(chen, mei, gu):
    emergency = approve(ask(chen), mei)

    with pytest.raises(emergencies.NotWaiting):
        approve(emergency, gu, at=FRIDAY + DAY)
    assert emergencies.lapse(at=FRIDAY + DAY - timedelta(seconds=1)) == 0
    assert emergencies.lapse(at=FRIDAY + DAY) == 1

    emergency.refresh_from_db()
    assert emergency.state == "lapsed"
    assert lines(emergency, "emergency.decide")[-1]["facts"] == {"decision": "lapsed"}
    assert emergencies.lapse(at=FRIDAY + DAY) == 0


# The account


def test_it_sees_patients_and_does_nothing_else():
    assert roles.GRANTS[Role.EMERGENCY] == {
        May.VIEW_PATIENTS, May.SEARCH_PATIENTS, May.REVEAL_PATIENTS,
    }  # fmt: skip


def test_it_sees_the_campus_it_was_opened_for(chen, mei, gu):
    for campus, person in (("main", ZHANG), ("east", LI)):
        enrolment.enrol(person, accounts={}, campus=campus, at=FRIDAY)

    approve(ask(chen, campus="east"), mei, gu)

    assert [one.real_name for one in Patient.objects.seen_by(account())] == ["李四"]
    emergencies.close(Emergency.objects.get(), by=chen, at=LATER)
    assert not Patient.objects.seen_by(account()).exists()


def test_its_role_is_only_its_own(opened):
    assert Role.EMERGENCY in roles.SEALED
    assert account().person_id == sealed.PERSON_ID


def test_its_session_ends_at_the_minute(chen, mei, gu):
    now = timezone.now()
    emergency = approve(ask(chen, at=now), mei, gu, at=now)
    emergencies.fetch(emergency, by=chen, at=now)
    client = Client()
    client.force_login(account())
    assert client.get(PATIENTS).status_code == 200

    # No beat has come by: the row still says that it is open.
    Staff.objects.filter(role=Role.EMERGENCY).update(valid_until=timezone.now())

    assert client.get(PATIENTS).status_code == 302


def test_it_is_entered_with_a_second_factor_of_its_own(chen, mei, gu):
    now = timezone.now()
    emergency = approve(ask(chen, at=now), mei, gu, at=now)
    password = emergencies.fetch(emergency, by=chen, at=now)
    client = Client()
    credentials = {"username": sealed.USERNAME, "password": password}

    client.post(reverse("admin:login"), credentials)
    assert client.get(PATIENTS).status_code == 302
    phone = phone_of(client.get(reverse("account:totp")).content.decode())
    client.post(reverse("account:totp"), {"code": phone.code()})
    enrolment.enrol(ZHANG, accounts={}, campus="main", at=now)
    assert client.get(PATIENTS).status_code == 200

    read = Event.objects.filter(action="patient.view", actor_id=str(account().pk)).get()
    assert json.loads(read.payload)["severity"] == "alert"
    emergencies.close(emergency, by=chen, at=now)
    assert client.get(PATIENTS).status_code == 302
    client.post(reverse("admin:login"), credentials)
    assert client.get(reverse("account:totp")).status_code == 302
    assert not Authenticator.objects.exists()


def test_its_session_is_dead_once_it_is_shut(chen, mei, gu):
    now = timezone.now()
    emergency = approve(ask(chen, at=now), mei, gu, at=now)
    client = Client()
    client.force_login(account())
    assert client.get(PATIENTS).status_code == 200

    emergencies.close(emergency, by=mei, at=now)

    assert client.get(PATIENTS).status_code == 302


@pytest.mark.parametrize(
    "page",
    [
        "/admin/audit/event/",
        "/admin/audit/export/",
        "/admin/accounts/staff/",
        "/admin/accounts/emergency/",
        "/admin/accounts/policychoice/",
        "/admin/crypto/keyepoch/",
        "/admin/devices/terminal/",
        "/admin/faceauth/facesession/",
    ],
)
def test_no_page_but_the_patients_is_open_to_it(opened, page):
    client = Client()
    Staff.objects.filter(role=Role.EMERGENCY).update(valid_until=timezone.now() + HOUR)
    client.force_login(account())

    assert client.get(page).status_code == 403


# Every read is an alert


def test_whatever_it_does_is_an_alert(opened):
    with transaction.atomic():
        event = record(Action.PATIENT_VIEW, by=account(), on=None, at=LATER, count=1)

    assert json.loads(event.payload)["severity"] == "alert"


def test_what_others_read_is_none(chen):
    with transaction.atomic():
        event = record(Action.PATIENT_VIEW, by=chen, on=None, at=LATER, count=1)

    assert json.loads(event.payload)["severity"] == "info"


def test_its_first_read_raises_an_alarm(opened, chen):
    with transaction.atomic():
        record(Action.PATIENT_VIEW, by=chen, on=None, at=LATER, count=1)
    alarms.watch(at=LATER)
    assert not Finding.objects.filter(kind="emergency-reads").exists()

    with transaction.atomic():
        record(Action.PATIENT_SEARCH, by=account(), on=None, at=LATER, count=1)
    alarms.watch(at=LATER)

    finding = Finding.objects.get(kind="emergency-reads")
    assert (finding.severity, finding.facts["count"]) == ("alert", 1)
    assert finding.facts["actor_id"] == str(account().pk)


# The review


def test_it_is_due_at_the_end_of_the_next_working_day(opened, settings):
    settings.HOLIDAYS = frozenset({date(2026, 11, 23)})  # the Monday

    emergencies.close(opened, by=opened_by(opened), at=LATER)

    due = timezone.localtime(opened.review_due_at)
    assert (due.date(), due.hour) == (date(2026, 11, 24), 23)


def test_a_weekend_that_is_worked_counts(opened, settings):
    settings.WORKDAYS = frozenset({date(2026, 11, 21)})  # the Saturday

    emergencies.close(opened, by=opened_by(opened), at=LATER)

    assert timezone.localtime(opened.review_due_at).date() == date(2026, 11, 21)


def opened_by(emergency):
    return Staff.objects.get(pk=emergency.asked_by)


@pytest.mark.parametrize(
    ("at", "due"),
    [
        (FRIDAY, date(2026, 11, 23)),
        (FRIDAY + DAY, date(2026, 11, 23)),
        (FRIDAY + 3 * DAY, date(2026, 11, 24)),
        # After midnight here it is Monday already.
        (datetime(2026, 11, 22, 17, 0, tzinfo=UTC), date(2026, 11, 24)),
    ],
)
def test_weekends_are_no_working_days(at, due):
    assert timezone.localtime(working_days.end_of_next(at)).date() == due


def test_the_auditor_reviews_it_once(opened, chen, zhou):
    emergencies.close(opened, by=chen, at=LATER)

    emergencies.review(opened, conclusion="与事由相符", by=zhou, at=OVER)

    assert (opened.state, opened.reviewed_by) == ("reviewed", zhou.pk)
    assert lines(opened, "emergency.review")[0]["reason"] == "与事由相符"
    with pytest.raises(emergencies.NotReviewable):
        emergencies.review(opened, conclusion="再看一遍", by=zhou, at=OVER)


def test_what_is_still_open_is_not_reviewed(opened, zhou):
    with pytest.raises(emergencies.NotReviewable):
        emergencies.review(opened, conclusion="与事由相符", by=zhou, at=OVER)


def test_a_review_says_something(opened, chen, zhou):
    emergencies.close(opened, by=chen, at=LATER)

    with pytest.raises(emergencies.NoConclusion):
        emergencies.review(opened, conclusion="  ", by=zhou, at=OVER)


def test_who_had_a_part_in_it_does_not_review_it(opened, chen, mei, gu):
    emergencies.close(opened, by=chen, at=LATER)
    for person in (chen, mei, gu):
        with pytest.raises(emergencies.NotAllowed):
            emergencies.review(opened, conclusion="与事由相符", by=person, at=OVER)
    Staff.objects.filter(pk=mei.pk).update(role=Role.AUDITOR)
    mei.refresh_from_db()

    with pytest.raises(emergencies.SamePerson):
        emergencies.review(opened, conclusion="与事由相符", by=mei, at=OVER)


def test_a_review_that_is_late_is_an_alert_once(opened, chen):
    emergencies.close(opened, by=chen, at=LATER)
    due = opened.review_due_at
    assert emergencies.warn_of_overdue(at=due - timedelta(seconds=1)) == 0

    assert emergencies.warn_of_overdue(at=due) == 1
    assert emergencies.warn_of_overdue(at=due + DAY) == 0

    assert lines(opened, "emergency.overdue")[0]["severity"] == "alert"
    alarms.watch(at=due)
    assert Finding.objects.get(kind="emergency-overdue").severity == "alert"


def test_what_was_reviewed_in_time_is_not_late(opened, chen, zhou):
    emergencies.close(opened, by=chen, at=LATER)
    emergencies.review(opened, conclusion="与事由相符", by=zhou, at=OVER)

    assert emergencies.warn_of_overdue(at=FRIDAY + 30 * DAY) == 0


def test_the_beat_sees_to_all_of_it(chen, mei, gu, lin):
    long_ago = timezone.now() - 10 * DAY
    unanswered = ask(lin, at=long_ago)
    emergency = approve(ask(chen, at=long_ago), mei, gu, at=long_ago)

    tasks.attend_to_emergencies.apply(throw=True)

    unanswered.refresh_from_db()
    emergency.refresh_from_db()
    assert (unanswered.state, emergency.state) == ("lapsed", "closed")


# The pages


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    session = client.session
    session.pop("stepped_up_at", None)
    if fresh:
        stepup.stamp(session, at=timezone.now())
    session.save()
    return client


def page(name, *args):
    return reverse(f"admin:accounts_emergency_{name}", args=args)


def seen(client, *where):
    answer = client.get(page(*where), follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def banners(client):
    return client.get("/admin/").content.decode()


def test_a_use_from_asking_to_review(chen, mei, gu, zhou):
    asker, security = at_desk(chen, fresh=True), at_desk(mei, fresh=True)
    privacy, auditor = at_desk(gu, fresh=True), at_desk(zhou)
    said = {"campus": "main", "ticket": "INC-7", "reason": "登记系统停机"}

    asker.post(page("ask"), said)
    emergency = Emergency.objects.get()
    assert "等待安全管理员和个保负责人批准" in seen(asker, "change", emergency.pk)
    assert "项应急账号申请待您批准" in banners(security)
    assert "登记系统停机" in seen(security, "decision", emergency.pk)
    security.post(page("decision", emergency.pk), {"decision": "approve"})
    assert "等待个保负责人批准" in seen(asker, "change", emergency.pk)
    privacy.post(page("decision", emergency.pk), {"decision": "approve"})

    for client in (security, privacy, auditor):
        assert "应急账号已启用" in banners(client)
    assert "应急账号已启用" not in banners(asker)
    assert "显示密码" in seen(asker, "password", emergency.pk)
    answer = asker.post(page("password", emergency.pk))
    shown = re.search(r"一次性密码</dt><dd><code>([^<]+)", answer.content.decode())
    assert account().check_password(shown[1])
    assert "no-store" in answer["Cache-Control"]
    assert "只能由申请人在启用期间领取一次" in seen(asker, "password", emergency.pk)

    asker.post(page("closing", emergency.pk))
    assert not account().is_active
    assert "次应急使用待复核" in banners(auditor)
    assert str(account().pk) in seen(auditor, "change", emergency.pk)
    auditor.post(page("review", emergency.pk), {"conclusion": "与事由相符"})
    emergency.refresh_from_db()
    assert (emergency.state, emergency.conclusion) == ("reviewed", "与事由相符")
    assert "与事由相符" in seen(asker, "change", emergency.pk)


def test_the_one_who_uses_it_is_told_until_when(chen, mei, gu):
    now = timezone.now()
    approve(ask(chen, at=now), mei, gu, at=now)

    assert "自动停用，每次查看都会告警" in banners(at_desk(account()))


@pytest.mark.parametrize("name", ["decision", "password"])
def test_grave_pages_ask_who_is_there(chen, mei, gu, name):
    now = timezone.now()
    emergency = ask(chen, at=now)
    if name == "password":
        approve(emergency, mei, gu, at=now)
    client = at_desk(chen if name == "password" else mei)

    for answer in (
        client.get(page(name, emergency.pk)),
        client.post(page(name, emergency.pk), {"decision": "approve"}),
    ):
        assert answer.status_code == 302
        assert reverse("step-up") in answer.url
    emergency.refresh_from_db()
    assert (emergency.fetched_at, emergency.security_by is None) == (None, name == "decision")


def test_who_asks_sees_their_own(chen, sun, mei):
    emergency = ask(chen, at=timezone.now())

    assert "INC-1" in seen(at_desk(chen), "changelist")
    assert "INC-1" in seen(at_desk(mei), "changelist")
    stranger = at_desk(sun, fresh=True)
    assert "INC-1" not in seen(stranger, "changelist")
    assert stranger.get(page("change", emergency.pk)).status_code == 302  # Django: no such row
    assert stranger.get(page("password", emergency.pk)).status_code == 404
    assert stranger.post(page("closing", emergency.pk)).status_code == 404


@pytest.mark.parametrize(
    ("name", "who"),
    [
        ("ask", "mei"),
        ("ask", "zhou"),
        ("decision", "chen"),
        ("decision", "zhou"),
        ("password", "mei"),
        ("review", "chen"),
        ("review", "gu"),
    ],
)
def test_a_door_that_is_not_theirs(chen, request, name, who):
    emergency = ask(chen, at=timezone.now())
    client = at_desk(request.getfixturevalue(who), fresh=True)
    args = () if name == "ask" else (emergency.pk,)

    assert client.post(page(name, *args)).status_code == 403


def test_a_form_says_what_is_missing(chen, zhou):
    shown = at_desk(chen).post(page("ask"), {"campus": "main", "ticket": "张 三", "reason": ""})

    assert shown.status_code == 200
    assert not Emergency.objects.exists()
    assert shown.content.decode().count("errorlist") == 2


def test_a_refusal_is_told(chen, mei):
    emergency = ask(chen, at=timezone.now())
    client = at_desk(mei, fresh=True)
    client.post(page("decision", emergency.pk), {"decision": "refuse"})

    again = client.post(page("decision", emergency.pk), {"decision": "approve"}, follow=True)

    assert str(emergencies.SamePerson()) in again.content.decode()
    assert client.post(page("decision", emergency.pk)).status_code == 400


def test_a_review_without_a_word_is_asked_for_again(opened, chen, zhou):
    emergencies.close(opened, by=chen, at=LATER)

    shown = at_desk(zhou).post(page("review", opened.pk), {"conclusion": ""})

    assert "errorlist" in shown.content.decode()
    opened.refresh_from_db()
    assert opened.state == "closed"


# At once


def at_once(*acts):
    """Do them in threads; return how many were refused."""

    def do(act):
        try:
            act()
        except Refusal:
            return 1
        finally:
            connection.close()
        return 0

    with ThreadPoolExecutor(len(acts)) as pool:
        return sum(pool.map(do, acts))


def fresh(emergency):
    return Emergency.objects.get(pk=emergency.pk)


locks = pytest.mark.usefixtures("locking")


@pytest.fixture
def locking(transactional_db, chen, lin, mei, gu):
    if connection.vendor != "postgresql":
        pytest.skip("locks")
    with recorded():
        yield


@locks
@pytest.mark.postgresql
def test_of_two_approvals_at_once_one_opens_it(chen, mei, gu):
    emergency = ask(chen)

    refused = at_once(lambda: approve(fresh(emergency), mei), lambda: approve(fresh(emergency), gu))

    assert refused == 0
    assert fresh(emergency).state == "open"
    assert told(emergency).count("emergency.open") == 1
    assert account().is_active


@locks
@pytest.mark.postgresql
def test_of_two_uses_opened_at_once_one_is(chen, lin, mei, gu):
    emergencies.close(approve(ask(chen), mei, gu), by=chen, at=LATER)  # the account is there
    first, second = approve(ask(chen), mei), approve(ask(lin), mei)

    refused = at_once(lambda: approve(fresh(first), gu), lambda: approve(fresh(second), gu))

    assert refused == 1
    assert sorted([fresh(first).state, fresh(second).state]) == ["asked", "open"]
    assert Staff.objects.filter(role=Role.EMERGENCY).count() == 1


@locks
@pytest.mark.postgresql
def test_an_approval_and_a_refusal_at_once(chen, mei, gu):
    emergency = approve(ask(chen), mei)

    at_once(
        lambda: approve(fresh(emergency), gu),
        lambda: emergencies.decide(fresh(emergency), approves=False, by=gu, at=LATER),
    )

    state = fresh(emergency).state
    assert state in {"open", "refused"}
    assert Staff.objects.filter(role=Role.EMERGENCY, is_active=True).exists() == (state == "open")
    assert told(emergency).count("emergency.decide") == 2


@locks
@pytest.mark.postgresql
def test_closed_by_all_at_once_it_is_closed_once(chen, mei, gu):
    emergency = approve(ask(chen), mei, gu)

    refused = at_once(
        *(lambda by=by: emergencies.close(fresh(emergency), by=by, at=LATER) for by in (mei, gu)),
        lambda: emergencies.close_late(at=OVER),
    )

    assert refused in {1, 2}
    assert told(emergency).count("emergency.close") == 1
    assert not account().is_active


@locks
@pytest.mark.postgresql
def test_a_password_fetched_while_it_is_shut_opens_nothing(chen, mei, gu):
    emergency = approve(ask(chen), mei, gu)

    at_once(
        lambda: emergencies.fetch(fresh(emergency), by=chen, at=LATER),
        lambda: emergencies.close(fresh(emergency), by=mei, at=LATER),
    )

    assert fresh(emergency).state == "closed"
    assert not account().is_active
    assert not account().has_usable_password()


@locks
@pytest.mark.postgresql
def test_a_password_is_fetched_once(chen, mei, gu):
    emergency = approve(ask(chen), mei, gu)

    def fetch():
        emergencies.fetch(fresh(emergency), by=chen, at=LATER)

    assert at_once(fetch, fetch, fetch) == 2
    assert told(emergency).count("emergency.fetch") == 1
