"""What came in lately and what became of it. The page at `/` shows it; nothing is kept on disk."""

import re
import secrets
import threading
from collections import deque
from dataclasses import asdict, dataclass, field
from typing import Any

from faceauth.simulator.scenarios import AUTHINFO, CERTIFICATES, USERS
from faceauth.simulator.wire import Reply, Request
from faceauth.wechat import flatxml
from faceauth.wechat.errors import Untrusted

KEPT = 200  # entries
OTHER = "other"
SCREEN = frozenset({"/_sim/scan", "/_sim/userinfo", "/_sim/authorize"})  # the terminal's SDK

_SHOWN = 12  # characters of a signature: enough to tell two apart, too few to use
_LONGEST = 2_000  # characters of anything else
_PIECES = 40  # lines, fields or items; an honest request has fewer
_VALUE = 160  # characters of one field: rawdata has some 800
_V2 = ("mch_id", "appid", "now", "nonce_str", "sign_type", "sign")
_SEQ = re.compile(r"[0-9]{1,12}", re.ASCII)
_ITEM = re.compile(r'([a-z_]+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Entry:
    """One request and its answer; `to_sign` is the string to sign, cut after each separator."""

    seq: int
    at: float  # Unix seconds
    endpoint: str
    method: str
    target: str = field(repr=False)
    status: int
    milliseconds: float
    device: str
    verdict: str
    request_id: str
    to_sign: list[str] = field(repr=False)
    received: dict[str, str] = field(repr=False)


class Journal:
    """The last requests. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entries: deque[Entry] = deque(maxlen=KEPT)
        self._last = 0
        self._run = secrets.token_hex(8)  # a restart counts from one again: readers must notice

    def note(self, request: Request, reply: Reply, *, at: float, seconds: float) -> None:
        """Remember a request to WeChat or its SDK, answered `at` (Unix) after `seconds`."""
        endpoint = _endpoint(request.path)
        if not endpoint:
            return
        fields = _fields(request) if endpoint == AUTHINFO else {}
        given = {name: fields[name] for name in _V2 if name in fields} or _items(request)
        to_sign = _joined(fields) or _lines(reply.to_sign or _message(request, given, endpoint))
        with self._lock:
            self._last += 1
            entry = Entry(
                seq=self._last,
                at=at,
                endpoint=endpoint,
                method=request.method,
                target=request.target[:_LONGEST],
                status=reply.status,
                milliseconds=round(seconds * 1000, 1),
                device=reply.device_id[:_VALUE],
                verdict=reply.verdict[:_LONGEST],
                request_id=reply.headers.get("Request-ID", ""),
                to_sign=to_sign,
                received=_received(given),
            )
            self._entries.append(entry)

    def after(self, seq: str) -> dict[str, Any]:
        """Return what came in after number `seq`, oldest first; after none, all there is."""
        known = int(seq) if _SEQ.fullmatch(seq) else 0
        with self._lock:
            entries, last = list(self._entries), self._last
        newer = [asdict(entry) for entry in entries if entry.seq > known]
        return {"run": self._run, "seq": last, "entries": newer}

    def devices(self) -> list[str]:
        """Return the terminals the entries speak of."""
        with self._lock:
            return sorted({entry.device for entry in self._entries if entry.device})


def _endpoint(path: str) -> str:
    """Return what a path is part of, or "" if it is the page's own."""
    if path == "/face/get_wxpayface_authinfo":
        return AUTHINFO
    if path.startswith("/v3/facemch/users/"):
        return USERS
    if path == "/v3/certificates":
        return CERTIFICATES
    if path in SCREEN:
        return path.removeprefix("/_sim/")
    return "" if path == "/" or path.startswith("/_sim/") else OTHER


def _fields(request: Request) -> dict[str, str]:
    try:
        return flatxml.read(request.body)
    except Untrusted:
        return {}


def _joined(fields: dict[str, str]) -> list[str]:
    """Return a v2 string to sign without the key, long values cut: rawdata has some 800."""
    given = sorted((name, value) for name, value in fields.items() if value and name != "sign")
    pieces = [f"{_cut(f'{name}={value}', longest=_VALUE)}&" for name, value in given[:_PIECES]]
    return [*pieces, "key=（APIv2 密钥）"] if pieces else []


def _items(request: Request) -> dict[str, str]:
    """Return the items of an Authorization header, or of one that has none the scheme alone."""
    scheme, _, rest = request.headers.get("authorization", "").partition(" ")
    items = dict(_ITEM.findall(rest)[:_PIECES])
    if not scheme:
        return {}
    return {"scheme": scheme, **items} if items else {"scheme": scheme[:_SHOWN]}


def _message(request: Request, items: dict[str, str], endpoint: str) -> str:
    """Return a v3 string to sign; a client that sent no header yet sees where its parts go."""
    if endpoint not in (USERS, CERTIFICATES):
        return ""
    timestamp = items.get("timestamp", "（timestamp）")
    nonce = items.get("nonce_str", "（nonce_str）")
    body = request.body.decode("utf-8", "replace")
    return f"{request.method}\n{request.target}\n{timestamp}\n{nonce}\n{body}\n"


def _lines(message: str) -> list[str]:
    return [f"{_cut(line, longest=_LONGEST)}\n" for line in message.split("\n")[:-1][:_PIECES]]


def _received(given: dict[str, str]) -> dict[str, str]:
    return {
        name: _cut(value, longest=_SHOWN if name in ("sign", "signature") else _VALUE)
        for name, value in given.items()
    }


def _cut(text: str, *, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}…（共 {len(text)} 字符）"
