"""What WeChat has no address for: the camera, the weather, and the page that shows both."""

import json
from dataclasses import replace
from typing import Any, Protocol

from faceauth.simulator import page, people
from faceauth.simulator.camera import Camera
from faceauth.simulator.journal import Journal
from faceauth.simulator.scenarios import SCENARIOS
from faceauth.simulator.weather import UnknownScenario, Weather
from faceauth.simulator.wire import Reply, Request, json_reply
from faceauth.simulator.world import World

_DONE = {"return_code": "SUCCESS"}


class Stage(Protocol):
    """The simulator, as far as it is shown and set here."""

    world: World
    camera: Camera
    weather: Weather
    journal: Journal

    def requests(self) -> dict[str, Any]:
        """Return how often each endpoint was called."""

    def spoiled(self) -> dict[str, int]:
        """Return how many answers about each face_sid a scenario spoiled."""


def answer(request: Request, stage: Stage) -> Reply:
    """Answer one request for the page, or for what is behind /_sim/."""
    if page.is_foreign(request):
        return _refused(403, "INVALID_REQUEST", "请以JSON发送，且不得来自其他网站")
    match request.method, request.path:
        case "GET", path:
            return _shown(path, stage, after=request.query.get("after", ""))
        case "DELETE", "/_sim/scenario":
            return _clear(_object(request.body or b"{}"), stage)
        case "POST", "/_sim/scenario":
            return _announce(_object(request.body), stage)
        case "POST", "/_sim/scan" | "/_sim/userinfo" | "/_sim/authorize" as path:
            return _asked(path, _object(request.body), stage)
    return missing()


def missing() -> Reply:
    """Return what is said of an address that is none."""
    return _refused(404, "RESOURCE_NOT_EXISTS", "请求的资源不存在")


def _shown(path: str, stage: Stage, *, after: str) -> Reply:
    match path:
        case "/_sim/people":
            content: Any = _cast()
        case "/_sim/requests":
            content = stage.requests()
        case "/_sim/spoiled":
            content = stage.spoiled()
        case "/_sim/scenario":
            content = [spell.told() for spell in stage.weather.active()]
        case "/_sim/state":
            content = _state(stage)
        case "/_sim/journal":
            content = stage.journal.after(after)
        case _:
            return page.find(path) or missing()
    return page.guard(json_reply(content))


def _asked(path: str, asked: dict[str, Any] | None, stage: Stage) -> Reply:
    """Answer for the terminal's SDK, and tell the journal whose terminal it is."""
    if asked is None:
        return _refused(400, "PARAM_ERROR", "请求体不是JSON对象")
    commands = {
        "/_sim/scan": stage.camera.scan,
        "/_sim/userinfo": stage.camera.recognise,
        "/_sim/authorize": stage.camera.authorize,
    }
    said = commands[path](asked)
    face_sid = said.get("face_sid") or said.get("token") or asked.get("face_sid", "")
    sighting = stage.camera.find(str(face_sid))
    code, message = said["return_code"], said["return_msg"]
    verdict = "通过" if code == "SUCCESS" else f"{code}：{message}"
    device_id = sighting.device_id if sighting else ""
    return replace(json_reply(said, verdict=verdict), device_id=device_id)


def _announce(asked: dict[str, Any] | None, stage: Stage) -> Reply:
    asked = asked or {}
    value = asked.get("value")
    try:
        stage.weather.announce(
            str(asked.get("name")),
            times=int(asked.get("times", 1)),
            endpoint=asked.get("endpoint"),
            seconds=float(asked.get("seconds", 3.0)),
            device_id=str(asked.get("device_id") or ""),
            value=None if value is None else int(value),
            retry_after=asked.get("retry_after"),
        )
    except (UnknownScenario, TypeError, ValueError, OverflowError):
        return _refused(400, "PARAM_ERROR", "没有这样的情形")
    return json_reply(_DONE, verdict="通过")


def _clear(asked: dict[str, Any] | None, stage: Stage) -> Reply:
    name = asked.get("name") if asked is not None else ""
    if name is not None and not (isinstance(name, str) and name in SCENARIOS):
        return _refused(400, "PARAM_ERROR", "没有这样的情形")
    stage.weather.clear(name)
    return json_reply(_DONE, verdict="通过")


def _state(stage: Stage) -> dict[str, Any]:
    counts = stage.requests()
    del counts["face_sids"]
    return {
        "people": _cast(),
        "scenarios": page.scenarios(),
        "active": [spell.told() for spell in stage.weather.active()],
        "devices": stage.journal.devices(),
        "counts": counts,
        "merchant": page.merchant(stage.world),
    }


def _cast() -> list[dict[str, Any]]:
    return [
        {
            "id": person.id,
            "name": person.name,
            "document_type": person.document_type,
            "declines": person.declines,
            "has_union_id": person.has_union_id,
            "note": person.note,
        }
        for person in people.CAST.values()
    ]


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return asked if isinstance(asked, dict) else None


def _refused(status: int, code: str, message: str) -> Reply:
    return json_reply({"code": code, "message": message}, status=status, verdict=message)
