"""How somebody of the cast comes in: by a real password, and the codes their phone would show."""

import re
import time
from dataclasses import dataclass
from typing import Any

import httpx
from allauth.mfa.models import Authenticator
from allauth.mfa.recovery_codes.internal.auth import RecoveryCodes
from django.test import Client
from django.urls import reverse

from hospital.accounts import mfa, mfa_sealing, second_factor
from hospital.accounts.models import Staff
from hospital.demo.authenticator import STEP, code

SECRET = "JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP"
TOLERANCE = 1  # steps of 30 s
SLOW = 5  # seconds a code may take from here to where it is checked
_SHOWN = re.compile(r'class="totp-secret">([A-Z2-7 ]+)<')


@dataclass
class Phone:
    """
    An authenticator app with one secret.

    Each code counts once, and no earlier one after it: this one shows the earliest that will
    still be taken when it arrives, and waits where there is none.
    """

    secret: str = SECRET
    last: int = 0

    def code(self) -> str:
        earliest = int(time.time() + SLOW) // STEP - TOLERANCE
        step = max(self.last + 1, earliest)
        while step > int(time.time()) // STEP + TOLERANCE:
            time.sleep(0.5)
        self.last = step
        return code(self.secret, step)


def phone_of(page: str) -> Phone:
    """Return the phone that has scanned what a page of enrolment shows."""
    shown = _SHOWN.search(page)
    assert shown, "the page shows no secret"
    return Phone(shown[1].replace(" ", ""))


def enrolled(person: Staff) -> Phone:
    """Give somebody a phone, as if they had bound it long ago; return it."""
    Authenticator.objects.update_or_create(
        user=person,
        type=Authenticator.Type.TOTP,
        defaults={"data": {"secret": mfa_sealing.seal(SECRET), "used": 0}},
    )
    RecoveryCodes.activate(person)
    return Phone()


def wholly(client: Client) -> None:
    """Leave in a session what logging in does: that its person has shown a second factor."""
    session = client.session
    session[second_factor.METHODS] = [second_factor.PASSWORD, mfa.TOTP]
    session.save()


def log_in(client: Client, person: Staff, *, password: str, phone: Phone) -> Any:
    """Go through both pages; return the last answer."""
    client.post(reverse("admin:login"), {"username": person.username, "password": password})
    return client.post(reverse("account:second-factor"), {"code": phone.code()})


def step_up(client: Client, person: Staff) -> Any:
    """Show a second factor once more in a session that is logged in."""
    return client.post(reverse("step-up"), {"code": enrolled(person).code()})


def at_the_door(page: Any, server: str, person: Staff, *, password: str) -> None:
    """Log in at a browser's page, with a phone that was bound long ago."""
    phone = enrolled(person)
    page.goto(server + reverse("admin:login"))
    page.fill("#id_username", person.username)
    page.fill("#id_password", password)
    page.click("#login-form input[type=submit]")
    page.fill("#id_code", phone.code())
    page.click("#answer-form input[type=submit]")


def over_http(http: httpx.Client, username: str, password: str) -> httpx.Response:
    """Log in for the first time, from outside: bind a phone on the way; return the home page."""
    _sent(http, "/admin/login/", username=username, password=password)
    page = http.get("/admin/account/factors/totp/")
    _answered(http, page, code=phone_of(page.text).code())
    return http.get("/admin/")


def _sent(http: httpx.Client, path: str, **form: str) -> httpx.Response:
    return _answered(http, http.get(path), **form)


def _answered(http: httpx.Client, page: httpx.Response, **form: str) -> httpx.Response:
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token, f"no form at {page.url}: {page.status_code}"
    data = {**form, "csrfmiddlewaretoken": token[1]}
    return http.post(str(page.url), data=data, headers={"Referer": str(page.url)})
