"""
WeChat in a room of our own: it checks our signatures, signs its answers, encrypts to our key.

A WSGI application: tests use it as a transport, `python -m faceauth.simulator` puts it on a port.
"""

from faceauth.simulator.app import Simulator
from faceauth.simulator.people import Person
from faceauth.simulator.server import listen

__all__ = ["Person", "Simulator", "listen"]
