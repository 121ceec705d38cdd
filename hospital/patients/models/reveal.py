from typing import ClassVar

from django.db import models
from uuid6 import uuid7

from hospital.accounts.models import Staff
from hospital.audit.coverage import changes_unrecorded


@changes_unrecorded("counts what is on record as patient.reveal; older than two days it is dropped")
class Reveal(models.Model):
    """One value somebody was shown in clear: what the quota counts."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    staff = models.ForeignKey(Staff, models.CASCADE, related_name="+")
    at = models.DateTimeField()

    class Meta:
        indexes: ClassVar = [models.Index(fields=["staff", "at"], name="reveal_of_staff")]
