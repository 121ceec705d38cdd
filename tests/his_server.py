"""
A hospital's own system: a small FHIR R4 server on a loopback port.

It refuses what a real one refuses, judges what it is given by FHIR's own model, and can be told to
be slow, down, overloaded, or gone before it answered.
"""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl

from fhir.resources.R4B.patient import Patient

FHIR = "application/fhir+json"
TOKEN = "token of the HIS"


@dataclass
class Weather:
    """What happens to the next answers."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0
    drops: bool = False  # the connection, after the work is done
    left: int = 1


@dataclass
class His:
    """What it has, and what it was asked."""

    url: str = ""
    token: str = TOKEN
    counts_versions: bool = True
    says_location: bool = True
    patients: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    weather: list[Weather] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    before_writing: Any = None  # called when a PUT arrives

    def will(self, **what: Any) -> None:
        self.weather.append(Weather(**what))

    def methods(self) -> list[str]:
        return [method for method, *_ in self.asked]

    def only(self) -> dict[str, Any]:
        """Return the one patient it has."""
        (found,) = self.patients.values()
        return found

    def keep(self, resource: dict[str, Any], pk: str = "") -> dict[str, Any]:
        """Store a version of a patient, as if somebody at the HIS had."""
        pk = pk or f"his-{len(self.patients) + 1}"
        version = int(self.patients.get(pk, {}).get("meta", {}).get("versionId", 0)) + 1
        meta = {**resource.get("meta", {}), "versionId": str(version)}
        self.patients[pk] = {**resource, "id": pk, "meta": meta}
        return self.patients[pk]

    def matching(self, query: str) -> list[dict[str, Any]]:
        ((name, token),) = parse_qsl(query, strict_parsing=True)
        system, _, value = token.partition("|")
        assert name == "identifier"
        return [
            one
            for one in self.patients.values()
            if any(
                (said.get("system"), said.get("value")) == (system, value)
                for said in one.get("identifier", [])
            )
        ]


@contextmanager
def serving(his: His, *, context: Any = None) -> Iterator[His]:
    """Let it listen; `context`: of TLS."""
    server = Server(his)
    scheme = "http"
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        scheme = "https"
    his.url = f"{scheme}://127.0.0.1:{server.server_address[1]}/fhir"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield his
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Server(ThreadingHTTPServer):
    def __init__(self, his: His) -> None:
        self.his = his
        super().__init__(("127.0.0.1", 0), Door)


class Door(BaseHTTPRequestHandler):
    """One connection of somebody who asks."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    @property
    def his(self) -> His:
        return self.server.his

    def log_message(self, *_args: Any) -> None:
        """What is asked is kept in `asked`."""

    def do_POST(self) -> None:
        self._answer(lambda body: _create(self.his, self.headers, self._target(), body))

    def do_PUT(self) -> None:
        if self.his.before_writing:
            self.his.before_writing()
        self._answer(lambda body: _update(self.his, self.headers, self._target(), body))

    def do_GET(self) -> None:
        self._answer(lambda _body: _read(self.his, self._target()))

    def _target(self) -> str:
        return self.path.removeprefix("/fhir/")

    def _answer(self, work: Any) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.his.asked.append((self.command, self.path, dict(self.headers)))
        weather = self.his.weather[0] if self.his.weather else Weather(left=0)
        if self.his.weather:
            weather.left -= 1
            if not weather.left:
                self.his.weather.pop(0)
        if weather.seconds:
            time.sleep(weather.seconds)  # a slow system is what is wanted
        if weather.status:
            self._say(weather.status, weather.headers, weather.body)
            return
        status, headers, said = self._judged(body, work)
        if weather.drops:
            self.close_connection = True
            return
        self._say(status, headers, json.dumps(said).encode() if said else b"")

    def _judged(self, body: bytes, work: Any) -> tuple[int, dict[str, str], Any]:
        if self.his.token and self.headers.get("Authorization") != f"Bearer {self.his.token}":
            return 401, {}, _outcome("login")
        sent = self.headers.get("Content-Type", "").partition(";")[0]
        if self.command != "GET" and sent != FHIR:
            return 415, {}, _outcome("not-supported")
        with self.his.lock:
            status, headers, said = work(body)
        if not self.his.counts_versions:
            headers.pop("ETag", None)
            said = {**said, "meta": {}} if said else said
        if not self.his.says_location:
            headers.pop("Location", None)
        return status, headers, said

    def _say(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": FHIR, **headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def _create(his: His, headers: Any, target: str, body: bytes) -> tuple[int, dict[str, str], Any]:
    if target != "Patient":
        return 404, {}, _outcome("not-found")
    resource = _valid(body)
    if resource is None:
        return 422, {}, _outcome("invalid")
    condition = headers.get("If-None-Exist", "")
    if not condition:
        known = [
            one for said in resource["identifier"]
            for one in his.matching(f"identifier={said.get('system')}|{said['value']}")
        ]  # fmt: skip
        if known:
            return 412, {}, _outcome("duplicate")
    found = his.matching(condition) if condition else []
    if len(found) > 1:
        return 412, {}, _outcome("multiple-matches")
    stored = found[0] if found else his.keep(resource)
    location = f"{his.url}/Patient/{stored['id']}/_history/{stored['meta']['versionId']}"
    return 200 if found else 201, {"Location": location, **_version(stored)}, stored


def _read(his: His, target: str) -> tuple[int, dict[str, str], Any]:
    stored = his.patients.get(target.removeprefix("Patient/"))
    if stored is None:
        return 404, {}, _outcome("not-found")
    return 200, _version(stored), stored


def _update(his: His, headers: Any, target: str, body: bytes) -> tuple[int, dict[str, str], Any]:
    pk = target.removeprefix("Patient/")
    resource, stored = _valid(body), his.patients.get(pk)
    if stored is None:
        return 404, {}, _outcome("not-found")
    if resource is None or resource.get("id") != pk:
        return 422, {}, _outcome("invalid")
    if his.counts_versions and headers.get("If-Match") != _version(stored)["ETag"]:
        return 412, {}, _outcome("conflict")
    stored = his.keep(resource, pk)
    return 200, _version(stored), stored


def _version(stored: dict[str, Any]) -> dict[str, str]:
    return {"ETag": f'W/"{stored["meta"]["versionId"]}"'}


def _valid(body: bytes) -> dict[str, Any] | None:
    """Return what was sent, if it is a Patient as FHIR has it, and of no profile unknown here."""
    try:
        resource: dict[str, Any] = json.loads(body)
        Patient.model_validate(resource)
    except ValueError:
        return None
    return None if resource.get("meta", {}).get("profile") else resource


def _outcome(code: str) -> dict[str, Any]:
    issue = {"severity": "error", "code": code, "diagnostics": "张三 110101199003078899"}
    return {"resourceType": "OperationOutcome", "issue": [issue]}
