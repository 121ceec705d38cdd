"""The service itself: verify who asks, judge what for, sign, and write a line about it."""

import base64
import json
import re
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding

from faceauth.signing import allowlist, authentication, journal
from faceauth.signing.authentication import Signed
from faceauth.signing.configuration import Configuration
from faceauth.signing.problems import Malformed, Problem, TooLarge, WrongMediaType, WrongMethod

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LIMIT = 8192  # bytes of a request's body

_LENGTH = re.compile(r"[0-9]{1,9}", re.ASCII)


class Signatory:
    """
    A WSGI application: POST anywhere asks for a signature, GET /healthz for a sign of life.

    `clock` gives Unix seconds.
    """

    def __init__(
        self, configuration: Configuration, *, clock: Callable[[], float] = time.time
    ) -> None:
        self._ours = configuration
        self._clock = clock

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        if (environ["REQUEST_METHOD"], environ.get("PATH_INFO")) == ("GET", "/healthz"):
            start_response("204 No Content", [])
            return []
        now, entry = self._clock(), journal.Entry()
        try:
            content: dict[str, object] = {**self._answer(environ, entry, now=now)}
            status, entry.verdict = HTTPStatus.OK, journal.SIGNED
        except Problem as exc:
            content, status = exc.content, exc.status
            entry.verdict, entry.fact = exc.code, exc.fact
        journal.write(entry, now=now)
        return _send(start_response, content, status=status)

    def _answer(
        self, environ: "WSGIEnvironment", entry: journal.Entry, *, now: float
    ) -> dict[str, str]:
        request, body = _read(environ)
        hospital = authentication.signer_of(
            request, body=body, hospitals=self._ours.hospitals, now=now
        )
        entry.hospital = hospital.name
        message = _message(body)
        question = allowlist.read(message)
        entry.sub_mch_id, entry.info_type = question.sub_mch_id, question.info_type
        allowlist.judge(question, hospital=hospital, appid=self._ours.appid, now=now)
        signature = self._ours.private_key.sign(
            message.encode("ascii"), padding.PKCS1v15(), hashes.SHA256()
        )
        return {
            "mch_id": self._ours.mch_id,
            "serial_no": self._ours.serial_no,
            "signature": base64.b64encode(signature).decode(),
        }


def _read(environ: "WSGIEnvironment") -> tuple[Signed, bytes]:
    """:raises WrongMethod, WrongMediaType, Malformed, TooLarge:"""
    if environ["REQUEST_METHOD"] != "POST":
        raise WrongMethod
    if environ.get("CONTENT_TYPE", "").partition(";")[0].strip().lower() != "application/json":
        raise WrongMediaType
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    if environ.get("QUERY_STRING"):  # the signature is not over one
        raise Malformed
    headers = {
        name.removeprefix("HTTP_").replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    as_sent = quote(path, encoding="latin-1")
    return Signed("POST", f"https://signing.invalid{as_sent}", headers), _body(environ)


def _body(environ: "WSGIEnvironment") -> bytes:
    length = environ.get("CONTENT_LENGTH") or str(LIMIT + 1)  # sent in chunks
    if not _LENGTH.fullmatch(length):
        raise Malformed
    body: bytes = environ["wsgi.input"].read(min(int(length), LIMIT + 1))
    if len(body) > LIMIT:
        raise TooLarge
    return body


def _message(body: bytes) -> str:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        content = None
    match content:
        case {"message": str(message), **others} if not others:
            return message
    raise Malformed


def _send(
    start_response: "StartResponse", content: dict[str, object], *, status: HTTPStatus
) -> list[bytes]:
    body = json.dumps(content, ensure_ascii=False).encode()
    kind = "application/json" if status is HTTPStatus.OK else "application/problem+json"
    headers = [
        ("Content-Type", kind),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "POST"))
    start_response(f"{status.value} {status.phrase}", headers)
    return [body]
