"""Every address of the URLconf: what it answers to nobody, and to who has shown a password only."""

import re

import pytest
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse

from tests.conftest import PASSWORD

# What anybody gets: it is in the repository too, or it is how one gets in.
TO_ANYBODY = {
    "/healthz",
    "/readyz",
    "/privacy",
    "/api/openapi.yaml",
    "/api/docs",
    "/admin/login/",
}
# Where somebody gets to with a password alone.
HALF_WAY = {
    "/admin/login/",
    "/admin/account/factors/enrol/",
    "/admin/account/factors/totp/",
    "/admin/account/factors/key/",
    "/admin/password_change/",
    "/admin/logout/",
}
SAMPLES = {
    "uuid": "01900000-0000-7000-8000-000000000000",
    "int": "1",
    "str": "x",
    "slug": "x",
    "path": "x",
}


def addresses(patterns, before="/"):
    for one in patterns:
        route = re.sub(r"<(?:(\w+):)?\w+>", lambda at: SAMPLES[at[1] or "str"], str(one.pattern))
        route = re.sub(r"\(\?P<\w+>[^)]*\)", "accounts", route).strip("^$").replace(r"\Z", "")
        if isinstance(one, URLResolver):
            yield from addresses(one.url_patterns, before + route)
        else:
            assert isinstance(one, URLPattern)
            yield before + route


EVERY = sorted({*addresses(get_resolver().url_patterns)})


def answers(client):
    for address in EVERY:
        for method in (client.get, client.post):
            yield address, method(address)


def opened(client):
    return {address for address, answer in answers(client) if answer.status_code == 200}


def test_the_walk_finds_the_pages():
    found = {"/admin/", "/admin/audit/event/", "/admin/step-up/", "/admin/account/factors/codes/"}
    assert found < {*EVERY}
    assert len(EVERY) > 100


def test_nobody_gets_in_anywhere(db):
    assert opened(Client(raise_request_exception=False)) <= TO_ANYBODY


@pytest.mark.parametrize("name", ["lin", "mei", "zhou", "chen", "gu"])
def test_a_password_alone_gets_to_binding_a_second_factor_and_no_further(request, name):
    person = request.getfixturevalue(name)

    def half():
        client = Client()
        form = {"username": person.username, "password": PASSWORD}
        client.post(reverse("admin:login"), form)
        return client

    open_, client = set(), half()
    for address in EVERY:
        for method in ("get", "post"):
            if address.endswith("/logout/") and method == "post":
                continue
            answer = getattr(client, method)(address)
            if answer.status_code == 200:
                open_.add(address)
            elif address.startswith("/api/"):
                assert answer.status_code == 403, address
            else:
                assert answer.status_code in {302, 403, 404, 405}, address
    assert client.get("/admin/")["Location"] == reverse("account:enrol")  # still half-way
    assert open_ <= HALF_WAY
    assert "/admin/account/factors/totp/" in open_


def test_a_problem_is_what_a_program_gets(zhou):
    client = Client()
    client.post(reverse("admin:login"), {"username": "zhou", "password": PASSWORD})

    answer = client.get("/api/docs")

    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json()["code"] == "second_factor"


def test_a_session_that_was_let_in_half_way_stays_so(zhou):
    """Whatever somebody writes into the address, the form or a header."""
    client = Client()
    client.post(reverse("admin:login"), {"username": "zhou", "password": PASSWORD})

    for header in ({"X-Desk-Refresh": "1"}, {"X-Requested-With": "XMLHttpRequest"}):
        assert client.get("/admin/?methods=totp", headers=header).status_code == 302
    assert client.post("/admin/", {"methods": ["password", "totp"]}).status_code == 302
