"""
A line as a log server gives it back: of which leaf it is, and the text that came with it.

Pure. A raw message, JSON with such a message in it, JSON with the keys `index` and `hash`, or only
the two. The text of a message may speak of an index and a hash of its own, so it is never searched.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

MARKS: Final = frozenset({"pruned", "redacted", "missing", "altered"})

_VALUE: Final = r'"(?:[^"\\\]]|\\.)*"'
_MESSAGE: Final = re.compile(
    rf"\[trail@\d+(?P<params>(?: [a-z]+={_VALUE})+)\](?: (?:\ufeff)?(?P<text>.*))?$", re.DOTALL
)
_PARAM: Final = re.compile(rf" ([a-z]+)=({_VALUE})")
_ESCAPED: Final = re.compile(r'\\(["\\\]])')
_PAIR: Final = re.compile(r'^\W*(?P<index>\d{1,18})[\s,;|"]+(?P<hash>[0-9a-f]{64})\W*$', re.ASCII)
_INDEX: Final = re.compile(r"\d{1,18}", re.ASCII)
_HASH: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(frozen=True)
class Stated:
    """
    What a line says.

    :param origin: the log's name; "" if it does not say
    :param text: the canonical line as it was kept; None if there is none
    :param is_marked: it says itself that its text is not what was sealed
    """

    index: int
    hash: str
    origin: str = ""
    text: str | None = None
    is_marked: bool = False


def read(line: str) -> Stated | None:
    """Return what a line says of a leaf; None if it is nothing we know."""
    line = line.strip("\r\n")
    if line.lstrip().startswith("{"):
        return _of_json(line)
    pair = _PAIR.match(line)
    if pair:
        return Stated(int(pair["index"]), pair["hash"])
    return _of_message(line) or _of_json(line[line.find("{") :])


def _of_message(text: str) -> Stated | None:
    found = _MESSAGE.search(text)
    if found is None:
        return None
    params = {name: _ESCAPED.sub(r"\1", value[1:-1]) for name, value in _PARAM.findall(found[1])}
    return _of_params(params, found["text"] or None)


def _of_params(params: dict[str, Any], text: str | None = None) -> Stated | None:
    index, digest = str(params.get("index", "")), params.get("hash")
    if not _INDEX.fullmatch(index) or not isinstance(digest, str) or not _HASH.fullmatch(digest):
        return None
    origin = params.get("origin")
    return Stated(
        int(index),
        digest,
        origin=origin if isinstance(origin, str) else "",
        text=text,
        is_marked=not MARKS.isdisjoint(params),
    )


def _of_json(text: str) -> Stated | None:
    try:
        values = list(_values(json.loads(text)))
    except (ValueError, RecursionError):
        return None
    messages = (_of_message(one) for one in values if isinstance(one, str))
    pairs = (_of_params(one) for one in values if isinstance(one, dict))
    return next(filter(None, messages), None) or next(filter(None, pairs), None)


def _values(value: Any) -> Iterator[Any]:
    """Yield everything in a value of JSON, the outermost first."""
    yield value
    if isinstance(value, dict):
        for one in value.values():
            yield from _values(one)
    elif isinstance(value, list):
        for one in value:
            yield from _values(one)
