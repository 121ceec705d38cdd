from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone
from django.utils.html import format_html

from hospital.admin import GrantedAdmin
from hospital.crypto.models import Job, KeyEpoch
from hospital.crypto.rotation.catalogue import phase_of
from hospital.crypto.rotation.progress import Progress
from hospital.roles import May

SHOWN = ("epoch", "suite", "provider", "state", "created_at", "rewrapped")
BADGES = {Job.State.OPEN: "authorized", Job.State.DONE: "success", Job.State.FAILED: "failed"}


@admin.register(KeyEpoch)
class KeyEpochAdmin(GrantedAdmin):
    """Which wrapping keys exist and in what state; never a key, wrapped or not."""

    view = frozenset({May.VIEW_KEYS})
    list_display = fields = readonly_fields = SHOWN

    @admin.display(description="封装的密钥（更换时）")
    def rewrapped(self, epoch: KeyEpoch) -> str:
        # As the rotation that made it counted them: the table is too large to count here.
        done = Job.objects.filter(kind=Job.Kind.KEK, target=str(epoch.epoch), state=Job.State.DONE)
        job = done.first()
        return f"{job.done:,} 个" if job else "—"


@admin.register(Job)
class JobAdmin(GrantedAdmin):
    """Rotations and examinations: how far each is. They are started on the command line."""

    view = frozenset({May.VIEW_KEYS})
    list_display = ("what", "target", "standing", "bar", "created_at", "finished_at")
    list_filter = ("kind", "state")
    fields = readonly_fields = (
        "target",
        "amount",
        "conflicts",
        "failed",
        "rate",
        "created_at",
        "finished_at",
    )

    @admin.display(description="类型", ordering="kind")
    def what(self, job: Job) -> str:
        return job.get_kind_display()

    @admin.display(description="状态", ordering="state")
    def standing(self, job: Job) -> str:
        badge, state = BADGES[Job.State(job.state)], job.get_state_display()
        return format_html('<span class="badge badge-{}">{}</span> {}', badge, state, phase_of(job))

    @admin.display(description="进度")
    def bar(self, job: Job) -> str:
        percent = Progress.of(job, at=timezone.now()).percent
        return format_html(
            '<progress class="job" max="100" value="{}" aria-label="进度">{}%</progress>',
            percent,
            percent,
        )

    @admin.display(description="已处理 / 总数")
    def amount(self, job: Job) -> str:
        return f"{job.done:,} / {job.total:,}"

    def shown(self, request: HttpRequest, obj: Job) -> dict[str, Any]:
        now = timezone.now()
        return {
            "progress": Progress.of(obj, at=now),
            "phase": phase_of(obj),
            "badge": BADGES[Job.State(obj.state)],
            "is_abandoned": obj.lease_until is None or obj.lease_until < now,
        }
