"""Which programs and files a database is copied with, and put back."""

from hospital.backup.engines.choosing import ground, grounds
from hospital.backup.engines.ground import Ground, Snapshot, Trouble

__all__ = ["Ground", "Snapshot", "Trouble", "ground", "grounds"]
