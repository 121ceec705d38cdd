"""
What is handed over: a page to read and a file for machines, in one encrypted archive.

A zip with AES-256 (WinZip's AE-2), since what opens it is on every desk and telephone (7-Zip,
WinRAR, 360压缩, WPS), and a patient can be told its password on paper.
"""

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

import pyzipper
from django.conf import settings
from django.template.loader import render_to_string
from django.utils import timezone

from hospital.privacy import looks
from hospital.privacy.subjects import Place, Told

PAGE: Final = "个人信息副本.html"
DATA: Final = "data.json"


@dataclass(frozen=True)
class Section:
    """One kind of data; rows of label and value."""

    name: str
    label: str
    rows: Sequence[Told]


def pack(places: Sequence[Place], *, subject: UUID, password: str, at: datetime) -> bytes:
    """Return an archive of all that these places hold of one person, and who looked at it."""
    sections = [Section(one.name, one.label, one.told(subject)) for one in places]
    sections.append(Section("audit.event", "谁查看过这份档案", looks.told(subject)))
    made = f"{timezone.localtime(at):%Y-%m-%d %H:%M}"
    data = {
        "hospital": settings.HOSPITAL_NAME,
        "made": made,
        "sections": [
            {"name": one.name, "label": one.label, "rows": [dict(row) for row in one.rows]}
            for one in sections
        ],
    }
    told = [one for one in sections if one.rows]
    page = render_to_string("privacy/copy.html", {**data, "sections": told})
    return _encrypted({PAGE: page, DATA: json.dumps(data, ensure_ascii=False, indent=2)}, password)


def _encrypted(files: dict[str, str], password: str) -> bytes:
    archive = io.BytesIO()
    with pyzipper.AESZipFile(
        archive, "w", compression=pyzipper.ZIP_DEFLATED, encryption=pyzipper.WZ_AES
    ) as zipped:
        zipped.setpassword(password.encode())
        zipped.setencryption(pyzipper.WZ_AES, nbits=256)
        for name, text in files.items():
            zipped.writestr(name, text.encode())
    return archive.getvalue()
