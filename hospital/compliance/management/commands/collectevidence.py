import json
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.db import transaction
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.compliance import controls


class Command(BaseCommand):
    help = "逐条检查控制措施的实际状态并输出（不含个人信息）；--json 供机器读取"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        at = timezone.now()
        findings = controls.findings(at=at)
        met = sum(finding.is_met for finding in findings)
        with transaction.atomic():
            record(Action.EVIDENCE_COLLECT, by=SYSTEM, on=None, at=at, met=met, count=len(findings))
        if options["json"]:
            shown = {"at": at.isoformat(), "findings": [asdict(finding) for finding in findings]}
            self.stdout.write(json.dumps(shown, ensure_ascii=False, indent=2))
            return
        for finding in findings:
            mark = "✓ 满足" if finding.is_met else "✗ 未满足"
            self.stdout.write(f"{mark}  {finding.control}（{finding.clause}）：{finding.detail}")
        self.stdout.write(f"共 {len(findings)} 项，满足 {met} 项")
