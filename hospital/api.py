"""How the API speaks: strict bodies in, RFC 9457 problems out."""

import json
import re
from typing import Any, NoReturn

import structlog
from django.core.exceptions import RequestDataTooBig
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, JsonResponse
from redis.exceptions import RedisError
from rest_framework import exceptions, parsers, serializers, status
from rest_framework.response import Response

from hospital import tracing
from hospital.errors import Refusal, Unavailable

log = structlog.get_logger(__name__)

DEEPEST = 8  # levels of nesting in a body
PROBLEM_JSON = "application/problem+json"

# What a kiosk can show for a code that carries no sentence of its own.
DETAILS = {
    "malformed": "请求内容不是有效的 JSON 对象",
    "invalid": "请求内容不符合要求",
    "not_found": "没有找到，或不属于本终端",
    "method_not_allowed": "不支持此请求方法",
    "unsupported_media_type": "请求内容必须是 application/json",
    "not_acceptable": "只提供 application/json",
    "throttled": "请求过于频繁，请稍后重试",
    "too_large": "请求内容过大",
    "permission_denied": "没有权限",
    "not_authenticated": "请求没有签名",
    "error": "系统内部错误，请联系工作人员",
}
# What DRF would convert on its own: JSON's types are the sender's meaning.
JSON_TYPES: tuple[tuple[type[serializers.Field[Any, Any, Any, Any]], tuple[type, ...]], ...] = (
    (serializers.BooleanField, (bool,)),
    (serializers.IntegerField, (int,)),
    (serializers.FloatField, (int, float)),
    (serializers.CharField, (str,)),
)
# Validation never echoes the value: it may be a person's.
FIELD_DETAILS = {
    "required": "缺少该字段",
    "null": "不能为空",
    "blank": "不能为空",
    "empty": "不能为空",
    "max_value": "超出范围",
    "min_value": "超出范围",
    "max_length": "过长",
    "min_length": "过短",
    "unknown_field": "没有这个字段",
    "invalid_choice": "不在可选范围内",
}


class ObjectParser(parsers.JSONParser):
    """JSON objects only: no duplicate names, no NaN, no deep nesting."""

    def parse(self, stream: Any, media_type: Any = None, parser_context: Any = None) -> Any:
        try:
            raw = stream.read().decode()
            body = json.loads(raw or "{}", object_pairs_hook=_unique, parse_constant=_refuse)
        except (ValueError, RecursionError):
            raise exceptions.ParseError from None
        if not isinstance(body, dict) or _depth(body) > DEEPEST:
            raise exceptions.ParseError
        return body


class StrictSerializer(serializers.Serializer[Any]):
    """A body with exactly these fields, of these JSON types: 1 is no "1", and "yes" not true."""

    def to_internal_value(self, data: Any) -> Any:
        unknown = set(data) - set(self.fields)
        if unknown:
            raise serializers.ValidationError(
                {_printable(name): ["?"] for name in sorted(unknown)}, code="unknown_field"
            )
        mistyped = [name for name in data if not _fits(self.fields[name], data[name])]
        if mistyped:
            raise serializers.ValidationError({name: ["?"] for name in mistyped}, code="invalid")
        return super().to_internal_value(data)


class FieldErrorSerializer(serializers.Serializer[Any]):
    """What is wrong with a field; never its value."""

    field = serializers.CharField(help_text="嵌套字段以点号相连")
    code = serializers.CharField()
    detail = serializers.CharField()


class ProblemSerializer(serializers.Serializer[Any]):
    """RFC 9457, with a stable `code` and the `request_id` an operator can look up."""

    type = serializers.CharField()
    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField(help_text="可直接显示在终端上的中文说明")
    code = serializers.CharField(help_text="稳定的错误码")
    request_id = serializers.CharField()
    errors = FieldErrorSerializer(many=True, required=False, help_text="只随 invalid")  # type: ignore[assignment]
    server_time = serializers.DateTimeField(required=False, help_text="只随 clock_skew")


