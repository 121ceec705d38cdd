import pytest
from django.utils import timezone

from devices import suspension
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
