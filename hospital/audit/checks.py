"""What must be so before the trail means anything: `manage.py check`, and at each start."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register  # noqa: A004
from django.db import DatabaseError, connection

from hospital.audit import coverage, guards


@register(Tags.models)
def declared(**_kwargs: Any) -> list[CheckMessage]:
    """Return an error for each model that does not say whether its changes are recorded."""
    return [
        Error(
            f"没有声明改动是否留痕：{label}",
            hint="changes_recorded() 或 changes_unrecorded(理由)，见 hospital/audit/coverage.py",
            id="audit.E001",
        )
        for label in coverage.undeclared()
    ]


@register(Tags.database, deploy=True)
def guarded(databases: Any = None, **_kwargs: Any) -> list[CheckMessage]:
    """Return what is amiss with the guards; only asked for with a database."""
    if "default" not in (databases or ()):
        return []
    kind = Warning if settings.DEPLOY_LEVEL == "demo" else Error
    hint = "见 docs/audit-database.md：数据库账号"
    try:
        return [
            kind(f"数据库防护{fault}", hint=hint, id="audit.E002")
            for fault in guards.drift(connection)
        ]
    except DatabaseError:  # before the tables are made
        return []
