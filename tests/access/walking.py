"""Every address there is, asked for by everybody: what the doors answer."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import cache
from typing import Any, Final

from django.conf import settings
from django.contrib.sessions.backends.db import SessionStore
from django.db import models, transaction
from django.http import HttpResponse
from django.test import Client
from django.test.client import ClientHandler
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from hospital import stepup
from hospital.accounts import mfa, second_factor, sessions
from hospital.accounts.models import Staff
from tests.access.world import ELSEWHERE, HALF, HERE, Person, World, model_of, words

METHODS: Final = ("GET", "POST")
# Where an empty form is refused before anybody looks whose it is.
_SAID: Final = {"reveal": "field=real_name&purpose=identity"}
_WALK: Final = timedelta(hours=1)
_GROUP: Final = re.compile(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>")


class Outcome(StrEnum):
    """What became of a request at a door, and its sign in the table."""

    OPEN = "✓"
    FORBIDDEN = "✕"
    UNKNOWN = "○"
    OTHER_METHOD = "·"
    ELSEWHERE = "→"
    LOGIN = "登"
    SECOND_FACTOR = "绑"
    STEP_UP = "验"
    REFUSED = "拒"


@dataclass(frozen=True)
class Page:
    """One entry of the URLconf."""

    namespace: str
    name: str
    route: str

    @property
    def places(self) -> set[str]:
        return {one or other for one, other in _GROUP.findall(self.route)}

    @property
    def model(self) -> type[models.Model] | None:
        """What its address names one of."""
        return model_of(self.namespace, self.name, self.route) if self.places else None

    @property
    def plain(self) -> str:
        """Return how people write it."""
        return self.filled({name: f"<{name}>" for name in self.places})

    def address(self, world: World, campus: str) -> str:
        return self.filled(words(world, self.model, self.places, campus))

    def filled(self, said: dict[str, Any]) -> str:
        """Return its address, with what its places are to say."""
        path = _GROUP.sub(lambda at: str(said[at[1] or at[2]]), self.route)
        return "/" + path.replace("^", "").replace("$", "")


def pages() -> list[Page]:
    """Return the whole URLconf; two entries of one route are one address."""
    found = {one.route: one for one in reversed([*_pages(get_resolver().url_patterns)])}
    return [*found.values()][::-1]


def campuses(page: Page, world: World) -> list[str]:
    """Return whose things a page is to be asked for: of both campuses, where they have some."""
    is_two = page.model is not None and world.is_of_a_campus(page.model)
    return [HERE, ELSEWHERE] if is_two else [HERE]


def asked(page: Page, method: str, person: Person, world: World, campus: str) -> Any:
    """Return what `person` is answered; whatever the request did is undone."""
    client, form = _client(person, world), "application/x-www-form-urlencoded"
    before = transaction.savepoint()
    said = _SAID.get(page.name, "")
    answer = client.generic(method, page.address(world, campus), said, content_type=form)
    body = b"".join(answer) if answer.streaming else answer.content
    transaction.savepoint_rollback(before)
    transaction.savepoint_commit(before)  # or thousands would lie on each other
    answer.body = body.decode()
    return answer


_MEANS: Final = {
    **dict.fromkeys((200, 201, 202, 204), Outcome.OPEN),
    **dict.fromkeys((400, 406, 409, 415, 422, 429), Outcome.REFUSED),
    403: Outcome.FORBIDDEN,
    404: Outcome.UNKNOWN,
    405: Outcome.OTHER_METHOD,
    # A probe asks in threads of its own, to whom a database in memory is locked while we walk.
    503: Outcome.OPEN,
}


def outcome(page: Page, answer: HttpResponse) -> Outcome:
    """:raises AssertionError: it is none of these"""
    if answer.status_code in {301, 302}:
        return _led(page, answer["Location"])
    if answer.status_code == 401:  # of a terminal, or of a script that is to ask
        return Outcome.LOGIN if page.route.startswith("api/") else Outcome.STEP_UP
    assert answer.status_code in _MEANS, f"{page.plain}: {answer.status_code}"
    return _MEANS[answer.status_code]


def _led(page: Page, to: str) -> Outcome:
    doors = {
        reverse("step-up"): Outcome.STEP_UP,
        reverse("account:enrol"): Outcome.SECOND_FACTOR,
        reverse("admin:login"): Outcome.LOGIN,
    }
    if found := doors.get(to.partition("?")[0]):
        return found
    # The admin says of what is not there that it is not, on the home page.
    is_away = not page.name or (page.places and to == reverse("admin:index"))
    return Outcome.ELSEWHERE if is_away else Outcome.OPEN


def _client(person: Person, world: World) -> Client:
    """Return the browser of who logged in some time ago, and of 仅密码 who did so half."""
    client = Client(raise_request_exception=False)
    client.handler = _house()
    if isinstance(person, Staff):
        if person.username not in world.logins:
            world.logins[person.username] = _login(person)
        client.cookies[settings.SESSION_COOKIE_NAME] = world.logins[person.username]
    return client


@cache
def _house() -> ClientHandler:
    """Return what answers everybody: of its own for each request it would be built each time."""
    return ClientHandler(enforce_csrf_checks=False)


def step_up(person: Staff, world: World) -> None:
    """Have `person` just shown their second factor, as a browser of theirs would have it."""
    store = SessionStore(world.logins[person.username])
    stepup.confirm(store, at=timezone.now())
    store.save()
    world.logins[person.username] = str(store.session_key)


def _login(person: Staff) -> str:
    client = Client()
    client.force_login(person)
    key = client.cookies[settings.SESSION_COOKIE_NAME].value
    store, is_half = SessionStore(key), person.username == HALF
    store[second_factor.METHODS] = [second_factor.PASSWORD, *([] if is_half else [mfa.TOTP])]
    # Each request is undone, so none is seen to keep the login alive, and a slow machine walks
    # for longer than one may be idle.
    sessions.touch(store, at=timezone.now() + _WALK)
    store.save()
    return key


def _pages(
    patterns: list[URLPattern | URLResolver], *, before: str = "", namespace: str = ""
) -> Iterator[Page]:
    for one in patterns:
        route = before + str(one.pattern)
        if isinstance(one, URLResolver):
            inner = one.namespace or namespace
            yield from _pages(one.url_patterns, before=route, namespace=inner)
        else:
            yield Page(namespace, one.name or "", route)
