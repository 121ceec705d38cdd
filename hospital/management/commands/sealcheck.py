import json
from contextlib import closing
from dataclasses import asdict, dataclass, field
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Outcome, record
from hospital.crypto.models import Job
from hospital.crypto.rotation import checking, jobs
from hospital.crypto.rotation.checking import Tally
from hospital.crypto.rotation.jobs import Run
from hospital.crypto.rotation.screen import Screen
from hospital.management.commands.rotatekeys import translated
from hospital.patients import identity

EVERYTHING = "all"


class Command(BaseCommand):
    help = (
        "打开每一条封存的数据，核对每一个盲索引，解开每一个密钥；核对患者仍是建档时核验的人；"
        "只报告位置，不显示内容"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--rate", type=int, default=0, metavar="N", help="每秒最多检查的条数")
        parser.add_argument("--json", action="store_true", help="输出 JSON，供机器读取")

    def handle(self, *args: Any, **options: Any) -> None:
        tally, job = Tally(), jobs.opened(Job.Kind.CHECK, EVERYTHING)
        with (
            translated(),
            closing(Screen(self.stderr if options["json"] else self.stdout)) as screen,
            Run(job, rate=max(0, options["rate"]), batch=0, told=screen) as run,
        ):
            run.enter("keys")  # also if another examination was broken off
            jobs.work(run, checking.phases(tally))
            identities = _identities()
        _record(job, identities)
        if options["json"]:
            shown = {
                **asdict(tally),
                "failed": job.failed,
                "findings": job.findings,
                "identities": asdict(identities),
            }
            self.stdout.write(json.dumps(shown, ensure_ascii=False, indent=2))
        else:
            self._show(job, tally, identities)
        if failed := job.failed + len(identities.differing):
            raise CommandError(f"有 {failed:,} 处不符")

    def _show(self, job: Job, tally: Tally, identities: "_Identities") -> None:
        for one in job.findings:
            where = f"{one['model']} {one['pk']} {one['field']}".replace("  ", " ")
            self.stdout.write(f"✗ {where}：{one['error']}")
        self.stdout.write(
            f"密钥 {tally.keys:,} 个，封存的数据 {tally.values:,} 条，索引值 {tally.digests:,} 个，"
            f"不符 {job.failed:,} 处"
        )
        self.stdout.write(
            f"另有：已依法删除的主体 {tally.erased:,} 个"
            f"（其数据 {tally.erased_values:,} 条，打不开属正常），"
            f"没有数据的密钥主体 {tally.orphans:,} 个"
        )
        for pk in identities.differing:
            self.stdout.write(f"✗ patients.patient {pk}：与建档时核验的身份不符")
        self.stdout.write(
            f"身份：与留痕中的承诺相符 {identities.agreeing:,} 人，"
            f"不符 {len(identities.differing):,} 人，留痕中没有承诺 {identities.unstated:,} 人"
        )


@dataclass
class _Identities:
    """How many patients are who the trail says was verified, who is not, how many cannot tell."""

    agreeing: int = 0
    unstated: int = 0
    differing: list[str] = field(default_factory=list)


def _identities() -> _Identities:
    found = _Identities()
    for patient, agrees in identity.compared():
        if agrees is None:
            found.unstated += 1
        elif agrees:
            found.agreeing += 1
        else:
            found.differing.append(str(patient.pk))
    return found


def _record(job: Job, identities: _Identities) -> None:
    outcome: Outcome = "failed" if job.failed or identities.differing else "success"
    with transaction.atomic():
        record(
            Action.KEYS_CHECK,
            by=SYSTEM,
            on=job,
            at=timezone.now(),
            outcome=outcome,
            differing=len(identities.differing),
            **job.facts,
        )
