"""
What can go wrong between us and WeChat; the class says what to do next.

* WeChatError
  - Unavailable       timeout, 5xx, rate limit: the same call may work later
  - Rejected          WeChat said no: the same call will be rejected again
    - Misconfigured   … until somebody mends our keys, numbers or permissions
  - Untrusted         the answer is not provably WeChat's; nothing in it was used
  - Undecryptable     the answer is WeChat's, but what our key opened is not a person

Each carries a short constant, `fact`. What WeChat or a person wrote is never in one: exceptions
are logged.
"""

import re
from typing import Self

_SLUG = re.compile(r"[A-Z][A-Z0-9_]{0,39}", re.ASCII)
_REQUEST_ID = re.compile(r"[0-9A-Za-z_-]{1,64}", re.ASCII)
_INTERNAL = re.compile(r"-([0-9]{1,12})\Z", re.ASCII)


class WeChatError(Exception):
    """
    The base of everything this package raises about an answer.

    :ivar fact: a short constant that names what happened
    :ivar status: the HTTP status of the answer, 0 without one
    :ivar code: WeChat's own code, "" without one
    :ivar request_id: WeChat's name for the exchange, to quote to them, "" without one
    """

    status = 0
    code = ""
    request_id = ""

    def __init__(self, fact: str) -> None:
        super().__init__(fact)
        self.fact = fact

    @property
    def internal(self) -> str:
        """
        WeChat's internal number for the outcome, the end of `request_id`; "" without one.

        0 is success, 268443699 a bad signature, 268445527 an appid that is not the merchant's,
        268443701 a sub-merchant that is not the partner's, 268447840 a rate limit.
        """
        return internal_number(self.request_id)

    def about(self, *, status: int, request_id: str, code: str = "") -> Self:
        """Note which answer this is about, as far as its parts are shaped as they should be."""
        self.status = status
        self.request_id = plain_id(request_id)
        self.code = self.code or slug(code)
        return self


class Unavailable(WeChatError):
    """Nobody answered, or not now; `retry_after` is in seconds when a wait was named."""

    def __init__(self, fact: str, *, retry_after: float | None = None) -> None:
        super().__init__(fact)
        self.retry_after = retry_after


class Rejected(WeChatError):
    """WeChat refused; `code` is its own code, and "UNKNOWN" if that is not shaped like one."""

    def __init__(self, code: str, *, fact: str = "refused") -> None:
        super().__init__(fact)
        self.code = slug(code) or "UNKNOWN"

    def __str__(self) -> str:
        return f"{self.code} ({self.fact})"


class Misconfigured(Rejected):
    """
    WeChat refuses us, not this person: nothing helps until our side is mended.

    `fact` names what to look at: signature (key, serial or sign type), identifiers, appid_mch_id,
    sub_merchant, clock, message, signer.
    """


class Untrusted(WeChatError):
    """The answer failed a check that WeChat's own answers pass; `fact` names the check."""


class Undecryptable(WeChatError):
    """
    Decryption gave something other than a name and a document number.

    A wrong key does not fail loudly under PKCS#1 v1.5, it yields noise: `fact` says which
    judgement the noise did not survive.
    """


def slug(code: str) -> str:
    """Return `code` if it is shaped like one of WeChat's codes, else ""."""
    return code if _SLUG.fullmatch(code) else ""


def plain_id(request_id: str) -> str:
    """Return `request_id` if it is shaped like a Request-ID, else ""."""
    return request_id if _REQUEST_ID.fullmatch(request_id) else ""


def internal_number(request_id: str) -> str:
    """Return the number a Request-ID ends in, or ""."""
    found = _INTERNAL.search(request_id)
    return found[1] if found else ""
