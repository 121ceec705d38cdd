"""From where staff may come: the networks of `ADMIN_NETWORKS` (GB/T 22239-2019 8.1.4.4 c)."""

from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address

from django.conf import settings
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseForbidden
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from hospital import tracing
from hospital.accounts import lockout
from hospital.audit import flood
from hospital.audit.actions import Action
from hospital.audit.recording import UNKNOWN, record
from hospital.errors import TrailUnavailable


def is_allowed(address: str) -> bool:
    """Whether staff may come from there; from anywhere, where no network is set."""
    networks = settings.ADMIN_NETWORKS
    if not networks:
        return True
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    # A socket for both families writes an IPv4 address as ::ffff:10.20.0.1.
    ip = getattr(ip, "ipv4_mapped", None) or ip
    return any(ip in network for network in networks)


class AdminNetworks:
    """Whoever is elsewhere gets no page of staff's, not even the one to log in on."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response
        self.staffs = reverse("admin:index")

    def __call__(self, request: HttpRequest) -> HttpResponse:
        address = tracing.current().ip
        if not request.path_info.startswith(self.staffs) or is_allowed(address):
            return self.get_response(request)
        with suppress(TrailUnavailable):  # nothing happens either way
            _record(address)
        return HttpResponseForbidden(render_to_string("address_denied.html"))


def _record(address: str) -> None:
    source = f"address:{lockout.network_of(address)}"
    missed = flood.admit(source, Action.ADDRESS_DENIED, by=UNKNOWN)
    if missed is None:
        return
    with transaction.atomic():
        record(
            Action.ADDRESS_DENIED,
            by=UNKNOWN,
            on=None,
            at=timezone.now(),
            outcome="denied",
            suppressed=missed,
        )
