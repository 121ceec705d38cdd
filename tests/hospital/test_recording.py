"""The trail's only writer: one canonical line, in the transaction of what it records."""

import json
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest
from django.core.exceptions import FieldError
from django.db import connection, transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hospital import tracing
from hospital.audit import canonical, lines, reading
from hospital.audit.actions import BY_TAG, Action
from hospital.audit.models import AppendOnly, Event
from hospital.audit.recording import SYSTEM, mac, record, record_alone, writing
from tests.hospital.notarised import BOTH

AT = datetime(2026, 11, 20, 8, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=BOTH)
def either(request, db):
    if connection.vendor != request.param:
        pytest.skip(f"this database is {connection.vendor}")


def write(**changes):
    options = {"by": SYSTEM, "on": None, "at": AT, **changes}
    return record(options.pop("action", Action.SESSION_EXPIRE), **options)


def test_the_line_is_canonical(db):
    event = write()

    again = json.dumps(
        json.loads(event.payload), sort_keys=True, ensure_ascii=False, separators=(",", ":")
    )
    assert event.payload == again
    assert "\n" not in event.payload


def test_the_columns_are_the_databases_reading_of_the_line(lin):
    event = write(action=Action.TERMINAL_SUSPEND, by=lin, on=lin, reason="试")
    event.refresh_from_db()

    assert event.action == "terminal.suspend"
    assert event.actor_id == event.object_id == str(lin.pk)
    assert event.object_type == "accounts.staff"
    assert event.outcome == "success"
    assert event.at == AT


def test_a_column_cannot_be_written_apart_from_the_line(either):
    event = write()

    with connection.cursor() as cursor, pytest.raises(Exception, match=r"generated|DEFAULT"):
        cursor.execute("UPDATE audit_event SET action = 'x' WHERE id = %s", [event.pk])


def test_every_row_carries_a_keyed_code_over_its_line(db):
    event = write()

    assert bytes(event.mac) == mac(event.payload)
    assert len(event.mac) == 32
    assert mac(event.payload + " ") != bytes(event.mac)


@pytest.mark.django_db(transaction=True)
def test_it_belongs_in_the_transaction_of_what_it_records():
    with pytest.raises(RuntimeError):
        write()


def test_who_is_to_write_it_has_to(db):
    promised = writing(Action.WECHAT_ANSWER, by=SYSTEM, on=None, at=AT)

    with pytest.raises(RuntimeError), promised:
        pass


@pytest.mark.django_db(transaction=True)
def test_it_goes_with_what_it_records(either):
    class Oops(Exception):
        pass

    with pytest.raises(Oops), transaction.atomic():
        write()
        raise Oops

    assert not Event.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_what_changed_nothing_else_is_on_disk_when_it_is_recorded():
    event = record_alone(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=AT)

    assert Event.objects.get().payload == event.payload
    assert Event.objects.get().at == AT


def test_what_is_recorded_alone_is_judged_as_any_other(db):
    with pytest.raises(ValueError, match="name"):
        record_alone(Action.SESSION_EXPIRE, by=SYSTEM, on=None, at=AT, name="张三")


def test_an_event_that_was_written_is_read_like_any_other(db):
    event = write()

    assert event == Event.objects.get()
    assert bytes(Event.objects.get().mac) == event.mac
    assert Event.objects.get().uid == event.uid
    with pytest.raises(AppendOnly):
        event.save()


def test_a_fact_the_action_does_not_know_is_refused(db):
    with pytest.raises(ValueError, match="name"):
        write(name="张三")


@pytest.mark.parametrize("value", ["张三", "two words", "a" * 129, "x\n", {"a": 1}, 1.5, 2**53])
def test_free_text_is_never_a_fact(db, value):
    with pytest.raises(canonical.NotAFact):
        write(action=Action.SESSION_FAIL, code=value)


def test_a_grave_act_needs_a_reason(lin):
    with pytest.raises(ValueError, match="reason"):
        write(action=Action.TERMINAL_SUSPEND, by=lin, on=lin)


@pytest.mark.parametrize("hostile", ["\x00", "\ud800", "\u202e", 'a"}\n{"x":1', "长" * 100_000])
def test_hostile_text_neither_blocks_the_act_nor_breaks_the_line(either, lin, hostile):
    event = write(action=Action.TERMINAL_SUSPEND, by=lin, on=lin, reason="a" + hostile)
    event.refresh_from_db()

    assert "\n" not in event.payload
    assert json.loads(event.payload)["reason"].startswith("a")
    assert len(event.payload) < 2000
    assert event.action == "terminal.suspend"


UNREADABLE = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c"
LINES = "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


@pytest.mark.parametrize("hostile", UNREADABLE + LINES + "\x00\x1b\x7f\x9b\ud800\udfff")
def test_what_misleads_the_eye_or_breaks_a_line_does_not_reach_a_reader(db, hostile):
    event = write(action=Action.TERMINAL_SUSPEND, reason=f"a{hostile}b")

    assert json.loads(event.payload)["reason"] == "a\ufffdb"


def canonical_again(text):
    """What RFC 8785 makes of it, written apart: the only escapes are its own (section 3.2.2.2)."""
    said = json.loads(text)

    def written(value):
        match value:
            case bool():
                return "true" if value else "false"
            case int():
                return str(value)
            case list():
                return "[" + ",".join(map(written, value)) + "]"
            case dict():
                pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
                return "{" + ",".join(f"{written(k)}:{written(v)}" for k, v in pairs) + "}"
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'

    return written(said)


HOSTILE = st.one_of(
    st.text(),
    st.text(alphabet=st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"])),
    st.text(alphabet='{}[]",:\\/\n\x00 u'),
    st.sampled_from(
        ["x" * 2**20, '"},"outcome":"denied","x":{"', "\\u0000", "\ud83d", "\U0001f600"]
    ),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(reason=HOSTILE, ip=HOSTILE)
def test_whatever_is_typed_becomes_one_canonical_line_that_the_columns_agree_with(
    either, reason, ip
):
    with tracing_as(ip):
        pk = write(action=Action.TERMINAL_SUSPEND, reason=reason or "x", on=None).pk

    [[*row]] = reading.rows(
        f"SELECT {', '.join(reading.Line._fields)} FROM audit_event WHERE id = %s",  # noqa: S608
        [pk],
    )
    line = reading.Line(*row)
    assert len(line.payload.splitlines()) == 1
    assert canonical_again(line.payload) == line.payload
    assert list(lines.faults(line)) == []
    assert len(line.payload) < 2_000


@contextmanager
def tracing_as(ip):
    token = tracing._trace.set(tracing.Trace("r-1", ip, ip))
    try:
        yield
    finally:
        tracing._trace.reset(token)


def test_nothing_is_changed_or_removed(db):
    event = write()

    for attempt in (
        event.save,
        event.delete,
        Event.objects.all().delete,
        lambda: Event.objects.update(payload="{}"),
        lambda: Event.objects.bulk_update([event], ["payload"]),
    ):
        with pytest.raises((AppendOnly, FieldError)):
            attempt()


def test_tags_are_unique_and_slugs():
    assert len(BY_TAG) == len(Action)
    assert all(canonical.SLUG.fullmatch(tag) for tag in BY_TAG)
