"""
How many statements an authinfo that is kept takes: counted, with what a hospital has for a cache.

`python -m tests.benchmarks.statements FILE`, in the environment of a site, takes its terminals from
a file, asks for each of them, and prints the fewest it took: with its record, and without.
"""

import itertools
import json
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import django
import httpx

from devices.agent import keys
from devices.agent.signing import TerminalAuth
from tests.benchmarks.scene import RAWDATA

ASKED: Final = 5  # times; now and then one of them writes what was noted for the admin
_ADDRESS: Final = "/api/v1/authinfo/"


def _main(terminals: list[dict[str, str]]) -> None:
    django.setup()
    logging.disable(logging.WARNING)  # a line for each request
    ask = _asking(itertools.cycle(terminals).__next__)
    counts = {"recorded": _fewest(ask)}
    from tests.benchmarks.reference import unrecorded  # noqa: F401, PLC0415 (from here it is)

    counts["unrecorded"] = _fewest(ask)
    print(json.dumps(counts))


def _asking(terminal: Callable[[], dict[str, str]]) -> Callable[[], None]:
    from django.test import Client  # noqa: PLC0415 (after the setup)

    client = Client(SERVER_NAME="127.0.0.1")

    def ask() -> None:
        one = terminal()
        auth = TerminalAuth(keys.from_pem(one["key"].encode()), one["key_id"])
        address, asked = f"http://127.0.0.1{_ADDRESS}", {"rawdata": RAWDATA}
        request = next(auth.auth_flow(httpx.Request("POST", address, json=asked)))
        answer = client.generic(
            "POST", _ADDRESS, request.content, "application/json", headers=dict(request.headers)
        )
        assert answer.status_code == 200, answer.status_code

    return ask


def _fewest(ask: Callable[[], None]) -> int:
    from django.db import connection  # noqa: PLC0415 (after the setup)

    counts = []
    for _ in range(ASKED + 1):
        sent: list[str] = []

        def noting(execute: Any, sql: Any, *rest: Any, sent: list[str] = sent) -> Any:
            sent.append(str(sql))
            return execute(sql, *rest)

        with connection.execute_wrapper(noting):
            ask()
        counts.append(len(sent))
    return min(counts[1:])  # the first found keys and routes


if __name__ == "__main__":
    _main(json.loads(Path(sys.argv[1]).read_text()))
