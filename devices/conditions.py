"""What is the matter with a terminal: one word or more, for a badge and for a filter."""

import re
from datetime import datetime
from typing import Final

from django.conf import settings
from django.db import models
from django.db.models import QuerySet

from devices import presence
from devices.models import Terminal

NUMBER: Final = re.compile(r"\d+")


class Condition(models.TextChoices):
    ONLINE = "online", "在线"
    SILENT = "silent", "失联"
    OUTDATED = "outdated", "版本过旧"
    DRIFTING = "drifting", "时钟偏差"
    SUSPENDED = "suspended", "已停用"
    NEW = "new", "未上线"


def of(terminal: Terminal, *, at: datetime) -> list[Condition]:
    """Return where `terminal` stands and what else is wrong; of a suspended one, just that."""
    if hasattr(terminal, "suspension"):
        return [Condition.SUSPENDED]
    if terminal.last_seen_at is None:
        return [Condition.NEW]
    silent = presence.is_silent(terminal, at=at)
    found = [Condition.SILENT if silent else Condition.ONLINE]
    if is_outdated(terminal.agent_version):
        found.append(Condition.OUTDATED)
    if abs(terminal.clock_offset or 0) > settings.CLOCK_DRIFT:
        found.append(Condition.DRIFTING)
    return found


def find(condition: Condition, *, at: datetime) -> QuerySet[Terminal]:
    """Return the terminals of which `of` says `condition`."""
    terminals, since = Terminal.objects.all(), at - presence.SILENT_AFTER
    match condition:
        case Condition.ONLINE:
            return terminals.online(since=since)
        case Condition.SILENT:
            return terminals.silent(since=since)
        case Condition.OUTDATED:
            versions = terminals.values_list("agent_version", flat=True).distinct()
            return terminals.heard().filter(agent_version__in=list(filter(is_outdated, versions)))
        case Condition.DRIFTING:
            return terminals.drifting(seconds=settings.CLOCK_DRIFT)
        case Condition.SUSPENDED:
            return terminals.suspended()
        case Condition.NEW:
            return terminals.never_heard()


def is_outdated(version: str) -> bool:
    """Whether `version` is below `OLDEST_AGENT_VERSION`, number by number."""
    return _numbers(version) < _numbers(settings.OLDEST_AGENT_VERSION)


def _numbers(version: str) -> list[int]:
    numbers = [int(number) for number in NUMBER.findall(version)]
    while numbers and not numbers[-1]:  # 1.0 is 1
        numbers.pop()
    return numbers
