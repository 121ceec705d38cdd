"""
The ledger's table on a database of its own, when `LEDGER_DATABASE_URL` names one.

It belongs to no model: nothing but the ledger reads it or writes it, and where the ledger is a file
it is nowhere.
"""

from typing import Any, Final

DATABASE: Final = "ledger"
TABLE: Final = "erasure_ledger"


class LedgerTable:
    """Django's router: nothing else is there."""

    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return hints.get("table") == TABLE if db == DATABASE else None
