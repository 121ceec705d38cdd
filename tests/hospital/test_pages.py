"""What staff see: their own pages and no others, in Chinese, masked, with nothing inline."""

import re
from datetime import date, timedelta
from html.parser import HTMLParser

import pytest
from django.apps import apps
from django.contrib import admin
from django.db import connection as database
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from faceauth import connection, expiry, onboarding
from faceauth.models import LIFETIME, FaceSession, Merchant
from faceauth.simulator import people
from hospital import stepup
from hospital.accounts.models import Emergency, PolicyChoice
from hospital.audit import analysis, proposing
from hospital.audit.exports import Export
from hospital.audit.findings import Finding
from hospital.audit.models import Event, Proposal
from hospital.crypto import keyring
from hospital.crypto.models import Job
from hospital.patients import enrolment
from hospital.patients.attendance import attend
from hospital.patients.models import Patient
from hospital.privacy.models import (
    Disclosure,
    Erasure,
    Incident,
    LegalHold,
    RetentionRule,
    RetentionRun,
)
from hospital.roles import GRANTS, May, Role

pytestmark = pytest.mark.django_db  # the cast is named by parameters, where pytest does not see it

# Which rights open a page; one of them is enough.
DOORS = {
    "accounts.emergency": {
        May.ASK_EMERGENCY,
        May.APPROVE_EMERGENCY_SECURITY,
        May.APPROVE_EMERGENCY_PRIVACY,
        May.REVIEW_EMERGENCIES,
    },
    "accounts.policychoice": {May.SET_POLICY, May.READ_POLICY},
    "accounts.staff": {May.MANAGE_STAFF, May.ASSIGN_ROLES, May.VIEW_SYSTEM},
    "audit.event": {May.READ_TRAIL},
    "audit.export": {May.EXPORT_TRAIL, May.SEE_EXPORTS},
    "audit.finding": {May.SETTLE_FINDINGS},
    "audit.proposal": {right for kind in proposing.kinds() for right in (kind.asks, kind.decides)},
    "audit.review": {May.READ_TRAIL},
    "crypto.job": {May.VIEW_KEYS},
    "crypto.keyepoch": {May.VIEW_KEYS},
    "devices.store": {May.MANAGE_STORES, May.VIEW_SYSTEM},
    "devices.terminal": {May.MANAGE_TERMINALS},
    "faceauth.consent": {May.VIEW_CONSENTS},
    "faceauth.facesession": {May.VIEW_SESSIONS},
    "faceauth.merchant": {May.MANAGE_MERCHANTS},
    "faceauth.notice": {May.MANAGE_NOTICES, May.APPROVE_NOTICES},
    "patients.patient": {May.VIEW_PATIENTS},
    "privacy.assessment": {May.MANAGE_ASSESSMENTS},
    "privacy.disclosure": {May.VIEW_DISCLOSURES},
    "privacy.erasure": {May.APPROVE_ERASURE},
    "privacy.incident": {May.MANAGE_INCIDENTS},
    "privacy.legalhold": {May.ASK_HOLD, May.APPROVE_HOLD},
    "privacy.retentionrule": {May.VIEW_RETENTION, May.SET_RETENTION},
    "privacy.retentionrun": {May.VIEW_RETENTION},
}
# Who holds this sees of the list what is their own, and the lobby's things are nobody's.
OWN = {"accounts.emergency": May.ASK_EMERGENCY}
# May add; looking at a list needs less.
MAKERS = {
    "accounts.staff": May.MANAGE_STAFF,
    "audit.export": May.EXPORT_TRAIL,
    "devices.store": May.MANAGE_STORES,
    "devices.terminal": May.MANAGE_TERMINALS,
    "faceauth.merchant": May.MANAGE_MERCHANTS,
    "faceauth.notice": May.MANAGE_NOTICES,
}
CAST = {
    "lin": Role.SYSTEM,
    "mei": Role.SECURITY,
    "zhou": Role.AUDITOR,
    "chen": Role.REGISTRAR,
    "gu": Role.PRIVACY,
}
STRANGER = people.find("stranger-1")
# Words no hospital translates.
FOREIGN = {"appid", "APIv", "HMAC", "SHA", "MD", "SDK", "API", "code", "label", "required"}
FOREIGN |= {"onboarding", "true", "https", "BEGIN", "HIS", "OpenID", "UnionID", *CAST}


@pytest.fixture
def onboarded(authorized):
    """A visit that came to a patient, by way of WeChat."""
    onboarding.onboard(authorized.pk, client_for=connection.identity_client, clock=timezone.now)
    authorized.refresh_from_db()
    return authorized


