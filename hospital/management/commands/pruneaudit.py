from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from hospital.audit import holding, proposing, trail
from hospital.audit.keeping import pruning


class Command(BaseCommand):
    help = (
        "执行两人批准了的清理，并说明现在可以申请清理的区间；"
        "申请和批准在后台的“双人审批”，由两个人分别办理"
    )

    def handle(self, *args: Any, **options: Any) -> None:
        hold = holding.hold(settings.VAR_DIR, of="keeping")
        if not hold.take():
            raise CommandError("另一个进程正在执行")
        try:
            done = proposing.carry_out_approved(at=timezone.now())
        except trail.NotConfigured as exc:
            raise CommandError(str(exc)) from None
        finally:
            hold.release()
        for proposal in done:
            label = proposing.kind_of(proposal).label
            self.stdout.write(f"{label} {proposal.pk}：{proposal.get_state_display()}")
        if not done:
            self.stdout.write("没有已批准而未执行的申请")
        stretch = pruning.prunable(at=timezone.now())
        self.stdout.write(
            f"可以申请清理：序号 {stretch.start} 至 {stretch.end}（不含），"
            f"归档文件 {len(stretch.archives)} 个"
            if stretch
            else "没有可以清理的区间"
        )
        if any(proposal.state == proposing.State.FAILED for proposal in done):
            raise CommandError("有申请执行失败，原因见留痕")
