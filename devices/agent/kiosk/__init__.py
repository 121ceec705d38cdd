"""The terminal's screen: a page for the browser on this very box, in words for patients."""

from devices.agent.kiosk.board import Board
from devices.agent.kiosk.server import PortTaken, Server, serving

__all__ = ["Board", "PortTaken", "Server", "serving"]
