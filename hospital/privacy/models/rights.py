from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from uuid6 import uuid7

from hospital.audit.coverage import changes_recorded
from hospital.crypto.fields import SealedField
from hospital.crypto.records import SealedModel
from hospital.patients.models import Identification


@changes_recorded(facts=["request"])
class RightsRequest(models.Model):
    """
    权利请求: what a patient, or who stands for them, asked about their data; and the answer.

    Retention: 36 months after the answer; the patient's id stays when they are erased.
    """

    class Kind(models.TextChoices):
        ACCESS = "access", "查阅"
        COPY = "copy", "复制"
        CORRECT = "correct", "更正"
        DELETE = "delete", "删除"
        WITHDRAW = "withdraw", "撤回同意"
        RESTRICT = "restrict", "限制处理"

    class State(models.TextChoices):
        OPEN = "open", "待核验身份"
        VERIFIED = "verified", "办理中"
        DONE = "done", "已办结"
        REFUSED = "refused", "不予办理"
        WITHDRAWN = "withdrawn", "申请人撤回"

    class Applicant(models.TextChoices):
        SELF = "self", "本人"
        GUARDIAN = "guardian", "监护人"
        AGENT = "agent", "受托人"
        RELATIVE = "relative", "近亲属（患者已故）"

    class Refused(models.TextChoices):
        IDENTITY = "identity", "身份无法核实"
        LAW = "law", "法律、行政法规规定应当保密或者继续保存"
        HOLD = "hold", "依法保全期间"
        RECORD = "record", "属于病历，须向病案室申请"
        UNFOUNDED = "unfounded", "请求没有事实依据"

    OPEN: ClassVar = (State.OPEN, State.VERIFIED)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField("事项", max_length=16, choices=Kind.choices)
    state = models.CharField("状态", max_length=16, choices=State.choices, default=State.OPEN)
    # No foreign key: the answer to a request to be erased outlives the record.
    patient = models.UUIDField("患者")
    campus = models.SlugField("院区", max_length=16)
    applicant = models.CharField("申请人", max_length=16, choices=Applicant.choices)
    evidence = models.CharField(
        "身份核验依据", max_length=16, choices=Identification.Evidence.choices, blank=True
    )
    opened_by = models.UUIDField("受理人")
    opened_at = models.DateTimeField("受理时间")
    due_on = models.DateField("办理期限")  # inclusive; working days after it was opened
    verified_by = models.UUIDField("核验人", null=True)
    verified_at = models.DateTimeField("核验时间", null=True)
    answered_by = models.UUIDField("答复人", null=True)
    answered_at = models.DateTimeField("答复时间", null=True)
    refused = models.CharField("理由", max_length=16, choices=Refused.choices, blank=True)
    note = models.CharField("说明", max_length=200, blank=True)  # told to the patient; no names
    # Of a copy: an encrypted archive (`RightsCopy`), its password given to the patient by hand.
    copy_digest = models.CharField("副本摘要（SHA-256）", max_length=64, blank=True)
    copy_until = models.DateTimeField("副本保存至", null=True)
    copy_fetched_at = models.DateTimeField("副本领取时间", null=True)
    escalated_at = models.DateTimeField("逾期提醒时间", null=True)

    class Meta:
        verbose_name = verbose_name_plural = "权利请求"
        ordering: ClassVar = ["-id"]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=~Q(state="refused") | (~Q(refused="") & ~Q(note="")),
                name="rights_refusal_has_reason",
            ),
            models.CheckConstraint(
                condition=~Q(state="done") | Q(verified_at__isnull=False),
                name="rights_done_only_verified",
            ),
            models.CheckConstraint(
                condition=~Q(answered_by=F("verified_by")) | Q(state="withdrawn"),
                name="rights_two_people",
            ),
            models.UniqueConstraint(
                "patient",
                "kind",
                condition=Q(state__in=["open", "verified"]),
                name="rights_once_at_a_time",
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["due_on"],
                condition=Q(state__in=["open", "verified"]),
                name="rights_waiting",
            ),
            models.Index(fields=["patient", "-id"], name="rights_of_patient"),
        ]

    def __str__(self) -> str:
        return str(self.pk)

    @property
    def is_open(self) -> bool:
        return self.state in self.OPEN

    @property
    def is_agreed(self) -> bool:
        """Whether it was allowed, and is still to be carried out: a copy, an erasure."""
        return self.state == self.State.VERIFIED and self.answered_at is not None


@changes_recorded(on="request")
class RightsCopy(SealedModel):
    """
    个人信息副本: the encrypted archive that waits to be fetched, apart from what lists read.

    Retention: gone once fetched, with its request, with the patient, or after 24 hours.
    """

    request = models.OneToOneField(
        RightsRequest, models.CASCADE, primary_key=True, related_name="copy"
    )
    patient = models.UUIDField("患者")  # whose key seals it
    packed = SealedField("内容", context="rights.copy", subject="patient")  # base64 of the archive

    class Meta:
        verbose_name = verbose_name_plural = "个人信息副本"

    def __str__(self) -> str:
        return str(self.pk)
