"""One id, from the answer a terminal gets to WeChat's own number for what we asked."""

import json
from uuid import uuid4

import pytest
import structlog
from celery.signals import before_task_publish

from faceauth import tasks
from hospital import tracing
from hospital.celery import app
from tests.house import House, until

SOME = "5d5f6c0e-8f6a-4f6e-9a53-0c2f0d7be8aa"


@pytest.fixture(autouse=True)
def _nothing_before():
    """Other tests leave things with the thread, as who authenticates a terminal without a web."""
    structlog.contextvars.clear_contextvars()


def lines(house, name):
    log = (house.place.logs / f"{name}.log").read_text().splitlines()
    return [json.loads(line) for line in log if line.startswith("{")]


def test_a_request_is_followed_from_the_terminal_to_wechat(tmp_path):
    with House.built(tmp_path / "var") as house:
        house.start("web")
        house.start("worker")
        with house.lobby() as lobby:
            visit = lobby.authorize("ouyang")
            until(lambda: house.finished([visit]), "onboarded")
        [(theirs,)] = house.sql("SELECT wechat_request_id FROM faceauth_facesession")
        [asked] = [
            one
            for one in lines(house, "web")
            if (one.get("route"), one.get("status")) == ("authorization", 202)
        ]
        [answered] = [
            one
            for one in lines(house, "worker")
            if (one["event"], one.get("api")) == ("wechat", "identity")
        ]
        trail = house.trail("patient.onboard")

    assert answered["request_id"] == asked["request_id"]
    assert answered["session_id"] == visit.session
    assert (answered["wechat_request_id"], answered["fact"]) == (theirs, "ok")
    assert theirs
    assert [event["ctx"]["req"] for event in trail] == [asked["request_id"]]


def test_it_travels_beside_the_arguments():
    request = str(uuid4())
    message = app.amqp.as_task_v2("id", "name", kwargs={"session_id": str(uuid4())})

    with tracing.carried_on(request):
        before_task_publish.send(sender="name", headers=message.headers, body=message.body)

    assert message.headers[tracing.HEADER] == request
    assert request not in json.dumps(message.body)


def test_nothing_of_a_request_stays_with_the_thread(kiosk, notice):
    kiosk.get("notice/").raise_for_status()

    assert structlog.contextvars.get_contextvars() == {}


@pytest.mark.parametrize("name", ["欧阳若曦", "x" * 36, "", f"{SOME}\n", SOME.upper()])
def test_what_is_no_id_of_ours_is_not_carried_on(name):
    with tracing.carried_on(name, session_id=name):
        assert tracing.current().request_id == ""
        assert structlog.contextvars.get_contextvars() == {}


def test_what_was_there_before_is_there_after():
    outer, inner = str(uuid4()), str(uuid4())

    with tracing.carried_on(outer):
        with tracing.carried_on(inner):
            assert tracing.current().request_id == inner
        with tracing.carried_on(""):
            assert tracing.current().request_id == outer
    assert tracing.current().request_id == ""


def test_a_task_has_the_id_of_its_message_and_says_which_session(db, monkeypatch):
    seen = {}
    session, request = str(uuid4()), str(uuid4())
    monkeypatch.setattr(
        tasks.onboarding,
        "onboard",
        lambda *_args, **_how: seen.update(structlog.contextvars.get_contextvars()),
    )

    tasks.onboard.push_request(**{tracing.HEADER: request})
    try:
        tasks.onboard(session_id=session)
    finally:
        tasks.onboard.pop_request()

    assert seen == {"request_id": request, "session_id": session}
