"""Is one line what was written: by its keyed code, and by the columns people see?"""

import hmac
import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter
from typing import Any, Final

from hospital.audit import reading
from hospital.audit.reading import Line
from hospital.audit.recording import mac
from hospital.audit.times import moment

SKEW: Final = timedelta(seconds=300)  # between the clock of who states a time and another's

# Column → where the canonical line says it.
SHOWN: Final = {
    "action": ("action",),
    "outcome": ("outcome",),
    "actor_type": ("actor", "type"),
    "actor_id": ("actor", "id"),
    "object_type": ("object", "type"),
    "object_id": ("object", "id"),
    "request_id": ("ctx", "req"),
    "at_us": ("t",),
}
_columns: Final = attrgetter(*SHOWN)


def faults(line: Line) -> Iterator[str]:
    """Yield what is the matter with a line: `mac`, `columns`."""
    if not is_coded(line):
        yield "mac"
    try:
        said = json.loads(line.payload) if isinstance(line.payload, str) else {}
        same = said["uid"].replace("-", "") == str(line.uid).replace("-", "")
        same = same and _columns(line) == _stated(said)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        same = False
    if not same:
        yield "columns"


def is_coded(line: Line) -> bool:
    """Return whether the keyed code is over this text."""
    return hmac.compare_digest(mac(reading.encoded(line.payload)), reading.octets(line.mac))


def shows_nothing(line: Line) -> bool:
    """Return whether no column says anything, as of a line whose text was covered."""
    return all(getattr(line, column) is None for column in SHOWN)


def time(line: Line) -> datetime:
    """Return when a line says that it happened, whatever it says."""
    return moment(line.at_us if isinstance(line.at_us, int) else 0)


def _stated(said: dict[str, Any]) -> tuple[Any, ...]:
    """Return what the columns of `SHOWN` have to show, in its order."""
    values = []
    for path in SHOWN.values():
        value: Any = said
        for name in path:
            value = value[name]
        values.append(value)
    return tuple(values)
