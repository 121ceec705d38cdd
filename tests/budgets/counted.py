"""What a piece of work asked of the database, of keys and of WeChat."""

import cProfile
import re
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from django.db import connection
from django.test.utils import CaptureQueriesContext

from faceauth.simulator import Simulator

_OF_RSA = re.compile(r"'(sign|verify|encrypt|decrypt)' of '.*\.RSA(Private|Public)Key'")
_NAMED = {"SELECT": "FROM", "INSERT": "INTO", "UPDATE": "UPDATE", "DELETE": "FROM"}


@dataclass
class Counted:
    statements: list[str] = field(default_factory=list)  # verb and table, in order
    rsa_operations: Counter[str] = field(default_factory=Counter)
    questions: int = 0  # to WeChat


@contextmanager
def counting(simulator: Simulator) -> Iterator[Counted]:
    """Count until the block ends, in this thread; WeChat's own work is another's."""
    found, before = Counted(), _asked(simulator)
    with CaptureQueriesContext(connection) as captured, cProfile.Profile() as profile:
        yield found
    profile.create_stats()
    found.statements += [
        _named(part)
        for one in captured.captured_queries
        for part in re.split(r";(?=INSERT )", one["sql"])
        if part.startswith(tuple(_NAMED))
    ]
    for (_, _, name), stat in profile.stats.items():
        if match := _OF_RSA.search(name):
            found.rsa_operations[match[1]] += stat[0]
    found.questions = _asked(simulator) - before


def _named(sql: str) -> str:
    words = sql.replace('"', "").split()
    return f"{words[0]} {words[words.index(_NAMED[words[0]]) + 1]}"


def _asked(simulator: Simulator) -> int:
    told = simulator.requests()
    return sum(count for count in told.values() if isinstance(count, int))
