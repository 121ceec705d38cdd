"""The terminal's program: a camera on one side, the hospital's server on the other."""

__version__ = "0.1.0"
