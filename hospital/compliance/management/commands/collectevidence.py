import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital import durable
from hospital.audit.recording import SYSTEM
from hospital.compliance import collecting, matrix
from hospital.compliance.collecting import MANIFEST, Pack
from hospital.compliance.evidence.attached import Unreadable
from hospital.compliance.matrix import Finding
from hospital.compliance.seen import State

MARKS = {State.MET: "✓", State.UNMET: "✗", State.DUTY: "○"}


class Command(BaseCommand):
    help = "逐条检查控制措施的实际状态（不含个人信息）；--out 另写出证据包，--json 供机器读取"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")
        parser.add_argument("--out", type=Path, metavar="目录", help="写出证据包的目录")
        parser.add_argument(
            "--dependency-audit", type=Path, metavar="文件", help="pip-audit --format json 的报告"
        )
        parser.add_argument("--tests", type=Path, metavar="文件", help="pytest --junit-xml 的报告")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        if options["out"]:
            try:
                pack = collecting.collect(
                    by=SYSTEM,
                    at=at,
                    thorough=True,
                    dependency_audit=options["dependency_audit"],
                    tests=options["tests"],
                )
            except Unreadable as exc:
                raise CommandError(str(exc)) from None
            _write(pack, options["out"])
            found = pack.findings
        else:
            found = matrix.findings(at=at)
            collecting.note(found, by=SYSTEM, at=at)
        if options["json"]:
            shown = {"at": at.isoformat(), "findings": [_shown(one) for one in found]}
            self.stdout.write(json.dumps(shown, ensure_ascii=False, indent=2))
            return
        for one in found:
            mark = f"{MARKS[one.state]} {one.state.label}"
            self.stdout.write(f"{mark}  {one.row.name}（{one.row.clause}）：{one.detail}")
        told = "，".join(f"{state.label} {n} 项" for state, n in matrix.counts(found).items())
        self.stdout.write(f"共 {len(found)} 项：{told}")
        if options["out"]:
            self.stdout.write(f"证据包：{options['out'] / pack.name}.zip")


def _shown(one: Finding) -> dict[str, str]:
    return {
        "clause": one.row.clause,
        "controls": one.row.controls,
        "control": one.row.name,
        "state": one.state.value,
        "detail": one.detail,
        "shown_by": one.row.shown_by,
        "artefact": one.row.artefact,
    }


def _write(pack: Pack, out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    for one in pack.files:
        durable.replace(out / one.name, one.content)
    durable.replace(out / MANIFEST, pack.manifest)
    durable.replace(out / f"{pack.name}.zip", pack.zipped())
