"""What is sent is what RFC 5424 and RFC 5425 say it is, whatever an event holds."""

import re
from datetime import datetime
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hospital.audit.actions import Action, Severity
from hospital.audit.forwarding.syslog import Entry, Sender

SENDER = Sender(origin="hospital.example/trail", hostname="app-1", process=4711, enterprise=32473)

# RFC 5424 §6, production by production.
PRINT = "[\x21-\x7e]"
SD_NAME = '[^\x00-\x20\x7f-\U0010ffff="\\]]{1,32}'
PARAM = rf' (?:{SD_NAME})="(?:[^"\\\]]|\\["\\\]])*"'
TIMESTAMP = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?(?:Z|[+-]\d\d:\d\d)"
MESSAGE = re.compile(
    rf"<(?P<pri>\d{{1,3}})>(?P<version>[1-9]\d{{0,2}})"
    rf" (?P<timestamp>-|{TIMESTAMP})"
    rf" (?P<hostname>{PRINT}{{1,255}}) (?P<app>{PRINT}{{1,48}}) (?P<process>{PRINT}{{1,128}})"
    rf" (?P<msgid>{PRINT}{{1,32}})"
    rf" \[(?P<sd>{SD_NAME})(?P<params>(?:{PARAM})*)\]"
    r"(?: \ufeff(?P<text>.*))?",
    re.DOTALL,
)
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
ONE = re.compile(rf' (?P<name>{SD_NAME})="(?P<value>(?:[^"\\\]]|\\["\\\]])*)"')

words = st.text(st.characters(codec="utf-8"), max_size=80)
entries = st.builds(
    Entry,
    index=st.integers(0, 2**62),
    hash=st.binary(min_size=32, max_size=32),
    size=st.integers(1, 2**62),
    at_us=st.none() | st.integers(-(2**63), 2**63 - 1),
    action=words | st.sampled_from([one.value.tag for one in Action]),
    outcome=words,
    severity=st.sampled_from(Severity),
    text=st.none() | st.text(max_size=400),
    mark=st.sampled_from(["", "pruned", "redacted", "missing", "altered"]),
)


def parsed(message):
    found = MESSAGE.fullmatch(message.decode())
    assert found, message
    params = {
        one["name"]: re.sub(r'\\(["\\\]])', r"\1", one["value"])
        for one in ONE.finditer(found["params"])
    }
    return found, params


@given(entries)
def test_every_entry_is_a_message_that_says_what_it_says(entry):
    found, params = parsed(SENDER.message(entry))

    assert found["version"] == "1"
    assert found["sd"] == "trail@32473"
    assert params.pop("origin") == SENDER.origin
    assert params.pop("index") == str(entry.index)
    assert params.pop("hash") == entry.hash.hex()
    assert params.pop("size") == str(entry.size)
    assert params.pop("action") == CONTROL.sub("\ufffd", entry.action)
    assert params.pop("outcome") == CONTROL.sub("\ufffd", entry.outcome)
    assert params == ({entry.mark: "1"} if entry.mark else {})
    text = entry.text.encode(errors="replace").decode() if entry.text is not None else None
    assert found["text"] == text


@given(st.lists(entries, min_size=1, max_size=5))
def test_frames_are_told_apart_by_their_lengths(several):
    stream = b"".join(map(SENDER.frame, several))

    messages = []
    while stream:
        length, _, rest = stream.partition(b" ")
        messages.append(rest[: int(length)])
        stream = rest[int(length) :]
    assert messages == [SENDER.message(one) for one in several]


@pytest.mark.parametrize(
    ("severity", "pri"),
    [(Severity.INFO, 110), (Severity.NOTICE, 109), (Severity.WARNING, 108), (Severity.ALERT, 105)],
)
def test_the_facility_is_log_audit(severity, pri):
    found, _ = parsed(SENDER.message(Entry(0, b"x" * 32, 1, severity=severity)))

    assert int(found["pri"]) == pri


def test_an_ordinary_event_reads_as_it_should():
    entry = Entry(
        index=6,
        hash=sha256(b"x").digest(),
        size=9,
        at_us=1_763_625_600_000_007,
        action="session.open",
        outcome="success",
        text='{"action":"session.open"}',
    )

    found, _ = parsed(SENDER.message(entry))

    assert found["timestamp"] == "2025-11-20T08:00:00.000007Z"
    assert datetime.fromisoformat(found["timestamp"]).timestamp() == 1_763_625_600.000007
    assert (found["hostname"], found["app"], found["process"], found["msgid"]) == (
        "app-1", "face-onboarding", "4711", "session.open",
    )  # fmt: skip
    assert b"] \xef\xbb\xbf{" in SENDER.message(entry)


def test_every_action_fits_a_msgid():
    for action in Action:
        found, _ = parsed(SENDER.message(Entry(0, b"x" * 32, 1, action=action.value.tag)))
        assert found["msgid"] == action.value.tag
