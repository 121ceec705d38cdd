"""One browser for each worker, and seats before it."""

import importlib.util
import threading
from pathlib import Path

import httpx
import pytest
from django.core.signals import request_finished, request_started

from hospital import policy
from tests.browser.desk import CHROMIUM, DESK, QUIET, Desk
from tests.house import until

HERE = Path(__file__).parent
MISSING = {
    "requirements-browser.txt": importlib.util.find_spec("playwright"),
    "chromium on the PATH": CHROMIUM,
}


def pytest_collection_modifyitems(items):
    lacking = [name for name, found in MISSING.items() if found is None]
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.browser)
        if lacking:
            item.add_marker(pytest.mark.skip(reason=f"browser tests need {' and '.join(lacking)}"))


@pytest.fixture(scope="session")
def chromium():
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 (may not be here)

    with pytest.MonkeyPatch.context() as patch, sync_playwright() as driver:
        # Playwright keeps an event loop in this thread, where Django would refuse to work.
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield browser
        browser.close()


class InHand:
    """The requests the server has not answered yet; those a test makes itself are none of them."""

    def __init__(self):
        self._count, self._lock = 0, threading.Lock()

    def begin(self, **_kwargs):
        self._add(1)

    def end(self, **_kwargs):
        self._add(-1)

    def is_empty(self):
        return self._count == 0

    def _add(self, number):
        if threading.current_thread() is not threading.main_thread():
            with self._lock:
                self._count += number


@pytest.fixture
def answered(live_server):
    """
    Return what waits until everything is answered.

    A page may ask for something in the moment it is left, and whoever reads a table of SQLite's
    in memory keeps it from being emptied after the test.
    """
    in_hand = InHand()
    request_started.connect(in_hand.begin)
    request_finished.connect(in_hand.end)

    def wait():
        # Whatever came before is taken up before this.
        httpx.get(f"{live_server.url}/healthz", trust_env=False, timeout=60).raise_for_status()
        until(in_hand.is_empty, "everything is answered")

    yield wait
    request_started.disconnect(in_hand.begin)
    request_finished.disconnect(in_hand.end)


@pytest.fixture
def seat(chromium, live_server, answered):
    """Seats: somebody who is in already sits down there, or nobody yet."""
    desks = []

    def sit(person=None, size=DESK, scheme="light", *, is_fresh=True):
        desks.append(Desk(chromium, live_server.url, size, scheme))
        if person is not None:
            desks[-1].sit_down(person, is_fresh=is_fresh)
        return desks[-1]

    yield sit
    for desk in desks:
        desk.leave()
    answered()
    assert [fault for desk in desks for fault in desk.faults] == []


@pytest.fixture(autouse=True)
def policy_forgotten():
    policy.forget()
    yield
    policy.forget()
