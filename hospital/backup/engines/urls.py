"""The same database server or directory, another database."""

from typing import Final
from urllib.parse import quote, urlsplit

import environ

VARIABLES: Final = {"default": "DATABASE_URL", "keys": "KEYS_DATABASE_URL"}


def renamed(alias: str, name: str) -> str:
    """Return what the environment says of a database, with this one in its place."""
    url = str(environ.FileAwareEnv()(VARIABLES[alias], default="")).strip()
    return urlsplit(url)._replace(path=f"/{quote(name)}").geturl()
