"""Staff come from the hospital's networks, and from nowhere else."""

from ipaddress import ip_network

import pytest
from django.test import Client

from hospital.accounts import addresses
from hospital.audit import flood
from hospital.audit.models import Event
from tests import minutes

INSIDE, OUTSIDE = "10.20.3.4", "203.0.113.9"
PAGES = ["/admin/", "/admin/login/", "/admin/desk/", "/admin/nowhere/", "/admin/accounts/staff/"]


@pytest.fixture(autouse=True)
def networks(settings, db):
    settings.ADMIN_NETWORKS = [ip_network(one) for one in ("10.20.0.0/16", "2001:db8:1::/48")]


def asked(path="/admin/login/", address=OUTSIDE, **headers):
    return Client(REMOTE_ADDR=address, headers=headers).get(path)


def denied():
    return Event.objects.filter(action="access.address_denied")


@pytest.mark.parametrize("path", PAGES)
def test_from_elsewhere_no_page_of_staffs_opens(path):
    answer = asked(path)

    assert answer.status_code == 403
    assert "不在医院允许的网络内" in answer.content.decode()
    assert "csrfmiddlewaretoken" not in answer.content.decode()


def test_who_is_logged_in_is_not_either(chen):
    client = Client(REMOTE_ADDR=OUTSIDE)
    client.force_login(chen)

    assert client.get("/admin/").status_code == 403


def test_from_inside_they_do():
    assert asked(address=INSIDE).status_code == 200
    assert not denied().exists()


@pytest.mark.parametrize(
    ("address", "is_allowed"),
    [
        ("10.20.255.255", True),
        ("10.21.0.0", False),
        ("::ffff:10.20.0.1", True),
        ("::ffff:10.21.0.1", False),
        ("2001:db8:1:ffff::1", True),
        ("2001:db8:2::1", False),
        ("", False),
        ("localhost", False),
        ("10.20.0.1, 10.20.0.2", False),
    ],
)
def test_an_address_is_in_a_network_or_it_is_not(address, is_allowed):
    assert addresses.is_allowed(address) is is_allowed


def test_without_networks_everybody_may_come(settings):
    settings.ADMIN_NETWORKS = []

    assert asked().status_code == 200


def test_what_a_client_says_of_its_address_is_not_believed():
    assert asked(**{"X-Forwarded-For": INSIDE}).status_code == 403


def test_what_a_proxy_says_is_if_there_is_one(settings):
    settings.TRUSTED_PROXIES = 1

    assert asked(**{"X-Forwarded-For": f"{OUTSIDE}, {INSIDE}"}).status_code == 200
    assert asked(**{"X-Forwarded-For": f"{INSIDE}, {OUTSIDE}"}).status_code == 403


@pytest.mark.parametrize(
    ("forwarded", "status"),
    [
        (OUTSIDE, 403),  # past the first of two proxies, or the second saw them
        (INSIDE, 200),
        (f"{OUTSIDE}, {INSIDE}", 403),
        (f"{INSIDE}, {OUTSIDE}, {INSIDE}", 403),
        (f"{INSIDE}:4711, {INSIDE}", 403),  # no address: nobody knows whose
        ("unknown, 10.20.0.1", 403),
    ],
)
def test_who_comes_past_a_proxy_is_not_taken_for_the_other(settings, forwarded, status):
    settings.TRUSTED_PROXIES = 2

    assert asked(address=INSIDE, **{"X-Forwarded-For": forwarded}).status_code == status


@pytest.mark.parametrize("path", ["/api/docs", "/healthz", "/api/v1/notice/"])
def test_what_is_not_staffs_is_open_as_before(path):
    assert asked(path).status_code == asked(path, INSIDE).status_code != 403


def test_it_is_on_record_and_a_flood_does_not_fill_the_trail(monkeypatch):
    minutes.stop(monkeypatch)
    for _ in range(flood.RECORDED + 5):
        asked()

    assert denied().count() == flood.RECORDED
    assert denied()[0].outcome == "denied"
    assert denied()[0].actor_type == "unknown"


def test_a_network_of_ipv6_does_not_fill_it_either(monkeypatch):
    minutes.stop(monkeypatch)
    for number in range(flood.RECORDED + 5):
        asked(address=f"2001:db8:2::{number + 1:x}")

    assert denied().count() == flood.RECORDED
