"""
The key tables on a database of their own, when `KEYS_DATABASE_URL` names one.

Then a backup of the patients holds no key, and those of the keys may end sooner: a key that was
destroyed is gone for good when the last backup of it is.
"""

from typing import Any, Final

from django.db.models import Model

DATABASE: Final = "keys"
_TABLES: Final = frozenset({"keyepoch", "datakey", "indexkey"})


class KeyTables:
    """Django's router: the key tables are there and nowhere else, and nothing else is there."""

    def db_for_read(self, model: type[Model], **hints: Any) -> str | None:
        return DATABASE if _is_key_table(model) else None

    db_for_write = db_for_read

    def allow_relation(self, one: Model, other: Model, **hints: Any) -> bool | None:
        """Between two databases nothing could hold a reference true."""
        keys = _is_key_table(type(one)), _is_key_table(type(other))
        return all(keys) if any(keys) else None

    def allow_migrate(
        self, db: str, app_label: str, model_name: str | None = None, **hints: Any
    ) -> bool | None:
        if app_label == "crypto" and model_name in _TABLES:
            return db == DATABASE
        return False if db == DATABASE else None


def _is_key_table(model: type[Model]) -> bool:
    return model._meta.app_label == "crypto" and model._meta.model_name in _TABLES
