from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.models.signals import post_migrate

from hospital.audit import guards


class AuditConfig(AppConfig):
    name = "hospital.audit"
    label = "audit"
    verbose_name = "合规审计"

    def ready(self) -> None:
        from hospital.audit import recording  # noqa: PLC0415 (needs the models)

        recording.mac("")  # an unusable key stops the start, not the first patient
        post_migrate.connect(_guard, sender=self)


def _guard(*, using: str, **_kwargs: Any) -> None:
    """Put the guards back: SQLite forgets them when a migration remakes a table."""
    guards.install(connections[using])
