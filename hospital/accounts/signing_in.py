"""
From a password to a session, over a second factor.

Until the second factor is shown nobody is logged in: the session knows who is awaited, and for
five minutes. Who has none yet is let in half-way (`hospital.accounts.second_factor`).
"""

from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any, Final

from django.contrib.auth import authenticate, login, logout
from django.contrib.auth.backends import ModelBackend
from django.contrib.auth.signals import user_login_failed
from django.http import HttpRequest
from django.utils import timezone
from django.utils.crypto import constant_time_compare

from hospital import stepup
from hospital.accounts import lockout, mfa, second_factor
from hospital.accounts.models import Staff

PATIENCE: Final = timedelta(minutes=5)  # from the password to the second factor
_AWAITED: Final = "awaited"
_BACKEND: Final = "hospital.accounts.signing_in.Passwords"


class Passwords(ModelBackend):
    """Nobody's password is right whose account is disabled or past its end."""

    def user_can_authenticate(self, user: Any) -> bool:
        return super().user_can_authenticate(user) and not user.has_ended(at=timezone.now())


def recognise(request: HttpRequest, *, username: str, password: str) -> Staff | None:
    """
    Return whose password this is; None for a wrong one, and where no try is left.

    Whoever it is, and whether there is such an account or not, it takes one hash of a password.
    """
    if not lockout.take(username):
        Staff().set_password(password)
        user_login_failed.send(__name__, credentials={"username": username}, request=request)
        return None
    person = authenticate(request, username=username, password=password)
    if not isinstance(person, Staff):
        return None
    lockout.give_back(username)
    return person


def begin(request: HttpRequest, person: Staff, *, at: datetime) -> bool:
    """
    Take a right password, under a new session; return whether a second factor is awaited.

    Who has none is logged in, and gets no further than to where they enrol one.
    """
    if request.user.is_authenticated:
        logout(request)
    request.session.flush()
    second_factor.note(request.session, second_factor.PASSWORD)
    if not mfa.factors_of(person).exists():
        login(request, person, backend=_BACKEND)
        return False
    request.session[_AWAITED] = {
        "person": str(person.pk),
        "hash": person.get_session_auth_hash(),
        "until": (at + PATIENCE).timestamp(),
    }
    return True


def awaited(request: HttpRequest, *, at: datetime) -> Staff | None:
    """Return whose second factor is awaited; None if nobody's, not any more, or not for them."""
    kept = request.session.get(_AWAITED)
    if not kept or kept["until"] <= at.timestamp():
        return None
    person = Passwords().get_user(kept["person"])
    if not isinstance(person, Staff):
        return None
    is_same = constant_time_compare(kept["hash"], person.get_session_auth_hash())
    return person if is_same else None


def prove(
    request: HttpRequest, person: Staff, *, code: str, credential: object, at: datetime
) -> str:
    """
    Return the kind of second factor that was shown; a wrong one counts like a wrong password.

    :raises WrongAnswer: also where no try is left, whatever was shown
    """
    if lockout.take(person.username):
        with suppress(mfa.WrongAnswer):
            factor = mfa.shown(person, code=code, credential=credential, at=at)
            lockout.give_back(person.username)
            return factor
    user_login_failed.send(
        __name__,
        credentials={"username": person.username},
        request=request,
        factor=mfa.kind_of(code=code, credential=credential),
    )
    raise mfa.WrongAnswer


def finish(request: HttpRequest, person: Staff, *, factor: str, at: datetime) -> None:
    """Log in who has shown both; for the next minutes grave acts ask for nothing more."""
    request.session.pop(_AWAITED, None)
    second_factor.note(request.session, factor)
    stepup.stamp(request.session, at=at)
    login(request, person, backend=_BACKEND)


def complete(request: HttpRequest, *, factor: str, at: datetime) -> None:
    """Let a session in that was half logged in: its person has enrolled a second factor."""
    second_factor.note(request.session, factor)
    stepup.confirm(request.session, at=at)
