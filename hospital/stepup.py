"""
A grave act asks who is there once more: a session that stood open proves nothing.

What is asked for is a second factor; logging in with one counts as well.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec
from urllib.parse import urlencode

from django.contrib.sessions.backends.base import SessionBase
from django.core.cache import cache
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.crypto import salted_hmac
from django.utils.http import url_has_allowed_host_and_scheme

from hospital import policy

_STAMP: Final = "stepped_up_at"  # seconds since 1970
TRIES: Final = 5  # of a session, which ends with the last one
REMEMBERED: Final = timedelta(hours=12)  # each of them: longer than any session

P = ParamSpec("P")
View = Callable[Concatenate[Any, HttpRequest, P], HttpResponseBase]


def fresh(view: View[P]) -> View[P]:
    """
    Let a method of an admin page answer only who has shown a moment ago that it is them.

    Others go to the page that asks, and come back to this address. What they had sent is gone:
    let the form itself be behind this as well.
    """

    @wraps(view)
    def guarded(
        page: Any, request: HttpRequest, /, *args: P.args, **kwargs: P.kwargs
    ) -> HttpResponseBase:
        if is_fresh(request.session, at=timezone.now()):
            return view(page, request, *args, **kwargs)
        query = urlencode({"next": request.path})
        return HttpResponseRedirect(f"{reverse('step-up')}?{query}")

    return guarded


def is_fresh(session: SessionBase, *, at: datetime) -> bool:
    age = at.timestamp() - float(session.get(_STAMP, 0))
    return 0 <= age < policy.value("STEP_UP_MINUTES") * 60


def stamp(session: SessionBase, *, at: datetime) -> None:
    """Remember that it was them."""
    session[_STAMP] = at.timestamp()


def confirm(session: SessionBase, *, at: datetime) -> None:
    """Remember that it was them, under a new key: who knew the old one learns nothing."""
    session.cycle_key()
    stamp(session, at=at)


def attempt(session: SessionBase) -> int:
    """
    Take one of the tries of a session, before the answer is looked at; return how many are left.

    -1: none was left to take. Each is an entry of its own in the shared cache, since adding one
    is atomic in every kind of cache and counting is not: requests at once get no more than one.
    Of the session, not of the person: who stole a cookie does not shut its owner out elsewhere.
    """
    name = salted_hmac("hospital.stepup", session.session_key or "").hexdigest()
    for tried in range(TRIES):
        if cache.add(f"step-up-try:{name}:{tried}", 1, REMEMBERED.total_seconds()):
            return TRIES - tried - 1
    return -1


def onward(request: HttpRequest) -> str:
    """Return where to go afterwards: a page of ours, whatever the address says."""
    wanted = request.GET.get("next", "")
    if wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None):
        return wanted
    return reverse("admin:index")
