"""Heartbeats: who is there, with what, and how wrong their clock is."""

from datetime import datetime, timedelta

from devices.models import Terminal

SILENT_AFTER = timedelta(minutes=3)


def hear(terminal: Terminal, *, at: datetime, clock: float, **seen: str) -> float:
    """
    Note a heartbeat.

    :param clock: the terminal's own time, unix seconds
    :param seen: `agent_version`, `sdk_version`, `os`, `camera`
    :returns: the terminal's offset from our time, seconds, positive when it is ahead
    """
    offset = round(clock - at.timestamp(), 3)
    Terminal.objects.filter(pk=terminal.pk).update(last_seen_at=at, clock_offset=offset, **seen)
    return offset


def is_silent(terminal: Terminal, *, at: datetime) -> bool:
    return terminal.last_seen_at is None or at - terminal.last_seen_at > SILENT_AFTER
