"""How a file of the evidence is written: the same rows are the same bytes."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils import timezone

from hospital.audit.exporting.tables import BOM, neutral


@dataclass(frozen=True)
class Artefact:
    """
    One file.

    :param title: what it is, for the index
    """

    name: str
    title: str
    content: bytes


def as_csv(
    name: str, title: str, head: Sequence[str], rows: Iterable[Sequence[object]]
) -> Artefact:
    """In UTF-8 with BOM, for Excel and WPS; no cell is taken for a formula."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    writer.writerows([neutral(str(cell)) for cell in row] for row in rows)
    return Artefact(name, title, BOM + text.getvalue().encode())


def as_json(name: str, title: str, value: Any) -> Artefact:
    text = json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n"
    return Artefact(name, title, text.encode())


def minute(at: datetime | None) -> str:
    """Return a local time as people read it; "" for none."""
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}" if at else ""


def yes(value: object) -> str:
    return "是" if value else ""
