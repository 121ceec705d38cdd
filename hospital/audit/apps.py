from typing import Any

from django.apps import AppConfig
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models.signals import post_migrate, pre_migrate


class AuditConfig(AppConfig):
    name = "hospital.audit"
    label = "audit"
    verbose_name = "合规审计"

    def ready(self) -> None:
        from hospital.audit import checks as _checks  # noqa: F401, PLC0415 (registers itself)
        from hospital.audit import (  # noqa: PLC0415 (need the models)
            key_destruction,
            proposing,
            recording,
            restores,
        )
        from hospital.audit.forwarding import checks  # noqa: F401, PLC0415 (registers itself)
        from hospital.audit.guards import transactions  # noqa: PLC0415
        from hospital.audit.keeping import pruning, redacting  # noqa: PLC0415

        recording.mac("")  # an unusable key stops the start, not the first patient
        for kind in (pruning.KIND, redacting.KIND, key_destruction.KIND, restores.KIND):
            proposing.register(kind)
        connection_created.connect(transactions.number_transactions)
        pre_migrate.connect(_unguard, sender=self)
        post_migrate.connect(_guard, sender=self)


def _unguard(*, using: str, **_kwargs: Any) -> None:
    """With SQLite: a trigger that asks another table, or a column, keeps it from being remade."""
    from hospital.audit import guards  # noqa: PLC0415 (needs the models)

    if connections[using].vendor == "sqlite":
        guards.remove(connections[using])


def _guard(*, using: str, **_kwargs: Any) -> None:
    """Put the guards back: SQLite forgets them when a migration remakes a table."""
    from hospital.audit import guards  # noqa: PLC0415 (needs the models)

    guards.install(connections[using])