@pytest.fixture
def lobby(kiosk, notice):
    """A row of every kind: somebody became a patient, somebody left without finishing."""
    now = timezone.now()
    Merchant.objects.create(appid="wx1", mch_id="1900000001", merchant_serial="A1")
    known = enrolment.Person(STRANGER.name, STRANGER.document_type, STRANGER.document_number)
    patient, _ = enrolment.enrol(known, accounts={}, campus="main", at=now)
    done = FaceSession.objects.get(pk=kiosk.agree())
    done.see(face_sid="sid-1")
    done.authorize(at=now)
    done.complete(patient, at=now)
    Job.objects.create(
        kind=Job.Kind.DATA,
        target="aes-256-gcm",
        phase="reseal",
        total=1000,
        done=250,
        failed=1,
        findings=[{"model": "patients.patient", "pk": "1", "field": "x", "error": "Tampered"}],
    )
    kiosk.agree()
    expiry.expire(at=now + LIFETIME + timedelta(seconds=1))
    Finding.objects.create(kind="silence", key="silence::1", severity="alert", at=now)
    analysis.make(date(2026, 11, 16), at=now)
    Export.objects.create(
        kind="range",
        start=0,
        end=1,
        purpose="review",
        reason="季度内审",
        requested_by=patient.pk,
        requested_at=now,
    )
    PolicyChoice.objects.create(key="SESSION_IDLE_MINUTES", value=10, set_at=now)
    Emergency.objects.create(
        campus="main", ticket="INC-1", reason="登记系统停机", asked_by=patient.pk, asked_at=now
    )
    Disclosure.objects.create(recipient="his", purpose="handoff", subject=patient.pk, at=now)
    Erasure.objects.create(subject=uuid7(), cause="request", decided_at=now, due_at=now)
    Incident.objects.create(
        number="IR-1", kind="leak", summary="……", found_at=now, opened_by=patient.pk, opened_at=now
    )
    LegalHold.objects.create(
        patient=patient, until=timezone.localdate(now), placed_at=now, proposal=patient.pk
    )
    RetentionRule.objects.create(category="draft", value=48, proposal=patient.pk, changed_at=now)
    RetentionRun.objects.create(started_at=now, finished_at=now, state="done")
    Proposal.objects.create(
        kind="audit.prune",
        facts={"start": 0, "end": 1},
        reason="超过保存期限",
        asked_by=patient.pk,
        asked_at=now,
        expires_at=now,
    )
    Proposal.objects.create(
        kind="role.grant",
        facts={"staff": str(patient.pk), "role": "auditor", "campus": "", "clearance": 2},
        reason="新到岗",
        asked_by=patient.pk,
        asked_at=now,
        expires_at=now + timedelta(days=1),
    )
    return patient


@pytest.fixture(params=CAST)
def person(request):
    return request.getfixturevalue(request.param)


@pytest.fixture
def browser(person):
    return seated(person)


def seated(person):
    client = Client()
    client.force_login(person)
    session = client.session
    session[stepup._STAMP] = timezone.now().timestamp()
    session.save()
    return client


def to(label, page="changelist", **kwargs):
    return reverse(f"admin:{label.replace('.', '_')}_{page}", **kwargs)


def opened_to(role):
    return [label for label, rights in DOORS.items() if rights & GRANTS[role]]


def pages(role):
    """Every address `role` may open: lists, forms, one of each thing."""
    yield reverse("admin:index")
    yield reverse("admin:password_change")
    for label in opened_to(role):
        yield to(label)
        if MAKERS.get(label) in GRANTS[role]:
            yield to(label, "add")
        if OWN.get(label) in GRANTS[role]:
            continue
        for thing in apps.get_model(label).objects.all()[:12]:
            if label == "audit.proposal" and not has_part(role, thing):
                continue
            if label == "privacy.retentionrule" and May.SET_RETENTION not in GRANTS[role]:
                continue  # they read the whole schedule
            yield one_of(label, thing)


def has_part(role, proposal):
    kind = proposing.kind_of(proposal)
    return bool({kind.asks, kind.decides} & GRANTS[role])


def one_of(label, thing):
    if label == "privacy.retentionrule":
        return to(label, "change", args=[thing.category])
    if label == "patients.patient":
        return reverse("desk:patient", args=[thing.pk])
    return to(label, "change", args=[thing.pk])


