"""合规证据: one pack of what is so right now, for an assessor; no personal data in it."""

import io
import json
import zipfile
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from django.db import transaction
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.exporting.checking import Digests
from hospital.audit.recording import Actor, HasActor, record
from hospital.compliance import matrix
from hospital.compliance.evidence import attached, data, keys, numbers, pages, people, policy, sbom
from hospital.compliance.evidence import trail as trail_state
from hospital.compliance.evidence.files import Artefact
from hospital.compliance.looks import personal
from hospital.compliance.matrix import Finding
from hospital.compliance.seen import State, met

MANIFEST: Final = "manifest.json"
_SAME: Final = (1980, 1, 1, 0, 0, 0)  # of every file in the zip: the manifest has the time


_COLLECTED: Final = met("本证据包即本次收集，已留痕")


@dataclass(frozen=True)
class Pack:
    """
    What was collected; `manifest` has all that passes with time: when, and how far the trail is.

    :param trail: how far it is signed, witnessed and sent; collecting is itself on record
    """

    at: datetime
    findings: list[Finding]
    files: list[Artefact]
    trail: dict[str, object]

    @property
    def name(self) -> str:
        return f"evidence-{timezone.localtime(self.at):%Y%m%d}"

    @property
    def manifest(self) -> bytes:
        told = {
            "collected_at": timezone.localtime(self.at).isoformat(timespec="seconds"),
            "trail": self.trail,
            "counts": {state.value: count for state, count in matrix.counts(self.findings).items()},
            "files": [_described(one) for one in self.files],
        }
        return (json.dumps(told, ensure_ascii=False, indent=2) + "\n").encode()

    def zipped(self) -> bytes:
        """Return a zip: the same files are the same bytes."""
        target = io.BytesIO()
        with zipfile.ZipFile(target, "w") as zipped:
            for name, content in [*((f.name, f.content) for f in self.files),
                                  (MANIFEST, self.manifest)]:  # fmt: skip
                entry = zipfile.ZipInfo(f"{self.name}/{name}", _SAME)
                entry.external_attr = 0o600 << 16
                zipped.writestr(entry, content, zipfile.ZIP_DEFLATED, 9)
        return target.getvalue()


def collect(
    *,
    by: HasActor | Actor,
    at: datetime,
    thorough: bool,
    dependency_audit: Path | None = None,
    tests: Path | None = None,
) -> Pack:
    """
    Collect everything, on record.

    :param thorough: also look at what reads whole tables, as the trail line by line
    :raises Unreadable: a report that was handed over is none
    """
    pack = gather(at=at, thorough=thorough, dependency_audit=dependency_audit, tests=tests)
    note(pack.findings, by=by, at=at)
    return pack


def note(findings: list[Finding], *, by: HasActor | Actor, at: datetime) -> None:
    """Put on record that somebody looked at every control."""
    met = matrix.counts(findings)[State.MET]
    with transaction.atomic():
        record(Action.EVIDENCE_COLLECT, by=by, on=None, at=at, met=met, count=len(findings))


def gather(
    *, at: datetime, thorough: bool, dependency_audit: Path | None = None, tests: Path | None = None
) -> Pack:
    """:raises Unreadable: a report that was handed over is none"""
    handed_over = [attached.dependency_audit(dependency_audit), attached.assessment_tests(tests)]
    findings = [_as_collected(one) for one in matrix.findings(at=at, thorough=thorough)]
    files = [
        pages.matrix(findings),
        policy.made(),
        people.roles(),
        people.accounts(at),
        data.inventory(),
        data.schedule(),
        data.runs(),
        numbers.consents(),
        numbers.counts(at),
        keys.made(),
        trail_state.made(at),
        sbom.made(),
        *handed_over,
        pages.conditions(at),
        pages.privacy(),
    ]
    return Pack(at, findings, [pages.index(findings, files), *files], trail_state.reached(at))


def _as_collected(one: Finding) -> Finding:
    """Return it as it is once this pack is there: the first pack says what the next one does."""
    if one.row.look is not personal.collected:
        return one
    return replace(one, state=_COLLECTED.state, detail=_COLLECTED.detail)


def _described(one: Artefact) -> dict[str, object]:
    digests = Digests()
    digests.update(one.content)
    sha256, sm3 = digests.hex()
    return {"name": one.name, "title": one.title, "size": len(one.content), "sha256": sha256,
            "sm3": sm3}  # fmt: skip
