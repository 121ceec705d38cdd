"""From the settings to what copies their databases."""

from django.conf import settings

from hospital.backup.engines.ground import Ground
from hospital.backup.engines.postgresql import PostgreSQL
from hospital.backup.engines.sqlite import SQLite


def ground(alias: str) -> Ground:
    if settings.DATABASES[alias]["ENGINE"].endswith("sqlite3"):
        return SQLite(alias)
    return PostgreSQL(alias)


def grounds() -> dict[str, Ground]:
    """Return them by what a backup calls what is in them: `data`, and `keys` if they are apart."""
    found = {"data": ground("default")}
    if "keys" in settings.DATABASES:
        found["keys"] = ground("keys")
    return found
