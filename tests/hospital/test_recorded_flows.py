"""
Every save of the pages and every task of the beat, in transactions of their own.

`conftest.FLOWS` names this file: what changes here without its event is refused (PostgreSQL) or
found (SQLite).
"""

from datetime import timedelta

import pytest
from django.conf import settings as project
from django.contrib import admin
from django.contrib.auth.hashers import make_password
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from django.utils.module_loading import import_string

from devices.models import Activation, Store, Suspension, Terminal, TerminalKey
from faceauth import consent
from faceauth.models import FaceSession, Merchant, Notice
from hospital.accounts.models import Staff
from hospital.audit import coverage, proposing
from hospital.audit.actions import Action
from hospital.audit.models import Archive, Event, Finding, Proposal, Review
from hospital.audit.recording import SYSTEM, record
from hospital.patients.models import Patient
from tests import signing_in
from tests.conftest import PASSWORD, see
from tests.hospital.aged import HERE, NOW, aged

DAY = timedelta(days=1)


@pytest.fixture(autouse=True, params=[HERE])
def database(db):
    pass


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        signing_in.step_up(client, person)
    return client


def page(model, name, *args):
    return reverse(f"admin:{model._meta.label_lower.replace('.', '_')}_{name}", args=args)


def saved(desk, address, **form):
    answer = desk.post(address, form)
    assert answer.status_code == 302, answer.context and answer.context.get("errors")


def chosen(desk, obj, action, **form):
    """Choose one row of a list and what to do with it."""
    form |= {"action": action, "_selected_action": [str(obj.pk)]}
    assert desk.post(page(type(obj), "changelist"), form).status_code in {200, 302}


def told(obj):
    """Return what the trail tells of it, the oldest first."""
    return list(Event.objects.on(obj).order_by("id").values_list("action", flat=True))


def test_accounts(lin, mei, chen):
    system, security = at_desk(lin, fresh=True), at_desk(mei, fresh=True)
    names = {"username": "wang", "display_name": "王", "person_id": "E-wang"}

    assert system.post(page(Staff, "add"), names).status_code == 200  # with the password
    wang = Staff.objects.get(username="wang")
    saved(
        system, page(Staff, "change", wang.pk), **names | {"display_name": "王五"}, is_active="on"
    )
    saved(security, page(Staff, "taking_away", chen.pk))

    assert told(wang) == ["staff.create", "staff.change"]
    assert told(chen) == ["role.assign"]


@pytest.fixture
def wang_of_before(chen):
    """Somebody whose password was hashed with less work."""
    Staff.objects.filter(pk=chen.pk).update(password=make_password(PASSWORD, hasher="md5"))
    return chen


def test_coming_and_going(wang_of_before, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.PBKDF2PasswordHasher"] + [
        one for one in settings.PASSWORD_HASHERS if "PBKDF2Password" not in one
    ]
    client, new = Client(), "another battery staple 9"
    login = {"username": wang_of_before.username, "password": PASSWORD}

    phone = signing_in.enrolled(wang_of_before)
    client.post(reverse("admin:login"), login | {"password": "wrong"})
    saved(client, reverse("admin:login"), **login)
    client.post(reverse("account:second-factor"), {"code": "wrong"})
    saved(client, reverse("account:second-factor"), code=phone.code())
    client.post(reverse("step-up"), {"code": "wrong"})
    saved(client, reverse("step-up"), code=phone.code())
    form = {"old_password": PASSWORD, "new_password1": new, "new_password2": new}
    saved(client, reverse("admin:password_change"), **form)
    client.post(reverse("admin:logout"))

    assert told(wang_of_before) == [
        "auth.login_failed",
        "auth.password_rehash",
        "auth.login_failed",
        "auth.login",
        "auth.login_failed",
        "auth.step_up_failed",
        "auth.step_up",
        "auth.password_change",
        "auth.logout",
    ]


def test_places_and_boxes(lin, kiosk):
    desk, terminal = at_desk(lin, fresh=True), kiosk.terminal

    east = {"code": "dongqu", "name": "东区", "campus": "east", "fallback": "一楼窗口"}
    saved(desk, page(Store, "add"), **east)
    store = Store.objects.get(code="dongqu")
    saved(desk, page(Store, "change", store.pk), **east | {"name": "东楼", "campus": "main"})
    saved(desk, page(Terminal, "add"), serial="T-9", name="二楼", store=store.pk)
    saved(desk, page(Terminal, "change", terminal.pk), serial="T-1", name="三楼", store=store.pk)
    chosen(desk, terminal, "issue_code", confirmed="yes")
    assert Activation.objects.filter(terminal=terminal).exists()
    chosen(desk, terminal, "suspend", reason="维修")
    assert Suspension.objects.filter(terminal=terminal).exists()
    chosen(desk, terminal, "resume")
    chosen(desk, terminal, "revoke_keys")
    other = TerminalKey.objects.get(terminal=terminal)
    saved(desk, page(Terminal, "revoke_key", terminal.pk, other.pk))

    assert told(store) == ["store.create", "store.change"]
    assert told(Terminal.objects.get(serial="T-9")) == ["terminal.create"]
    assert told(terminal) == [
        "terminal.change",
        "terminal.activation",
        "terminal.suspend",
        "terminal.resume",
        "terminal.key_revoke",
    ]


