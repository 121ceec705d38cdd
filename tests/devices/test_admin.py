"""What 林 sees of her terminals, and what she does to them."""

import re
from datetime import timedelta

import pytest
import segno
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from devices import activation, suspension
from devices.admin.conditions import span
from devices.agent import keys
from devices.models import Activation, Terminal, TerminalKey
from hospital.audit.models import Event
from tests import signing_in

LIST = "/admin/devices/terminal/"


@pytest.fixture
def desk(lin):
    client = Client()
    client.force_login(lin)
    signing_in.step_up(client, lin)
    return client


def page(terminal):
    return reverse("admin:devices_terminal_change", args=[terminal.pk])


def heard(terminal, **fields):
    Terminal.objects.filter(pk=terminal.pk).update(
        **{"last_seen_at": timezone.now(), "clock_offset": 0, "agent_version": "1.0", **fields}
    )


def ask_for_code(desk, terminal, **extra):
    chosen = {"action": "issue_code", "_selected_action": [str(terminal.pk)], **extra}
    return desk.post(LIST, chosen)


def counts(html):
    found = re.findall(r">([^<>]+) <span class=\"count\">(\d+)</span>", html)
    return {name.strip(): int(count) for name, count in found}


def test_the_list_counts_and_filters_by_condition(desk, install, lin, settings):
    settings.OLDEST_AGENT_VERSION = "1.0"
    heard(install("T-1").terminal)
    heard(install("T-2").terminal, agent_version="0.9")
    heard(install("T-3").terminal, last_seen_at=timezone.now() - timedelta(hours=1))
    suspended = install("T-4").terminal
    suspension.suspend(suspended, by=lin, at=timezone.now(), reason="待修")
    install("T-5")

    shown = desk.get(LIST).text

    assert counts(shown) == {
        "全部": 5,
        "在线": 2,
        "失联": 1,
        "版本过旧": 1,
        "时钟偏差": 0,
        "已停用": 1,
        "未上线": 1,
    }
    assert '<span class="badge badge-outdated">版本过旧</span>' in shown
    outdated = desk.get(f"{LIST}?condition=outdated").text
    assert "T-2" in outdated
    assert "T-1<" not in outdated


@pytest.mark.parametrize("question", ["condition=nonsense", "condition="])
def test_a_condition_there_is_none_of_filters_nothing(desk, kiosk, question):
    answer = desk.get(f"{LIST}?{question}")

    assert answer.status_code == 200
    assert kiosk.terminal.serial in answer.text


def test_other_columns_cannot_be_asked_for(desk, kiosk):
    assert desk.get(f"{LIST}?keys__public_key__startswith=x").status_code in {302, 400}


def test_a_code_comes_with_its_qr_code(desk, kiosk, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        "devices.qr.segno.make",
        lambda text, make=segno.make, **options: drawn.append(text) or make(text, **options),
    )

    shown = ask_for_code(desk, kiosk.terminal).text

    code = re.search(r'<code class="code">([^<]+)</code>', shown)[1]
    assert drawn == [f"face-terminal:http://testserver#{code}"]
    svg = re.search(r"<svg.*?</svg>", shown, re.DOTALL)[0]
    assert "style" not in svg
    assert code not in svg


def test_a_code_for_a_live_terminal_is_asked_for_twice(desk, kiosk):
    heard(kiosk.terminal)

    warned = ask_for_code(desk, kiosk.terminal)

    assert "下列终端正在使用" in warned.text
    assert not Activation.objects.exists()
    confirmed = ask_for_code(desk, kiosk.terminal, confirmed="yes")
    assert 'class="code"' in confirmed.text
    assert Activation.objects.filter(terminal=kiosk.terminal).exists()


def test_a_terminal_without_a_key_is_nobodys_place(desk, kiosk, lin):
    heard(kiosk.terminal)
    activation.revoke(kiosk.key, by=lin, at=timezone.now())

    assert 'class="code"' in ask_for_code(desk, kiosk.terminal).text


