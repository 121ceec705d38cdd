"""
What the database itself refuses: a changed line of the trail, and a change without its line.

Triggers prevent what an owner of the tables does not do on purpose; whoever switches them off is
found by the signed log. They are put back after each `migrate`: SQLite drops them silently when a
table is remade, and a function names columns.
"""

from hospital.audit.guards.drifting import drift
from hospital.audit.guards.installing import install, remove
from hospital.audit.guards.rights import owner

__all__ = ["drift", "install", "owner", "remove"]
