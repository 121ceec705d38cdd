"""
What can go wrong between us and WeChat; the class says what to do next.

* WeChatError
  - Unavailable     timeout, 5xx, rate limit: the same call may work later
  - Rejected        WeChat said no: the same call will be rejected again
  - Untrusted       the answer is not provably WeChat's; nothing in it was used
  - Undecryptable   the answer is WeChat's, but what our key opened is not a person

Each carries a short constant. What WeChat or a person wrote is never in one: exceptions are logged.
"""

import re

_SLUG = re.compile(r"[A-Z][A-Z0-9_]{0,39}", re.ASCII)


class WeChatError(Exception):
    """The base of everything this package raises about an answer."""


class Unavailable(WeChatError):
    """Nobody answered, or not now; `retry_after` is in seconds when WeChat named a wait."""

    def __init__(self, fact: str, *, retry_after: float | None = None) -> None:
        super().__init__(fact)
        self.fact = fact
        self.retry_after = retry_after


class Rejected(WeChatError):
    """WeChat refused; `code` is its own code, and "UNKNOWN" if that is not shaped like one."""

    def __init__(self, code: str, *, status: int = 200, request_id: str = "") -> None:
        self.code = code if _SLUG.fullmatch(code) else "UNKNOWN"
        super().__init__(self.code)
        self.status = status
        self.request_id = request_id


class Untrusted(WeChatError):
    """The answer failed a check that WeChat's own answers pass; `fact` names the check."""

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact


class Undecryptable(WeChatError):
    """
    Decryption gave something other than a name and a document number.

    A wrong key does not fail loudly under PKCS#1 v1.5, it yields noise: `fact` says which
    judgement the noise did not survive.
    """

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact
