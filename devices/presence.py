"""Heartbeats: who is there, with what, how wrong their clock is, and who fell silent."""

from datetime import datetime, timedelta

import structlog
from django.db import transaction

from devices.models import Terminal
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record

SILENT_AFTER = timedelta(minutes=3)

log = structlog.get_logger(__name__)


def hear(
    terminal: Terminal,
    *,
    at: datetime,
    clock: float,
    disk_free_mb: int | None = None,
    uptime: int | None = None,
    last_error: str = "",
    **seen: str,
) -> float:
    """
    Note a heartbeat. What it does not say is not known any more; a silence ends with it.

    :param clock: the terminal's own time, unix seconds
    :param uptime: seconds
    :param seen: `agent_version`, `sdk_version`, `os`, `camera`
    :returns: the terminal's offset from our time, seconds, positive when it is ahead
    """
    offset = round(clock - at.timestamp(), 3)
    Terminal.objects.filter(pk=terminal.pk).update(
        last_seen_at=at,
        clock_offset=offset,
        disk_free_mb=disk_free_mb,
        uptime=uptime,
        last_error=last_error,
        **seen,
    )
    if terminal.silent_since is not None:
        _welcome(terminal, at=at)
    return offset


def is_silent(terminal: Terminal, *, at: datetime) -> bool:
    return terminal.last_seen_at is None or at - terminal.last_seen_at > SILENT_AFTER


def note_silence(*, at: datetime) -> None:
    """Put every terminal that fell silent on record, once for each silence."""
    for terminal in Terminal.objects.fallen_silent(since=at - SILENT_AFTER):
        with transaction.atomic():
            # Asked again while writing: it may have been heard, or noted by another.
            still = Terminal.objects.fallen_silent(since=at - SILENT_AFTER).filter(pk=terminal.pk)
            if not still.update(silent_since=terminal.last_seen_at):
                continue
            seconds = _whole(at, terminal.last_seen_at)
            record(Action.TERMINAL_SILENT, by=SYSTEM, on=terminal, at=at, seconds=seconds)
        log.warning("terminal_silent", terminal=str(terminal.pk), seconds=seconds)


def _welcome(terminal: Terminal, *, at: datetime) -> None:
    with transaction.atomic():
        silent = Terminal.objects.filter(pk=terminal.pk, silent_since__isnull=False)
        if silent.update(silent_since=None):
            seconds = _whole(at, terminal.silent_since)
            record(Action.TERMINAL_RETURN, by=terminal, on=terminal, at=at, seconds=seconds)


def _whole(later: datetime, earlier: datetime | None) -> int:
    return round((later - earlier).total_seconds()) if earlier else 0
