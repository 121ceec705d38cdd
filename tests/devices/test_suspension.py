import pytest
from django.utils import timezone

from devices import suspension
from devices.agent import keys
from devices.agent.signing import TerminalAuth
from hospital.audit.models import Event


def test_a_suspension_says_who_and_why(kiosk, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏")

    event = Event.objects.filter(action="terminal.suspend").get()
    assert event.actor_id == str(lin.pk)
    assert "屏幕损坏" in event.payload


def test_suspending_twice_is_refused(kiosk, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="一")

    with pytest.raises(suspension.AlreadySuspended):
        suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="二")


def test_a_resumed_terminal_works_again(kiosk, notice, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏")
    suspension.resume(kiosk.terminal, by=lin, at=timezone.now())

    assert kiosk.get("notice/").status_code == 200


def test_resuming_what_runs_is_refused(kiosk, lin):
    with pytest.raises(suspension.NotSuspended):
        suspension.resume(kiosk.terminal, by=lin, at=timezone.now())


def test_the_terminals_screen_can_say_why(kiosk, notice, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏，待修。")

    answer = kiosk.get("notice/")

    assert answer.status_code == 403
    assert answer.json()["detail"] == "本终端已停用：屏幕损坏，待修。请到人工窗口办理"


def test_a_suspension_bites_the_second_key_too(kiosk, notice, lin):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="屏幕损坏")
    second = keys.make("ed25519")
    kiosk.terminal.keys.create(
        id=keys.key_id(second),
        algorithm="ed25519",
        public_key=keys.public_pem(second),
        created_at=timezone.now(),
    )
    kiosk.http.auth = TerminalAuth(second, keys.key_id(second))

    assert kiosk.get("notice/").json()["code"] == "terminal_suspended"
