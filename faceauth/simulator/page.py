"""The page at `/`: its files, what it is told, and whose buttons are obeyed."""

import re
from dataclasses import replace
from importlib import resources
from typing import Any

from faceauth.simulator.scenarios import SCENARIOS
from faceauth.simulator.wire import Reply, Request
from faceauth.simulator.world import World

_FILES = resources.files("faceauth.simulator") / "page"
_NAME = re.compile(r"/_sim/page/([a-z]+\.(css|js|svg))", re.ASCII)
_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}


def find(path: str) -> Reply | None:
    """Return the file at `path`, or None if the page has none there."""
    match = _NAME.fullmatch(path)
    name, kind = (match[1], match[2]) if match else ("index.html", "html")
    file = _FILES / name
    if (match is None and path != "/") or not file.is_file():
        return None
    return guard(Reply(200, file.read_bytes(), {"Content-Type": _TYPES[kind]}))


def guard(reply: Reply) -> Reply:
    """Return `reply` so that no browser keeps, frames or guesses at it."""
    headers = {
        "Content-Security-Policy": "default-src 'self'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }
    return replace(reply, headers={**reply.headers, **headers})


def is_foreign(request: Request) -> bool:
    """
    Return whether another site's page may have sent this, to change something.

    A form of theirs can post here, but no JSON; a script of theirs says where it is from.
    """
    if request.method == "GET":
        return False
    origin, host = request.headers.get("origin"), request.headers.get("host", "")
    own = (None, f"http://{host}", f"https://{host}")
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    is_form = request.method == "POST" and kind != "application/json"
    return is_form or origin not in own


def scenarios() -> list[dict[str, Any]]:
    """Return every scenario in words."""
    return [
        {
            "name": name,
            "label": scenario.label,
            "explains": scenario.explains,
            "endpoints": sorted(scenario.endpoints),
        }
        for name, scenario in SCENARIOS.items()
    ]


def merchant(world: World) -> dict[str, Any]:
    """Return who the simulator takes requests from; numbers only, no keys."""
    partner = world.partner
    return {
        "mch_id": world.mch_id,
        "appid": world.appid,
        "partner": {
            "mch_id": partner.mch_id,
            "appid": partner.appid,
            "hospitals": [hospital.sub_mch_id for hospital in partner.hospitals],
        },
    }
