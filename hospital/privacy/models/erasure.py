from typing import ClassVar, Final

from django.db import models
from django.db.models import Q
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded, changes_unrecorded

# Where it lies in the ledger, which says so itself; what the last examination found.
BESIDE: Final = ("ledger_place", "fault")


@changes_recorded(facts=["erasure"], but=BESIDE)
class Erasure(models.Model):
    """
    One person forgotten: from the decision to the proof that nothing opens any more.

    Each state is a step that is done; killed anywhere, the next run goes on with the step after
    it, and doing a step twice changes nothing. Retention: for ever, since a backup may come back;
    the id of who was forgotten says nothing any more.
    """

    class State(models.TextChoices):
        COOLING = "cooling", "冷静期"
        CANCELLED = "cancelled", "已取消"
        BEGUN = "begun", "已开始"  # nothing stops it any more; now the ledger outside the database
        KEYS = "keys", "密钥已销毁"
        ROWS = "rows", "记录已清除"
        TRACES = "traces", "缓存和文件已清除"
        DONE = "done", "已核验"  # by a process that never held the key

    class Cause(models.TextChoices):
        REQUEST = "request", "本人申请"
        RETENTION = "retention", "保存期限届满"
        UNCONFIRMED = "unconfirmed", "未经确认"
        REPLAY = "replay", "恢复备份后重做"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    subject = models.UUIDField("患者")  # no foreign key: it outlives the record
    cause = models.CharField("原因", max_length=16, choices=Cause.choices)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.COOLING)
    proposal = models.UUIDField("审批", null=True)  # none: the rule was decided by two people
    request = models.UUIDField("权利请求", null=True)
    decided_at = models.DateTimeField("决定时间")
    due_at = models.DateTimeField("执行时间")  # of the next step
    began_at = models.DateTimeField("开始时间", null=True)
    done_at = models.DateTimeField("完成时间", null=True)
    # Whose keys go: the subject's, and those of what became theirs. Settled when it begins.
    keys = models.JSONField("密钥", default=list)
    # name of a place → how many rows it took
    touched = models.JSONField("涉及", default=dict)
    ledger_place = models.PositiveIntegerField("台账序号", null=True)
    fault = models.CharField("核验结果", max_length=16, blank=True)  # empty: none was found

    class Meta:
        verbose_name = verbose_name_plural = "删除个人信息"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.UniqueConstraint(
                "subject", condition=~Q(state="cancelled"), name="erasure_once"
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["due_at"],
                condition=~Q(state__in=["done", "cancelled"]),
                name="erasure_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return str(self.pk)


@changes_unrecorded("how much of the ledger outside this database is known in it")
class LedgerMark(models.Model):
    """The one row that tells a database that was restored from one that was not."""

    id = models.PositiveSmallIntegerField(primary_key=True, default=1, editable=False)
    place = models.PositiveIntegerField(default=0)  # lines of the ledger that are known here
    digest = models.CharField(max_length=64, blank=True)  # of the last of them
    end = models.PositiveBigIntegerField(default=0)  # bytes of the file up to there

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(id=1), name="ledger_mark_one_row")
        ]
