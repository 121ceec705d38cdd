"""
Asking Vault: one question, one bounded answer, and what a refusal means.

No connection outlives its question: they are rare. Neither the token nor any part of a key is ever
in a message.
"""

import json
import ssl
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import httpx
import stamina

from hospital import egress
from hospital.crypto.providers import KeyRefused, KeyUnavailable

if TYPE_CHECKING:
    from stamina._core import _RetryContextIterator

_BUDGET: Final = 5.0  # seconds for a question, repeated attempts and all
_CONNECT: Final = 2.0  # seconds
_SHORTEST: Final = 0.1  # seconds that are waited for an answer in any case
_LIMIT: Final = 65_536  # bytes of an answer
_QUOTED: Final = 200  # characters of an error we have no sentence of our own for
_ATTEMPTS: Final = 3
_FIRST_WAIT, _LONGEST_WAIT, _JITTER = 0.1, 1.0, 0.1  # seconds

# https://developer.hashicorp.com/vault/api-docs#http-status-codes
_REASONS: Final[dict[int, str]] = {
    httpx.codes.FORBIDDEN: "the token has expired, or has no right to this key",
    httpx.codes.NOT_FOUND: "no transit engine at VAULT_MOUNT, or no key of this name",
    httpx.codes.TOO_MANY_REQUESTS: "asked too often",
    httpx.codes.SERVICE_UNAVAILABLE: "sealed, or under maintenance",
}
# 400 in transit's own words; some versions said the first with a 500.
_REFUSALS: Final = ("message authentication failed", "invalid ciphertext")


class _Passing(KeyUnavailable):
    """Worth asking again in a moment."""


class _Absent(KeyUnavailable):
    """There is nothing at this path."""


@dataclass(frozen=True)
class VaultToken:
    """A token as given, or the file an agent keeps it in: read anew each time, as it is renewed."""

    value: str = field(default="", repr=False)
    file: Path | None = None

    def read(self) -> str:
        """
        Return the token.

        :raises KeyUnavailable: the file cannot be read, or holds no token
        """
        try:
            token = (self.file.read_text() if self.file else self.value).strip()
        except OSError as exc:
            raise KeyUnavailable(f"VAULT_TOKEN_FILE {self.file}: {exc.strerror}") from None
        except UnicodeDecodeError:
            token = ""
        if not token.isascii() or not token.isprintable() or not token:
            raise KeyUnavailable("VAULT_TOKEN: no token")
        return token


@dataclass(frozen=True, kw_only=True)
class Vault:
    """
    The server at `address`, a URL without a path.

    `cacert` is a file of the authorities to believe instead of the system's.
    """

    address: str
    token: VaultToken
    namespace: str = ""
    cacert: str = ""

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """
        Return the answer's data, empty if there is none.

        :raises KeyUnavailable:
        :raises KeyRefused: the ciphertext asked about is not of this key and context
        """
        until = time.monotonic() + _BUDGET
        request = self._request(method, path, body)
        with self._client() as client:
            for attempt in _attempts():
                with attempt:
                    return _data(*_exchange(client, request, until=until))
        raise AssertionError("unreachable")  # the last attempt raised

    def has(self, path: str) -> bool:
        """
        Return whether there is something to read at `path`.

        :raises KeyUnavailable:
        """
        try:
            self.ask("GET", path)
        except _Absent:
            return False
        return True

    def _request(self, method: str, path: str, body: dict[str, Any] | None) -> httpx.Request:
        headers = {
            "Accept-Encoding": "identity",  # the limit is on what arrives
            "X-Vault-Request": "true",
            "X-Vault-Token": self.token.read(),
        }
        if self.namespace:
            headers["X-Vault-Namespace"] = self.namespace
        url = self.address.rstrip("/") + path
        try:
            return httpx.Request(method, url, headers=headers, json=body)
        except (httpx.InvalidURL, UnicodeEncodeError):
            raise KeyUnavailable("VAULT_ADDR or VAULT_NAMESPACE cannot be sent") from None

    def _client(self) -> httpx.Client:
        # No proxy and no .netrc sees the token, and no redirect takes it elsewhere.
        try:
            trusted = ssl.create_default_context(cafile=self.cacert or None)
        except OSError as exc:  # ssl.SSLError is one
            raise KeyUnavailable(f"VAULT_CACERT {self.cacert}: {exc.strerror}") from None
        return egress.client(verify=trusted)


def _attempts() -> "_RetryContextIterator":
    return stamina.retry_context(
        on=_Passing,
        attempts=_ATTEMPTS,
        timeout=_BUDGET - _CONNECT,
        wait_initial=_FIRST_WAIT,
        wait_max=_LONGEST_WAIT,
        wait_jitter=_JITTER,
    )


def _exchange(client: httpx.Client, request: httpx.Request, *, until: float) -> tuple[int, bytes]:
    left = max(until - time.monotonic(), _SHORTEST)
    wait = httpx.Timeout(left, connect=min(_CONNECT, left))
    request.extensions["timeout"] = wait.as_dict()
    try:
        answer = client.send(request, stream=True)
        try:
            return answer.status_code, _read(answer, until=until)
        finally:
            answer.close()
    except (httpx.HTTPError, OSError) as exc:
        fact = type(exc).__name__
    # Out here, because httpx's own exceptions carry the request, and that the token.
    raise _Passing(f"vault: {fact}")


def _read(answer: httpx.Response, *, until: float) -> bytes:
    body = bytearray()
    for chunk in answer.iter_raw():
        body += chunk
        if len(body) > _LIMIT:
            raise KeyUnavailable("vault: the answer has no end")
        if time.monotonic() > until:
            raise httpx.ReadTimeout("too slow")
    return bytes(body)


def _data(status: int, body: bytes) -> dict[str, Any]:
    said = _said(body)
    if httpx.codes.is_success(status):
        data = said.get("data", {})
        if isinstance(data, dict):
            return data
        raise KeyUnavailable("vault: the answer is not Vault's")
    errors = " / ".join(map(str, said.get("errors") or ()))
    if any(refusal in errors for refusal in _REFUSALS):
        raise KeyRefused
    if httpx.codes.is_redirect(status):
        raise KeyUnavailable("vault: a standby, name the active node in VAULT_ADDR")
    reason = f"vault: {status}, {_REASONS.get(status) or errors[:_QUOTED]}"
    if status == httpx.codes.NOT_FOUND:
        raise _Absent(reason)
    if status == httpx.codes.TOO_MANY_REQUESTS or httpx.codes.is_server_error(status):
        raise _Passing(reason)
    raise KeyUnavailable(reason)


def _said(body: bytes) -> dict[str, Any]:
    """Return nothing of what is not Vault's own JSON: a proxy might quote the request."""
    try:
        said = json.loads(body)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
