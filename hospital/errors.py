"""
What a verb may raise for its caller to show.

Each module defines its own facts as subclasses, beside the verb that raises them.
`hospital.api` is the only place that turns them into HTTP.
"""

from typing import ClassVar


class Refusal(Exception):
    """
    The request was understood and is not allowed in the present state.

    `code` is stable and part of the API; `message` is a sentence a kiosk or a
    registrar can read. Neither ever contains a value of a person's.
    """

    code: ClassVar[str] = "refused"
    message: ClassVar[str] = "当前状态不允许此操作"

    def __str__(self) -> str:
        return self.message


class Unavailable(Exception):
    """Something we depend on is down; the same request may work after `retry_after` seconds."""

    code: ClassVar[str] = "unavailable"
    message: ClassVar[str] = "服务暂时不可用，请稍后重试"

    def __init__(self, *, retry_after: float = 5) -> None:
        super().__init__()
        self.retry_after = retry_after

    def __str__(self) -> str:
        return self.message
