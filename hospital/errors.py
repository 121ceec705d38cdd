"""
What a verb may raise for its caller to show.

Each module defines its own facts as subclasses, beside the verb that raises them.
`hospital.api` is the only place that turns them into HTTP.
"""

from typing import ClassVar

from django.db import OperationalError


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


class TrailUnavailable(Unavailable, OperationalError):
    """
    The event cannot be written: the disk is full, a right is missing, somebody blocks the table.

    An error of the database to whoever waits for it, and a 503 at an edge. What was to be
    recorded is rolled back, or has not begun.
    """

    code = "trail_unavailable"
    message = "审计记录暂时无法写入，操作未执行，请稍后重试"
