"""Why nothing was signed, as the hospital is told: RFC 9457 problems."""

from http import HTTPStatus
from typing import ClassVar


class Problem(Exception):
    """Nothing was signed; `fact` names the check that failed, where a code has several."""

    status: ClassVar[HTTPStatus]
    code: ClassVar[str]
    detail: ClassVar[str]

    def __init__(self, fact: str = "") -> None:
        super().__init__(fact)
        self.fact = fact

    @property
    def content(self) -> dict[str, object]:
        """The members of the problem document."""
        return {
            "type": "about:blank",
            "title": self.status.phrase,
            "status": self.status.value,
            "code": self.code,
            "detail": self.detail,
            **({"fact": self.fact} if self.fact else {}),
        }


class Malformed(Problem):
    status, code = HTTPStatus.BAD_REQUEST, "malformed"
    detail = "请求格式不对：应为只含 message 的 JSON"


class Missigned(Problem):
    """The facts: missing, profile, key, clock, invalid."""

    status, code = HTTPStatus.UNAUTHORIZED, "signature"
    detail = "请求签名无效：请检查密钥登记、本机时钟与签名方法"


class NotAllowed(Problem):
    """The facts: shape, method, path, query, info_type, body, sub_mchid, timestamp."""

    status, code = HTTPStatus.FORBIDDEN, "not_allowed"
    detail = "不在允许签名的范围内"


class WrongMethod(Problem):
    status, code = HTTPStatus.METHOD_NOT_ALLOWED, "method_not_allowed"
    detail = "只接受 POST"


class TooLarge(Problem):
    status, code = HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large"
    detail = "请求体超过 8 KiB"


class WrongMediaType(Problem):
    status, code = HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"
    detail = "Content-Type 应为 application/json"
