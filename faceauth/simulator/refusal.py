"""How v3 says no: a code, a message, and the internal number that ends the Request-ID."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from faceauth.simulator.wire import Reply, json_reply

# The published internal numbers; support asks for the Request-ID they end.
SIGNATURE = 268443699
APPID_MCH_ID = 268445527
RELATION = 268443701
FREQUENCY = 268447840
OTHER = 268435456  # the base of those above; no public list says which are in use


class Refused(Exception):
    """A request WeChat does not answer; `reply` is what it says instead."""

    def __init__(self, reply: Reply) -> None:
        super().__init__(reply.verdict)
        self.reply = reply


def refuse(
    status: int,
    code: str,
    message: str,
    *,
    verdict: str,
    number: int = OTHER,
    detail: Mapping[str, Any] | None = None,
    to_sign: str = "",
) -> Refused:
    """Return the refusal, to be raised; `detail` is as in WeChat's own error bodies."""
    body = {"code": code, "message": message, **({"detail": dict(detail)} if detail else {})}
    answer = json_reply(body, status=status)
    return Refused(replace(answer, verdict=verdict, number=number, to_sign=to_sign))


def refuse_parameter(name: str, message: str, *, verdict: str, number: int = OTHER) -> Refused:
    """Return the refusal of one query parameter, without its value."""
    detail = {"field": name, "issue": message, "location": "query"}
    return refuse(400, "PARAM_ERROR", message, verdict=verdict, number=number, detail=detail)
