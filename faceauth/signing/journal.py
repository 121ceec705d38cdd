"""One JSON line per decision: for whom, and why not. Never a face_sid, a message, a signature."""

import json
import logging
import sys
from dataclasses import dataclass
from datetime import UTC, datetime

SIGNED = "signed"

_LOG = logging.getLogger("faceauth.signing")


@dataclass(slots=True)
class Entry:
    """What is known of a decision so far; what never became known stays empty."""

    hospital: str = ""
    sub_mch_id: str = ""
    info_type: str = ""
    verdict: str = ""
    fact: str = ""


def write(entry: Entry, *, now: float) -> None:
    """Put `entry` in the log; `now` in Unix seconds."""
    line = {
        "time": datetime.fromtimestamp(now, UTC).isoformat(timespec="milliseconds"),
        "hospital": entry.hospital,
        "sub_mchid": entry.sub_mch_id,
        "info_type": entry.info_type,
        "verdict": entry.verdict,
        "fact": entry.fact,
    }
    _LOG.info("%s", json.dumps(line, ensure_ascii=False))


def to_stdout() -> None:
    """Send the log to standard output, the lines as they are."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    _LOG.addHandler(handler)
    _LOG.setLevel(logging.INFO)
    _LOG.propagate = False