def test_a_notice(gu):
    desk = at_desk(gu, fresh=True)
    draft = {"version": 4, "title": "告知书", "text": "……", "fallback": "请到人工窗口"}
    draft["purposes"] = '[{"code": "onboarding", "label": "建档", "required": true}]'

    saved(desk, page(Notice, "add"), **draft)
    notice = Notice.objects.get(version=4)
    saved(desk, page(Notice, "change", notice.pk), **draft | {"title": "刷脸告知书"})
    saved(desk, page(Notice, "enforcement", notice.pk), note="新增目的")
    consent.enforce(notice, by=SYSTEM, at=timezone.now())

    assert told(notice) == ["notice.create", "notice.change", "notice.enforce"]


def test_a_merchant(lin):
    desk = at_desk(lin, fresh=True)
    form = {"mode": "direct", "appid": "wx0000000000000001", "mch_id": "1900000001"}
    form |= {"is_active": "on", "sign_type": "HMAC-SHA256"}
    form |= {"v2_base_url": "https://payapp.weixin.qq.com"}
    form |= {"v3_base_url": "https://api.mch.weixin.qq.com"}

    saved(desk, page(Merchant, "add"), **form)
    merchant = Merchant.objects.get()
    form |= {"shown": merchant.changed_at.isoformat(), "mch_id": "1900000002"}
    saved(desk, page(Merchant, "change", merchant.pk), **form)

    assert told(merchant) == ["merchant.create", "merchant.change"]


@pytest.fixture
def last_week(db):
    """Something to analyse."""
    with transaction.atomic():
        ago = timezone.now() - 8 * DAY
        record(Action.AUTHINFO_ISSUE, by=SYSTEM, on=None, at=ago, cached=True, expires_in=1)


def test_what_the_auditor_settles_and_signs(zhou, last_week):
    desk = at_desk(zhou)
    import_string("hospital.audit.tasks.verify_nightly").apply(throw=True)  # has no keys: a finding
    import_string("hospital.audit.tasks.analyse").apply(throw=True)
    finding, review = Finding.objects.first(), Review.objects.first()

    saved(desk, page(Finding, "settle", finding.pk), state="handled", note="已核实")
    saved(desk, page(Review, "sign", review.pk), conclusion="无异常")

    assert told(finding) == ["finding.raise", "finding.settle"]
    assert told(review) == ["review.make", "review.sign"]


@pytest.fixture
def archived(tmp_path, settings):
    house = aged(tmp_path, settings)
    Archive(
        start=0, end=10, root=b"r" * 32, name="trail-0-10.zip", size=1,
        sha256="0" * 64, sm3="0" * 64, at=NOW,
    ).save()  # fmt: skip
    return house


@pytest.mark.parametrize("decision", ["approve", "refuse", None])
def test_what_one_asks_and_another_decides(archived, zhou, mei, decision):
    asker, decider = at_desk(zhou, fresh=True), at_desk(mei, fresh=True)

    saved(asker, page(Proposal, "prune"), end=10, note="超过保存期限")
    proposal = Proposal.objects.get()
    if decision:
        saved(decider, page(Proposal, "decision", proposal.pk), decision=decision)
    else:
        proposing.expire(at=proposal.expires_at)

    assert told(proposal) == ["proposal.ask", "proposal.decide"]


@pytest.fixture
def afternoon(kiosk, authorized, simulator, zhou, last_week):
    """Something of everything the tasks look at: sessions, silence, answers, proposals."""
    late = see(kiosk, simulator, "stranger-2")
    ago = timezone.now() - DAY
    FaceSession.objects.filter(pk=late.pk).update(opened_at=ago)
    Terminal.objects.update(last_seen_at=ago)
    asked = Proposal.objects.create(
        kind="audit.prune", facts={"start": 0, "end": 10}, reason="x", asked_by=zhou.pk,
        asked_at=ago - 30 * DAY, expires_at=ago,
    )  # fmt: skip
    return late, asked


def test_every_task_of_the_beat_says_what_it_changes(afternoon, kiosk):
    late, asked = afternoon

    for one in project.CELERY_BEAT_SCHEDULE.values():
        import_string(one["task"]).apply(throw=True)

    late.refresh_from_db()
    assert late.state == FaceSession.State.EXPIRED
    assert told(late)[-1] == "session.expire"
    assert told(kiosk.terminal)[-1] == "terminal.silent"
    assert told(asked) == ["proposal.decide"]
    assert Review.objects.exists()


def test_a_visit(authorized):
    import_string("faceauth.tasks.onboard").apply(
        kwargs={"session_id": str(authorized.pk)}, throw=True
    )

    patient = Patient.objects.get()
    assert told(patient) == ["patient.onboard"]


def test_each_page_that_saves_is_walked():
    walked = {Staff, Store, Terminal, Merchant, Notice, Finding, Review, Proposal}
    held = {one.model for one in coverage.covered()}

    saving = {
        model
        for model, pages in admin.site._registry.items()
        if model in held and (getattr(pages, "add", None) or getattr(pages, "change", None))
    }

    assert saving <= walked
