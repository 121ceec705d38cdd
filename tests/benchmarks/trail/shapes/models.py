"""One table four times: who keeps a trail of it is all that differs."""

from typing import ClassVar

from auditlog.registry import auditlog
from django.db import models
from simple_history.models import HistoricalRecords

from hospital.audit.coverage import changes_recorded


class Shape(models.Model):
    """As many fields as a store has, and no relation."""

    name = models.CharField(max_length=64)
    number = models.CharField(max_length=16)
    address = models.CharField(max_length=200)
    is_active = models.BooleanField(default=True)
    changed_at = models.DateTimeField()

    class Meta:
        abstract = True


class Bare(Shape):
    pass


@changes_recorded()
class Recorded(Shape):
    """Whose every change its caller records; the database refuses it otherwise."""


class Logged(Shape):
    """django-auditlog's."""


class Historical(Shape):
    """django-simple-history's."""

    history: ClassVar = HistoricalRecords()


auditlog.register(Logged)
