"""Somebody of the staff before a browser, come in as people do, and what is seen of each page."""

import os
import shutil
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

from django.conf import settings
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital import stepup
from tests import signing_in
from tests.conftest import PASSWORD

try:
    from playwright.sync_api import expect
except ImportError:  # then each of these tests says so, and is passed over
    expect = None
else:
    expect.set_options(timeout=30_000)  # milliseconds, as for a click: a machine may be busy

__all__ = ["DESK", "HAND", "Desk", "expect"]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("google-chrome")
AXE: Final = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
QUIET: Final = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-proxy-server",
]
STRICT: Final = {"target-size": {"enabled": True}}  # beyond axe-core's own choice
DESK, HAND = (1366, 768), (390, 844)
# Seen as it is, a page is asked everything; seen otherwise, what can be otherwise then.
VIEWS: Final = {
    "light": (DESK, "light", None),
    "dark": (DESK, "dark", ["color-contrast"]),
    "hand": (HAND, "light", ["target-size", "scrollable-region-focusable", "color-contrast"]),
}
PICTURES: Final = os.environ.get("PICTURES", "")  # a directory, to look at them
WIDER: Final = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What is cut off, or needs a scroll bar of its own.
CUT: Final = """() => {
  const whole = ["SELECT", "INPUT", "PRE", "TEXTAREA"];
  const isCut = (one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1
    && getComputedStyle(one).overflowX !== "visible" && !whole.includes(one.tagName)
    && !one.classList.contains("visually-hidden");
  const all = [...document.querySelectorAll("#content *, #pages *, #header *")];
  return all.filter(isCut).map((one) => one.outerHTML.slice(0, 200));
}"""
KEY: Final = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Desk:
    """
    One member of staff, all their browser complained about and asked for.

    `faults` is what was wrong with the pages they were shown, for a test that looks at many.
    """

    def __init__(self, chromium, server, size=DESK, scheme="light"):
        self.server, self.size, self.client = server, size, Client()
        self.complaints, self.asked, self.faults = [], [], []
        self._is_deaf = False  # axe tries styles that the policy refuses
        self.context = chromium.new_context(
            locale="zh-CN", viewport=_viewport(size), color_scheme=scheme, reduced_motion="reduce"
        )
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("framenavigated", self._hear_again)

    def _hear_again(self, _frame):
        self._is_deaf = False

    def _heard(self, message):
        if not self._is_deaf and message.type in ("error", "warning"):
            self.complaints.append(f"{self.page.url}: {message.text}")

    @property
    def strange(self):
        """What was asked of anybody but this server."""
        own = (self.server, "data:", "blob:")
        return [url for url in self.asked if not url.startswith(own)]

    def leave(self):
        self.page.goto("about:blank")  # no more questions, before the database goes
        self.context.close()

    # Going about

    def open(self, address):
        return self.page.goto(urljoin(self.server, address))

    def press(self, name, *, exact=True):
        """Press a button or follow a link, whichever is called so, and wait for the next page."""
        found = self.page.get_by_role("button", name=name, exact=exact)
        found = found.or_(self.page.get_by_role("link", name=name, exact=exact))
        with self.page.expect_navigation():
            found.first.click()

    def links(self):
        """Return the desk's own pages linked from here, without what is asked of them."""
        found = self.page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        here = urlsplit(self.server).netloc
        return {part.path for part in map(urlsplit, found) if part.netloc == here}

    # Coming in

    def sit_down(self, person, *, is_fresh=True):
        """Be in already, with a second factor that was asked for a moment ago, or not lately."""
        self.client.force_login(person)
        if is_fresh:
            session = self.client.session
            stepup.stamp(session, at=timezone.now())
            session.save()
        name = settings.SESSION_COOKIE_NAME
        cookie = {"name": name, "value": self.client.cookies[name].value, "url": self.server}
        self.context.add_cookies([cookie])

    def show_password(self, person, password=PASSWORD):
        self.open(reverse("admin:login"))
        self.page.fill("#id_username", person.username)
        self.page.fill("#id_password", password)
        with self.page.expect_navigation():
            self.page.keyboard.press("Enter")

    def bind_a_phone(self):
        """Scan what the page shows; return the phone that did."""
        self.press("手机验证器")
        phone = signing_in.phone_of(self.page.content())
        self.page.fill("#id_code", phone.code())
        self.press("绑定")
        self.press("已经保存，去工作台")
        return phone

    def plug_in_a_key(self):
        """Give the browser a security key of software."""
        wire = self.context.new_cdp_session(self.page)
        wire.send("WebAuthn.enable")
        wire.send("WebAuthn.addVirtualAuthenticator", {"options": KEY})

    def come_in(self, person):
        """Come in for the first time, with a phone."""
        self.show_password(person)
        return self.bind_a_phone()

    # Looking

    def check(self, name):
        """The page is whole as it is seen now, and nothing was refused or asked elsewhere."""
        self._arrive()
        assert [*self._wrong(self.size), *self.complaints, *self.strange] == [], name
        self._draw(name)

    def visit(self, address, name):
        answer = self.open(address)
        if answer.status != 200:
            self.faults.append(f"{name}: {answer.status}")
        self.look(name)

    def look(self, name):
        """Note what is wrong with this page: by day, by night, and on a telephone."""
        self._arrive()
        self.faults += [f"{name}: {said}" for said in (*self.complaints, *self.strange)]
        for view, (size, scheme, rules) in VIEWS.items():
            self.page.set_viewport_size(_viewport(size))
            self.page.emulate_media(color_scheme=scheme)
            self._draw(f"{name}-{view}")
            self.faults += [f"{name}, {view}: {fault}" for fault in self._wrong(size, rules)]
        self.page.set_viewport_size(_viewport(DESK))
        self.page.emulate_media(color_scheme="light")
        self.complaints.clear()

    def _arrive(self):
        """A click does not wait for the page it leads to."""
        self.page.locator("main, [role=main]").first.wait_for(state="attached")
        self.page.wait_for_load_state()

    def _draw(self, name):
        if PICTURES:
            self.page.screenshot(path=f"{PICTURES}/{name}.png", full_page=True)

    def _wrong(self, size, rules=None):
        """Yield what axe-core and a ruler find."""
        self._is_deaf = True
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text())
        only = {"rules": STRICT} if rules is None else {"runOnly": rules}
        for one in self.page.evaluate("how => axe.run(document, how)", only)["violations"]:
            yield f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}"
        if self.page.evaluate(WIDER) > 0:
            yield "wider than the window"
        if size == DESK and (cut := self.page.evaluate(CUT)):
            yield f"cut off: {cut}"


def _viewport(size):
    width, height = size
    return {"width": width, "height": height}
