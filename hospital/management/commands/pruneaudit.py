from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.audit import holding, proposing, trail
from hospital.audit.keeping import pruning
from hospital.audit.proposals import Proposal


class Command(BaseCommand):
    help = (
        "执行两人批准了的清理和遮盖（批准须已封存），并说明现在可以申请清理的区间；"
        "申请和批准在后台的“双人审批”，由两个人分别办理。"
        "PostgreSQL 账号已分开的（grantroles），以清理账号运行"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="只列出已批准而未执行的申请，不执行"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        for proposal in (undone := proposing.undone(at=timezone.now())):
            self.stdout.write(_told(proposal))
        if not undone:
            self.stdout.write("没有已批准而未执行的申请")
        done = [] if options["dry_run"] else _carried_out()
        for proposal in done:
            label = proposing.kind_of(proposal).label
            self.stdout.write(f"{label} {proposal.pk}：{proposal.get_state_display()}")
        stretch = pruning.prunable(at=timezone.now())
        self.stdout.write(
            f"可以申请清理：序号 {stretch.start} 至 {stretch.end}（不含），"
            f"归档文件 {len(stretch.archives)} 个"
            if stretch
            else "没有可以清理的区间"
        )
        if options["dry_run"]:
            return
        if any(proposal.state == Proposal.State.FAILED for proposal in done):
            raise CommandError("有申请执行失败，原因见留痕")
        if proposing.left(at=timezone.now()):
            raise CommandError(
                "当前数据库账号不能清理或遮盖留痕：请用清理账号（grantroles --keeper）"
            )
        if waiting := proposing.undone(at=timezone.now()):
            raise CommandError(f"有 {len(waiting)} 项申请的批准尚未封存，未执行：请稍后再运行")


def _told(proposal: Proposal) -> str:
    facts = "，".join(f"{name} {value}" for name, value in sorted(proposal.facts.items()))
    return (
        f"{proposing.kind_of(proposal).label} {proposal.pk}：{facts}；"
        f"申请人 {proposal.asked_by}，批准人 {proposal.decided_by}"
    )


def _carried_out() -> list[Proposal]:
    hold = holding.hold(settings.VAR_DIR, of="keeping")
    try:
        with holding.alone(hold, refusal=CommandError("另一个进程正在执行")):
            return proposing.carry_out_approved(at=timezone.now())
    except trail.NotConfigured as exc:
        raise CommandError(str(exc)) from None
