"""One browser for each worker, and seats before it."""

import importlib.util
from pathlib import Path

import pytest

from hospital import policy
from tests.browser.desk import CHROMIUM, DESK, QUIET, Desk

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


@pytest.fixture
def seat(chromium, live_server):
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
    assert [fault for desk in desks for fault in desk.faults] == []


@pytest.fixture(autouse=True)
def policy_forgotten():
    policy.forget()
    yield
    policy.forget()
