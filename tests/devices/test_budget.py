"""What a terminal's request may ask of the database and of the cache: counted, not timed."""

import re
import time

import pytest
from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from devices import authentication, counting, journal

STATEMENT = re.compile(r"(\w+) (?:.*?(?:FROM|INTO) )?\W?(\w+)")
RAWDATA = "H0kvnUgGHKuqflNwtNqCdOVpbO4FPSowudTG"
BEAT = {"agent_version": "1", "sdk_version": "1.26", "os": "win", "camera": "ready"}


@pytest.fixture
def asked_by(monkeypatch):
    """Return the tables a request asks, in order; without what was noted for the admin."""
    monkeypatch.setattr(journal, "_written", time.monotonic() + 3600)

    def asked_by(send):
        with CaptureQueriesContext(connection) as captured:
            send().raise_for_status()
        return [" ".join(STATEMENT.match(one["sql"]).groups()) for one in captured.captured_queries]

    return asked_by


def test_an_authinfo_that_is_kept_takes_six_statements(kiosk, merchant, asked_by):
    kiosk.post("authinfo/", {"rawdata": RAWDATA}).raise_for_status()

    assert asked_by(lambda: kiosk.post("authinfo/", {"rawdata": RAWDATA})) == [
        "SELECT devices_terminalkey",
        "INSERT cache",  # the nonce
        "INSERT cache",  # the count
        "SELECT faceauth_merchant",
        "SELECT cache",
        "INSERT audit_event",
    ]


def test_a_heartbeat_takes_five(kiosk, notice, asked_by):
    kiosk.post("heartbeat/", {**BEAT, "clock": time.time()}).raise_for_status()

    assert asked_by(lambda: kiosk.post("heartbeat/", {**BEAT, "clock": time.time()})) == [
        "SELECT devices_terminalkey",
        "INSERT cache",
        "INSERT cache",
        "UPDATE devices_terminal",
        "SELECT faceauth_notice",
    ]


def test_a_public_key_is_parsed_once(kiosk, notice):
    before = authentication._load.cache_info()

    assert {kiosk.get("notice/").status_code for _ in range(3)} == {200}

    after = authentication._load.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 2)


def test_a_name_comes_first_once(db):
    assert [counting.is_first(name, seconds=60) for name in ("a", "a", "b")] == [True, False, True]


def test_what_has_expired_is_swept_and_nothing_else(db, monkeypatch):
    monkeypatch.setattr(counting, "SWEPT", 1)
    cache.set("kept", 1, 600)
    counting.count("gone", seconds=-5)

    counting.count("now", seconds=60)

    with connection.cursor() as cursor:
        cursor.execute("SELECT cache_key FROM cache ORDER BY cache_key")
        assert [key for (key,) in cursor.fetchall()] == [":1:kept", "count:now"]
