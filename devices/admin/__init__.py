"""What system administrators see of places and boxes."""

from devices.admin.stores import StoreAdmin
from devices.admin.terminals import TerminalAdmin

__all__ = ["StoreAdmin", "TerminalAdmin"]
