from datetime import timedelta

from django.utils import timezone

from faceauth import expiry
from faceauth.models import LIFETIME, FaceSession


def test_a_session_nobody_finished_expires_and_forgets(seen):
    closed = expiry.expire(at=timezone.now() + LIFETIME + timedelta(seconds=1))

    seen.refresh_from_db()
    assert closed == 1
    assert seen.state == FaceSession.State.EXPIRED
    assert seen.face_sid is None


def test_a_session_in_its_lifetime_stays(seen):
    assert expiry.expire(at=timezone.now() + LIFETIME - timedelta(seconds=30)) == 0


def test_an_authorized_session_never_expires(authorized):
    assert expiry.expire(at=timezone.now() + 10 * LIFETIME) == 0


def test_expiring_twice_records_once(seen):
    later = timezone.now() + 2 * LIFETIME

    assert expiry.expire(at=later) == 1
    assert expiry.expire(at=later) == 0
