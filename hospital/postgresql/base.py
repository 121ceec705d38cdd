"""
What Django's settings name as an engine has its wrapper in a module of this name.

Django has its pool ask the server for its health each time a request or a task takes a connection:
a round trip, when nearly all of them are well. A server that ended a connection has said so,
and what it said lies in the socket: looking whether anything does costs a system call.
"""

import select
from typing import TYPE_CHECKING, Any

from django.db.backends.postgresql import base
from psycopg_pool import ConnectionPool

if TYPE_CHECKING:
    from psycopg import Connection


class DatabaseWrapper(base.DatabaseWrapper):
    @property
    def pool(self) -> "ConnectionPool[Connection[Any]] | None":
        """Return Django's, which leaves nobody a choice of how to check."""
        pool: ConnectionPool[Connection[Any]] | None = super().pool
        if pool is not None and self.settings_dict["CONN_HEALTH_CHECKS"]:
            pool._check = is_well  # noqa: SLF001 (Django passes its own)
        return pool


def is_well(connection: "Connection[Any]") -> None:
    """
    Look whether a connection nobody used for a while is one; ask only if something was said on it.

    A host that went away without a word is not seen, nor is it by asking, until TCP gives up
    (`tcp_user_timeout`).

    :raises psycopg.OperationalError: it is none
    """
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    if poll.poll(0):
        ConnectionPool.check_connection(connection)