def test_a_replacement_is_shown_with_its_time(desk, kiosk, lin):
    heard(kiosk.terminal)
    code = activation.issue(kiosk.terminal, by=lin, at=timezone.now())
    box = keys.make("ed25519")
    key = activation.activate(
        code,
        public_key=keys.public_pem(box),
        at=timezone.now(),
        model="ABC",
        sdk_version="1.26",
        agent_version="1.0",
    )

    shown = desk.get(page(kiosk.terminal)).text

    when = timezone.localtime(key.created_at).strftime("%Y-%m-%d %H:%M")
    assert re.search(rf"已被新设备接替.*?{when}", shown, re.DOTALL)
    assert '<span class="badge badge-expired">已被新设备接替</span>' in shown
    assert '<span class="badge badge-replaced">已被新设备接替</span>' in desk.get(LIST).text


def test_one_of_two_keys_is_revoked(desk, kiosk, notice, lin):
    second = keys.make("ed25519")
    TerminalKey.objects.create(
        id=keys.key_id(second),
        terminal=kiosk.terminal,
        algorithm="ed25519",
        public_key=keys.public_pem(second),
        created_at=timezone.now(),
    )
    where = reverse("admin:devices_terminal_revoke_key", args=[kiosk.terminal.pk, kiosk.key.pk])
    assert where in desk.get(page(kiosk.terminal)).text

    answer = desk.post(where, follow=True)

    assert "密钥已吊销" in answer.text
    assert kiosk.get("notice/").json()["code"] == "key_unknown"
    assert [key.pk for key in kiosk.terminal.keys.in_force()] == [keys.key_id(second)]
    event = Event.objects.filter(action="terminal.key_revoke").get()
    assert event.actor_id == str(lin.pk)


def test_a_key_is_revoked_by_nobody_else_and_by_no_link(desk, kiosk, install, chen):
    where = reverse("admin:devices_terminal_revoke_key", args=[kiosk.terminal.pk, kiosk.key.pk])
    other = reverse(
        "admin:devices_terminal_revoke_key", args=[install("T-2").terminal.pk, kiosk.key.pk]
    )
    registrar = Client()
    registrar.force_login(chen)

    assert registrar.post(where).status_code == 403
    assert desk.get(where).status_code == 405
    assert desk.post(other).status_code == 404
    forged = Client(enforce_csrf_checks=True)
    forged.force_login(desk.get(LIST).wsgi_request.user)
    assert forged.post(where).status_code == 403
    assert kiosk.terminal.keys.in_force().exists()


def test_a_terminals_page_shows_its_last_requests(desk, kiosk, notice, lin):
    served = kiosk.get("notice/").headers["X-Request-Id"]
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏")
    refused = kiosk.get("notice/").headers["X-Request-Id"]

    shown = desk.get(page(kiosk.terminal)).text

    assert shown.index(refused) < shown.index(served)
    assert '<span class="badge badge-failed">terminal_suspended</span>' in shown
    assert re.search(r"屏幕损坏，lin，\d{4}-\d\d-\d\d \d\d:\d\d", shown)


def test_a_terminals_page_says_how_the_box_is(desk, kiosk):
    heard(kiosk.terminal, disk_free_mb=20480, uptime=93_784, last_error="SDK_TIMEOUT")

    shown = desk.get(page(kiosk.terminal)).text

    assert "20.0 GB" in shown
    assert "1 天 2 小时" in shown
    assert "SDK_TIMEOUT" in shown


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "—"), (59, "0 分"), (3_900, "1 小时 5 分"), (90_000, "1 天 1 小时")],
)
def test_a_duration_is_said_in_two_words(seconds, said):

    assert span(seconds) == said


def test_a_new_terminal_is_made_with_three_fields(desk, store):
    shown = desk.get("/admin/devices/terminal/add/").text
    assert "磁盘剩余" not in shown

    desk.post(
        "/admin/devices/terminal/add/", {"serial": "T-9", "name": "大厅", "store": str(store.pk)}
    )

    assert Terminal.objects.filter(serial="T-9").exists()
