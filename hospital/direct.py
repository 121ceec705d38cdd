"""
A connection of one's own to the database itself: none of a pool's, none through a pooler.

For what belongs to a session: a lock that lasts as long as it does, a snapshot that is read for
minutes. The database is always the one of `DATABASE_URL`; only where it is asked for may differ.
"""

from collections.abc import Mapping
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.utils import load_backend


def connect() -> BaseDatabaseWrapper:
    """Return a connection that opens when it is used first; closing it is the caller's."""
    place = past_poolers(connections.settings[DEFAULT_DB_ALIAS], settings.DATABASE_DIRECT)
    own: BaseDatabaseWrapper = load_backend(place["ENGINE"]).DatabaseWrapper(
        place, DEFAULT_DB_ALIAS
    )
    return own


def past_poolers(place: Mapping[str, Any], address: str) -> dict[str, Any]:
    """
    Return the settings of a database as it is asked directly.

    :param address: name or IPv4 address of the server, with or without :port; "" if nothing is in
        front of it
    """
    without = {"pool", "host", "port"} if address else {"pool"}
    options = {name: one for name, one in place.get("OPTIONS", {}).items() if name not in without}
    if not address:
        return {**place, "OPTIONS": options}
    host, _, port = address.partition(":")
    return {**place, "HOST": host, "PORT": port, "OPTIONS": options}