def problem(exc: Exception, _context: dict[str, Any]) -> Response | None:  # noqa: C901, PLR0911 (a table)
    """Turn an exception into an RFC 9457 problem, or None to let it be a logged 500."""
    match exc:
        case Refusal():
            return _problem(status.HTTP_409_CONFLICT, exc.code, str(exc), **_extra(exc))
        case Unavailable():
            answer = _problem(status.HTTP_503_SERVICE_UNAVAILABLE, exc.code, str(exc))
            answer["Retry-After"] = str(max(1, round(exc.retry_after)))
            return answer
        case OperationalError() | InterfaceError():  # the database restarts: so can the request
            log.error("database", exc_info=exc)
            return problem(Unavailable(), _context)
        case RedisError():  # so can it here, once the shared cache is back
            log.error("cache", exc_info=exc)
            return problem(Unavailable(), _context)
        case RequestDataTooBig():
            return _problem(status.HTTP_413_REQUEST_ENTITY_TOO_LARGE, "too_large")
        case exceptions.ValidationError():
            errors = [_field_error(*pair) for pair in _flatten(exc.get_codes())]
            return _problem(status.HTTP_422_UNPROCESSABLE_ENTITY, "invalid", errors=errors)
        case exceptions.ParseError():
            return _problem(status.HTTP_400_BAD_REQUEST, "malformed")
        case Http404() | exceptions.NotFound():
            return _problem(status.HTTP_404_NOT_FOUND, "not_found")
        case exceptions.Throttled():
            answer = _problem(exc.status_code, "throttled")
            answer["Retry-After"] = str(max(1, round(getattr(exc, "wait", None) or 1)))
            return answer
        case exceptions.APIException():
            code = str(exc.get_codes())
            detail = DETAILS.get(code) or str(exc.detail)
            answer = _problem(exc.status_code, code, detail, **_extra(exc))
            if exc.status_code == status.HTTP_401_UNAUTHORIZED:
                answer["WWW-Authenticate"] = "Signature"
            return answer
    return None


def not_found(_request: HttpRequest) -> JsonResponse:
    """Answer an API path that does not exist."""
    return _bare(status.HTTP_404_NOT_FOUND, "not_found")


def broken(_request: HttpRequest) -> JsonResponse:
    """Answer for a bug: the same shape, no detail about it."""
    return _bare(status.HTTP_500_INTERNAL_SERVER_ERROR, "error")


def unavailable(exc: Unavailable) -> JsonResponse:
    """Answer where something is down and no view of the API is there to say so."""
    answer = _bare(status.HTTP_503_SERVICE_UNAVAILABLE, exc.code, str(exc))
    answer["Retry-After"] = str(max(1, round(exc.retry_after)))
    return answer


def _bare(code_of_status: int, code: str, detail: str = "") -> JsonResponse:
    answer = _problem(code_of_status, code, detail)
    return JsonResponse(answer.data, status=code_of_status, content_type=PROBLEM_JSON)


def _problem(code_of_status: int, code: str, detail: str = "", **extra: Any) -> Response:
    body = {
        "type": "about:blank",
        "title": _title(code_of_status),
        "status": code_of_status,
        "detail": detail or DETAILS[code],
        "code": code,
        "request_id": tracing.current().request_id,
        **extra,
    }
    return Response(body, status=code_of_status, content_type=PROBLEM_JSON)


def _extra(exc: object) -> dict[str, Any]:
    """Return what an exception adds to its problem: facts a client needs to go on."""
    extra: dict[str, Any] = getattr(exc, "extra", {})
    return extra


def _title(code: int) -> str:
    phrases = {
        400: "请求有误",
        401: "身份未确认",
        403: "不允许",
        404: "未找到",
        409: "状态冲突",
        413: "内容过大",
        422: "内容不符合要求",
        429: "请求过多",
        500: "内部错误",
        503: "暂不可用",
    }
    return phrases.get(code, "请求未完成")


def _field_error(field: str, code: str) -> dict[str, str]:
    return {"field": field, "code": code, "detail": FIELD_DETAILS.get(code, "格式不正确")}


def _flatten(codes: Any, path: str = "") -> list[tuple[str, str]]:
    match codes:
        case dict():
            found = []
            for name, inner in codes.items():
                found += _flatten(inner, f"{path}.{name}" if path else str(name))
            return found
        case list():
            return [pair for inner in codes for pair in _flatten(inner, path)]
    return [(path, str(codes))]


def _fits(field: serializers.Field[Any, Any, Any, Any], value: Any) -> bool:
    for kind, types in JSON_TYPES:
        if isinstance(field, kind):
            if isinstance(value, bool):  # an int to Python
                return bool in types
            return value is None or isinstance(value, types)
    return True


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    body = dict(pairs)
    if len(body) != len(pairs):
        raise ValueError
    return body


def _refuse(_constant: str) -> NoReturn:
    raise ValueError


def _depth(value: Any) -> int:
    match value:
        case dict():
            return 1 + max(map(_depth, value.values()), default=0)
        case list():
            return 1 + max(map(_depth, value), default=0)
    return 0


def _printable(name: str) -> str:
    """Only a plausible field name is repeated to the sender; anything else could be data."""
    return name if re.fullmatch(r"[a-z_]{1,32}", name) else "?"