class Page(HTMLParser):
    """What a test asks of a page: its inline code, and the words that are not data."""

    DATA = ("script", "style", "pre", "td", "th", "dd", "option", "code", "textarea", "small")
    VOID = ("input", "link", "meta", "br", "img", "hr", "path", "use", "source")

    def __init__(self, html):
        super().__init__()
        self.inline, self.words, self.links, self.lang = [], [], [], ""
        self._open = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        named = dict(attrs)
        handlers = [name for name in named if name.startswith("on")]
        if tag == "style" or "style" in named or handlers:
            self.inline.append((tag, attrs))
        if tag == "script" and "src" not in named:
            self.inline.append((tag, attrs))
        if tag == "html":
            self.lang = named["lang"]
        self.links += [named[name] for name in ("href", "src", "action") if named.get(name)]
        self.words += [named[name] for name in ("placeholder", "title", "alt") if name in named]
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        while tag in self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data):
        if not set(self.DATA) & set(self._open):
            self.words.append(data)


def test_every_page_has_a_door_in_this_file():
    assert {model._meta.label_lower for model in admin.site._registry} == set(DOORS)


def test_each_role_opens_its_own_lists_and_no_others(browser, person):
    for label, rights in DOORS.items():
        answer = browser.get(to(label))

        assert answer.status_code == (200 if rights & GRANTS[person.role] else 403), label


def test_each_role_makes_what_it_is_for_and_nothing_else(browser, person):
    for label in DOORS:
        answer = browser.get(to(label, "add"))

        makes = MAKERS.get(label) in GRANTS[person.role]
        assert answer.status_code == (200 if makes else 403), label


def test_nobody_deletes(browser, lobby):
    for label in DOORS:
        thing = apps.get_model(label).objects.first()

        answer = browser.post(to(label, "delete", args=[thing.pk]), {"post": "yes"})

        assert answer.status_code == 403, label
        assert apps.get_model(label).objects.filter(pk=thing.pk).exists(), label


def test_home_lists_exactly_the_roles_pages(browser, person):
    links = Page(browser.get(reverse("admin:index")).text).links

    assert {label for label in DOORS if to(label) in links} == set(opened_to(person.role))


def test_no_page_links_to_one_its_reader_may_not_open(browser, person, lobby):
    shut = [to(label) for label in DOORS if label not in opened_to(person.role)]

    for address in pages(person.role):
        for link in Page(browser.get(address).text).links:
            assert not link.startswith(tuple(shut)), (address, link)


def test_every_page_is_clean_and_guarded(browser, person, lobby):
    for address in pages(person.role):
        answer = browser.get(address)
        page = Page(answer.text)

        assert answer.status_code == 200, address
        assert page.inline == [], address
        assert "default-src 'self'" in answer["Content-Security-Policy"]
        assert "unsafe" not in answer["Content-Security-Policy"]
        assert answer["X-Frame-Options"] == "DENY"
        if address != reverse("admin:password_change"):  # an empty form
            assert "no-store" in answer["Cache-Control"], address


def test_every_page_is_chinese(browser, person, lobby):
    for address in pages(person.role):
        page = Page(browser.get(address).text)

        words = set(re.findall(r"(?<![\w-])[A-Za-z]{2,}(?![\w-])", " ".join(page.words)))
        assert page.lang == "zh-hans", address
        assert words <= FOREIGN, (address, words - FOREIGN)


def test_every_page_says_that_requirements_are_relaxed(browser, person, settings):
    relaxed = [browser.get(address).text for address in pages(person.role)]
    settings.DEPLOY_LEVEL = "3"
    strict = [browser.get(address).text for address in pages(person.role)]

    assert all("演示环境：安全要求已放宽" in page for page in relaxed)
    assert not any("演示环境" in page for page in strict)


def test_no_page_shows_who_a_patient_is(browser, person, lobby):
    for address in pages(person.role):
        shown = browser.get(address).text

        assert STRANGER.name not in shown, address
        assert STRANGER.document_number not in shown, address


def test_a_patient_is_shown_masked(chen, lobby):
    listed = to("patients.patient", "change", args=[lobby.pk])
    shown = seated(chen).get(listed, follow=True).text

    assert lobby.number in shown
    assert lobby.masked_name in shown
    assert lobby.masked_document in shown


def test_a_session_tells_its_story(chen, onboarded):
    shown = seated(chen).get(to("faceauth.facesession", "change", args=[onboarded.pk])).text

    told = re.findall(r"<time[^>]*>\d\d:\d\d:\d\d</time>\s*<span>(.*?)</span>", shown)
    assert told == ["同意告知书", "识别人脸", "患者授权", "取得微信应答", "建档"]


def test_a_session_that_came_to_nothing_says_why(chen, lobby):
    left = FaceSession.objects.get(state=FaceSession.State.EXPIRED)

    shown = seated(chen).get(to("faceauth.facesession", "change", args=[left.pk])).text

    assert '<span class="badge badge-expired">已过期</span>' in shown
    assert "超时未完成，请患者重新刷脸" in shown


