"""
What the generated OpenAPI description adds to what the views say: every way a call may fail.

A view names its own refusals with `may_refuse`; what any call may meet is known here. The
examples are made by `hospital.api.problem` itself, so that they are what is answered.
"""

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from django.core.exceptions import RequestDataTooBig
from drf_spectacular.openapi import AutoSchema
from rest_framework import exceptions

from hospital.api import PROBLEM_JSON, ProblemSerializer, StrictSerializer, problem
from hospital.errors import TrailUnavailable, Unavailable

Fact = type[Exception] | Exception
T = TypeVar("T")

# Of nobody and of no time.
REQUEST_ID = "019b8a4e-7d00-7000-8000-000000000000"
SERVER_TIME = "2026-01-05T09:30:00+08:00"

ANY_CALL: tuple[Fact, ...] = (
    exceptions.NotAcceptable,
    exceptions.Throttled,
    exceptions.APIException,  # a bug
    Unavailable,
    TrailUnavailable,
)
ANY_BODY: tuple[Fact, ...] = (
    exceptions.ParseError,
    RequestDataTooBig,
    exceptions.UnsupportedMediaType(""),
)
INVALID = exceptions.ValidationError({"field": ["?"]}, code="required")

HEADERS = {
    "X-Request-Id": "请求编号，报修时提供",
    "Retry-After": "秒；过后再试",
    "WWW-Authenticate": "固定为 Signature",
    "RateLimit": "本终端当前余量 r 与恢复满额的秒数 t",
    "RateLimit-Policy": "本终端限额 q 与窗口秒数 w",
    "Idempotency-Replayed": "值为 true：这是同一 Idempotency-Key 第一次的应答",
}


def may_refuse(*facts: Fact) -> Callable[[T], T]:
    """Declare, on a view or on one of its methods, what it may raise for its caller to see."""

    def declare(subject: T) -> T:
        subject.refusals = facts  # type: ignore[attr-defined]
        return subject

    return declare


class Schema(AutoSchema):
    """Every operation says which problems it answers with, by status and code."""

    def get_auth(self) -> list[dict[str, Any]]:
        return [{"terminalSignature": []}]

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> dict[str, Any]:
        shape: dict[str, Any] = super()._map_basic_serializer(serializer, direction)
        if isinstance(serializer, StrictSerializer):
            shape["additionalProperties"] = False
        return shape

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        bodies: dict[str, Any] = super()._get_response_bodies(direction)
        for status, body in bodies.items():
            body["description"] = body["description"] or _DONE.get(status, "")
        for status, codes in self._problems().items():
            bodies[status] = self._problem_body(codes)
        for status, body in bodies.items():
            body["headers"] = {name: _header(name) for name in self._headers(status)}
        return dict(sorted(bodies.items()))

    def _problems(self) -> dict[str, dict[str, Any]]:
        """Return status → code → the answer."""
        found: dict[str, dict[str, Any]] = {}
        for fact in self._facts():
            answer = problem(fact() if isinstance(fact, type) else fact, {})
            assert answer is not None, fact  # noqa: S101 (declared, so it is a problem)
            body = {**answer.data, "request_id": REQUEST_ID}
            if "server_time" in body:
                body["server_time"] = SERVER_TIME
            found.setdefault(str(body["status"]), {})[body["code"]] = body
        return found

    def _facts(self) -> Iterator[Fact]:
        yield from ANY_CALL
        yield from getattr(self.view, "refusals", ())
        yield from getattr(getattr(self.view, self.method.lower()), "refusals", ())
        if self.method in {"POST", "PUT", "PATCH"}:
            yield from ANY_BODY
            yield INVALID
        elif self.get_override_parameters():
            yield INVALID
        if "{" in self.path:
            yield exceptions.NotFound

    def _problem_body(self, codes: dict[str, Any]) -> dict[str, Any]:
        body: dict[str, Any] = self._get_response_for_code(
            ProblemSerializer, "default", [PROBLEM_JSON]
        )
        title = next(iter(codes.values()))["title"]
        body["description"] = f"{title}：{'、'.join(codes)}"
        examples = {code: {"value": answer} for code, answer in codes.items()}
        body["content"][PROBLEM_JSON]["examples"] = examples
        return body

    def _headers(self, status: str) -> Iterator[str]:
        yield "X-Request-Id"
        if status in {"429", "503"}:
            yield "Retry-After"
        if status == "401":
            yield "WWW-Authenticate"
        if status[0] == "2" or status == "429":
            yield from ("RateLimit", "RateLimit-Policy")
        names = [getattr(given, "name", "") for given in self.get_override_parameters()]
        if status[0] == "2" and "Idempotency-Key" in names:
            yield "Idempotency-Replayed"


def share(result: dict[str, Any], **_kwargs: Any) -> dict[str, Any]:
    """Say each problem and each header once; operations refer to it."""
    components = result["components"]
    shared = components.setdefault("examples", {})
    for operation in _operations(result):
        for response in operation["responses"].values():
            examples = response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {})
            for code, example in examples.items():
                if "value" in example:
                    shared[code] = example
                    examples[code] = {"$ref": f"#/components/examples/{code}"}
    components["examples"] = dict(sorted(shared.items()))
    components["headers"] = {
        name: {"schema": {"type": "string"}, "description": text} for name, text in HEADERS.items()
    }
    return result


def _operations(result: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for path in result["paths"].values():
        yield from path.values()


def _header(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/headers/{name}"}


_DONE = {"200": "成功", "201": "已登记", "202": "已落盘，处理中"}
