"""Somebody of the staff before a browser, come in as people do, and what is seen of each page."""

import os
import shutil
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from django.urls import reverse

from tests import signing_in
from tests.conftest import PASSWORD

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")
AXE = Path(__file__).parent / "node_modules" / "axe-core" / "axe.min.js"
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]
STRICT = {"target-size": {"enabled": True}}  # beyond axe-core's own choice
DESK, HAND = {"width": 1366, "height": 768}, {"width": 390, "height": 844}
VIEWS = {"light": (DESK, "light"), "dark": (DESK, "dark"), "hand": (HAND, "light")}
PICTURES = os.environ.get("SCREENSHOTS", "")  # a directory, to look at them
WIDER = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
# What is cut off, or needs a scroll bar of its own.
CUT = """() => {
  const whole = ["SELECT", "INPUT", "PRE", "TEXTAREA"];
  const isCut = (one) => one.clientWidth && one.scrollWidth > one.clientWidth + 1
    && getComputedStyle(one).overflowX !== "visible" && !whole.includes(one.tagName)
    && !one.classList.contains("visually-hidden");
  const all = [...document.querySelectorAll("#content *, #pages *, #header *")];
  return all.filter(isCut).map((one) => one.outerHTML.slice(0, 200));
}"""
KEY = {
    "protocol": "ctap2",
    "transport": "usb",
    "hasUserVerification": True,
    "isUserVerified": True,
    "automaticPresenceSimulation": True,
}


class Desk:
    """One member of staff; `faults` is what was wrong with what they saw, page by page."""

    def __init__(self, chromium, server):
        self.server, self.faults, self.complaints = server, [], []
        self.context = chromium.new_context(locale="zh-CN", viewport=DESK)
        self.page = self.context.new_page()
        self.page.on("console", self._heard)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", self._asked)

    def _heard(self, message):
        if message.type in ("error", "warning"):
            self.complaints.append(message.text)

    def _asked(self, request):
        if not request.url.startswith((self.server, "data:", "blob:")):
            self.faults.append(f"asked {urlsplit(request.url).netloc}")

    def open(self, address):
        return self.page.goto(urljoin(self.server, address))

    def press(self, name, *, exact=True):
        """Press a button or follow a link, whichever is called so, and wait for the next page."""
        found = self.page.get_by_role("button", name=name, exact=exact)
        found = found.or_(self.page.get_by_role("link", name=name, exact=exact))
        with self.page.expect_navigation():
            found.first.click()

    # Coming in

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

    def look(self, name):
        """Note what is wrong with this page: by day, by night, and on a telephone."""
        self.faults += [f"{name}: {said}" for said in self.complaints]
        for view, (size, scheme) in VIEWS.items():
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme)
            self.page.wait_for_timeout(300)  # colours change by and by
            if PICTURES:
                self.page.screenshot(path=f"{PICTURES}/{name}-{view}.png", full_page=True)
            self.faults += [f"{name}, {view}: {fault}" for fault in self._seen(size)]
        self.page.set_viewport_size(DESK)
        self.page.emulate_media(color_scheme="light")
        self.complaints.clear()  # axe tries styles that the policy refuses

    def visit(self, address, name):
        answer = self.open(address)
        if answer.status != 200:
            self.faults.append(f"{name}: {answer.status}")
        self.look(name)

    def links(self):
        """Return the desk's own pages linked from here, without what is asked of them."""
        found = self.page.eval_on_selector_all("a[href]", "all => all.map(one => one.href)")
        here = urlsplit(self.server).netloc
        return {part.path for part in map(urlsplit, found) if part.netloc == here}

    def _seen(self, size):
        self.page.evaluate(AXE.read_text())
        found = self.page.evaluate("rules => axe.run(document, { rules })", STRICT)
        for one in found["violations"]:
            yield f"{one['id']}: {[node['html'][:200] for node in one['nodes']]}"
        if self.page.evaluate(WIDER) > 0:
            yield "wider than the window"
        if size == DESK and (cut := self.page.evaluate(CUT)):
            yield f"cut off: {cut}"
