from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.audit.appended import Appended
from hospital.audit.coverage import changes_recorded


@changes_recorded(facts=["disclosure"])
class Disclosure(Appended):
    """
    To whom what was given, of whom, and why: ids and names of fields, no values.

    Written once. Retention: at least 36 months (网络数据安全管理条例 第十二条); only the sweep
    removes what is older. The subject's id stays when they are erased: it is a pseudonym by then.
    """

    class Recipient(models.TextChoices):
        HIS = "his", "医院信息系统"
        SUBJECT = "subject", "患者本人"
        VENDOR = "vendor", "厂商人员"
        AUTHORITY = "authority", "主管部门"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    recipient = models.CharField("接收方", max_length=16, choices=Recipient.choices)
    purpose = models.SlugField("用途", max_length=32)
    fields = models.JSONField("字段", default=list)
    count = models.PositiveIntegerField("人数", default=1)
    subject = models.UUIDField("患者", null=True)  # no foreign key: it outlives the record
    by = models.UUIDField("经办人", null=True)  # null: the system itself
    reference = models.CharField("依据", max_length=64, blank=True)  # of a contract, an enquiry
    at = models.DateTimeField("时间")

    class Meta:
        verbose_name = verbose_name_plural = "对外提供记录"
        ordering: ClassVar = ["-id"]
        indexes: ClassVar = [models.Index(fields=["subject", "-id"], name="disclosure_of_subject")]

    def __str__(self) -> str:
        return str(self.pk)
