"""A log line says which exceptions and where, however it came by them, and never their message."""

import sys

import pytest
import structlog

from hospital.redaction import frames_only


@pytest.mark.parametrize(
    "given",
    [lambda _exc: True, lambda exc: exc, lambda _exc: sys.exc_info()],
    ids=["that there is one", "itself", "as logging has it"],
)
def test_an_exception_becomes_its_kinds_and_where_they_were(given):
    try:
        try:
            {}["张三"]
        except KeyError:
            raise ValueError("110101198001011234") from None
    except ValueError as exc:
        line = frames_only(None, "error", {"event": "x", "exc_info": given(exc)})

    assert line["exception"] == ["ValueError", "KeyError"]
    assert [frame.partition(" ")[2] for frame in line["frames"]] == [
        "test_an_exception_becomes_its_kinds_and_where_they_were"
    ]
    assert "张三" not in str(line)
    assert "110101198001011234" not in str(line)


def test_a_line_without_one_stays_as_it_is():
    line = frames_only(structlog.get_logger(), "info", {"event": "x", "exc_info": True})

    assert line == {"event": "x"}
