"""What a living worker has in hand stays its own; what it gave back, or held too long, does not."""

from datetime import timedelta

import pytest
from django.utils import timezone

from faceauth import leases, tasks
from faceauth.models import LEASE, FaceSession
from faceauth.models.session import FARTHEST

MOMENT = timedelta(milliseconds=1)


@pytest.fixture
def now(authorized):
    return authorized.due_at


@pytest.fixture
def session(authorized, now):
    return FaceSession.objects.claim(authorized.pk, at=now)


def test_who_is_slow_and_alive_keeps_what_it_has(session, now):
    with leases.holding(session, clock=lambda: now):
        for quarter in range(1, 8):
            leases.renew(at=now + quarter * leases.EVERY)

        assert FaceSession.objects.claim(session.pk, at=now + LEASE + MOMENT) is None
        session.refresh_from_db()
        assert session.due_at == now + 7 * leases.EVERY + LEASE
        assert session.attempts == 1


def test_who_is_quick_costs_no_statement(session, now, django_assert_num_queries):
    with leases.holding(session, clock=lambda: now), django_assert_num_queries(0):
        leases.renew(at=now + leases.EVERY - MOMENT)


def test_a_thread_that_could_not_start_is_tried_again(session, now, monkeypatch):
    monkeypatch.setattr(leases, "_renewing", None)
    monkeypatch.setattr(leases.threading.Thread, "start", no_room)

    for _ in range(2):
        with pytest.raises(RuntimeError), leases.holding(session, clock=lambda: now):
            pass

    assert not leases._leases


def no_room(_thread):
    raise RuntimeError("can't start new thread")


def test_what_is_no_longer_held_runs_out(session, now):
    with leases.holding(session, clock=lambda: now):
        pass
    leases.renew(at=now + leases.EVERY)

    assert FaceSession.objects.claim(session.pk, at=now + LEASE)


def test_what_was_given_back_is_not_taken_again(session, now):
    with leases.holding(session, clock=lambda: now):
        session.postpone(until=now + timedelta(seconds=1))
        leases.renew(at=now + leases.EVERY)

    session.refresh_from_db()
    assert session.due_at == now + timedelta(seconds=1)


def test_what_another_took_is_theirs(session, now):
    with leases.holding(session, clock=lambda: now):
        other = FaceSession.objects.claim(session.pk, at=now + LEASE)
        leases.renew(at=now + LEASE)

    session.refresh_from_db()
    assert session.due_at == other.due_at == now + 2 * LEASE


def test_who_never_ends_is_given_up(session, now):
    with leases.holding(session, clock=lambda: now):
        leases.renew(at=now + leases.LONGEST + MOMENT)

        assert FaceSession.objects.claim(session.pk, at=now + leases.LONGEST + MOMENT)


def test_who_waits_for_a_clock_that_was_set_back_waits_no_longer(session, now):
    hour_ago = now - timedelta(hours=1)
    FaceSession.objects.update(due_at=hour_ago + FARTHEST, attempts=1)
    assert not FaceSession.objects.astray(hour_ago).exists()

    FaceSession.objects.update(due_at=timezone.now() + timedelta(hours=1))
    tasks.wake_due()

    assert FaceSession.objects.claim(session.pk, at=timezone.now())


def test_nobody_waits_before_the_first_attempt_however_little_a_clock_was_ahead(session, now):
    FaceSession.objects.update(due_at=now + timedelta(minutes=1), attempts=0)

    tasks.wake_due()

    assert FaceSession.objects.claim(session.pk, at=timezone.now())