def test_the_list_of_sessions_refreshes_itself_and_no_other_does(chen):
    sessions, patients = to("faceauth.facesession"), to("patients.patient")

    assert 'id="live"' in seated(chen).get(sessions).text
    assert 'id="live"' not in seated(chen).get(patients).text


def test_an_activation_code_is_shown_once_and_kept_nowhere(lin, kiosk):
    browser = seated(lin)
    asked = {"action": "issue_code", "_selected_action": [str(kiosk.terminal.pk)]}

    answer = browser.post(to("devices.terminal"), asked)

    code = re.search(r'<code class="code">([^<]+)</code>', answer.text)[1]
    assert "15 分钟内有效，只显示这一次，用后作废" in answer.text
    assert "no-store" in answer["Cache-Control"]
    assert code not in browser.get(to("devices.terminal")).text
    assert not any(code in event.payload for event in Event.objects.all())


@pytest.mark.parametrize("key", ["00000000-0000-7000-8000-000000000000", "not-an-id", "1"])
def test_a_thing_that_is_not_there_leads_home(chen, key):
    answer = seated(chen).get(to("faceauth.facesession", "change", args=[key]))

    assert answer.status_code == 302
    assert answer["Location"] == reverse("admin:index")


def test_an_address_that_is_not_there_is_a_chinese_404(chen):
    answer = seated(chen).get("/admin/nowhere/")

    assert answer.status_code == 404
    assert "找不到这个页面" in answer.text
    assert Page(answer.text).inline == []


def test_a_shut_door_says_so_in_chinese(chen):
    answer = seated(chen).get(to("audit.event"))

    assert answer.status_code == 403
    assert "您没有这项权限" in answer.text
    assert Page(answer.text).inline == []


def test_a_forged_form_is_turned_away_in_chinese(chen):
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(chen)

    answer = browser.post(reverse("admin:logout"))

    assert answer.status_code == 403
    assert "请求没有通过校验" in answer.text
    assert Page(answer.text).inline == []


def test_a_bug_is_told_in_chinese_and_tells_nothing_else(chen, monkeypatch):
    browser = seated(chen)
    browser.raise_request_exception = False
    monkeypatch.setattr(admin.site.get_model_admin(FaceSession), "list_display", ["nonsense"])

    answer = browser.get(to("faceauth.facesession"))

    assert answer.status_code == 500
    assert "系统出错" in answer.text
    assert "nonsense" not in answer.text
    assert Page(answer.text).inline == []


def test_without_a_role_home_says_whom_to_ask(chen):
    chen.role = ""
    chen.save()

    answer = seated(chen).get(reverse("admin:index"))

    assert "请联系安全管理员分配角色" in answer.text


def test_login_asks_for_a_staff_number_in_the_hospitals_name(settings):
    settings.HOSPITAL_NAME = "示范医院"

    shown = Client().get(reverse("admin:login")).text

    assert "工号" in shown
    assert "示范医院" in shown
    assert Page(shown).inline == []


def test_a_wrong_password_and_an_unknown_number_read_the_same(chen):
    def failed(username):
        answer = Client().post(reverse("admin:login"), {"username": username, "password": "x"})
        return re.search(r'role="alert">\s*(.*?)\s*</p>', answer.text)[1]

    assert failed(chen.username) == failed("nobody")
    assert failed("nobody").startswith("工号或密码不正确")


# When what is sealed cannot be opened.


def test_without_the_keys_the_desk_says_so_and_asks_to_come_back(chen, lobby, settings, tmp_path):
    browser = seated(chen)
    settings.KEY_FILE = tmp_path / "gone"
    keyring.clear()

    shown = browser.get(to("patients.patient"))

    assert shown.status_code == 503
    assert "请稍后重试" in shown.text


def test_one_patient_who_cannot_be_read_does_not_take_the_list_with_them(chen, onboarded):
    other = Patient.objects.create(
        number="P999",
        real_name="张三",
        document_type=1,
        document_number="11010119900307002X",
        created_at=timezone.now(),
    )
    attend(other, campus="main", at=timezone.now())
    whole, damaged = Patient.objects.order_by("number")[:2]
    with database.cursor() as cursor:
        key = Patient._meta.pk.get_db_prep_value(damaged.pk, database)
        cursor.execute(
            "UPDATE patients_patient SET real_name = %s WHERE id = %s", [b"rubbish", key]
        )

    shown = seated(chen).get(to("patients.patient"))

    assert shown.status_code == 200
    assert whole.masked_name in shown.text
    assert "无法打开" in shown.text
