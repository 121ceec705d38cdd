"""What a log line may say of an exception: which kinds, and where; never its message."""

import sys
import traceback
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger


def frames_only(_logger: "WrappedLogger", _name: str, event: "EventDict") -> "EventDict":
    """Log processor: an exception becomes its types and frames, never its message."""
    info = event.pop("exc_info", None)
    info = sys.exc_info() if info is True else info  # as structlog's `exception` has it
    exception = info[1] if isinstance(info, tuple) else info
    if isinstance(exception, BaseException):
        event["exception"] = [type(exc).__name__ for exc in _chain(exception)]
        event["frames"] = [
            f"{frame.filename}:{frame.lineno} {frame.name}"
            for frame in traceback.extract_tb(exception.__traceback__)
        ]
        record = event.get("_record")
        if record is not None:  # a library's message may quote the exception: keep its template
            event["event"] = str(record.msg)
    return event


def _chain(exc: BaseException | None) -> list[BaseException]:
    chain: list[BaseException] = []
    while exc is not None and exc not in chain:
        chain.append(exc)
        exc = exc.__cause__ or exc.__context__
    return chain
