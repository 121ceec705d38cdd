"""Where requests may go: whoever uses these clients decides, before a name is looked up."""

from collections.abc import Callable
from typing import TypeAlias

import httpx

_PORTS = {"http": 80, "https": 443}

Permit: TypeAlias = Callable[[str, int], bool]


class Forbidden(OSError):
    """Nothing of ours may connect there; the text does not say where."""


def anywhere(_host: str, _port: int) -> bool:
    """Permit everything, for who has no list."""
    return True


def demand(permit: Permit, url: httpx.URL) -> None:
    """
    Ask `permit` about the host and port of a URL.

    :raises Forbidden:
    """
    if not permit(url.host, url.port or _PORTS.get(url.scheme, 0)):
        raise Forbidden
