"""A pooled connection is looked at before it is used, and asked only where it said something."""

import psycopg
import pytest
from django.db import connection
from psycopg_pool import ConnectionPool

from hospital.postgresql.base import DatabaseWrapper, is_well

pytestmark = [pytest.mark.postgresql, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def pooled():
    """This database, by a pool of one."""
    place = connection.settings_dict
    options = {**place["OPTIONS"], "pool": {"min_size": 1, "max_size": 1}}  # where it is, too
    own = {**place, "CONN_HEALTH_CHECKS": True, "OPTIONS": options}
    wrapper = DatabaseWrapper(own, alias="pooled")
    yield wrapper
    wrapper.close()
    wrapper.close_pool()


@pytest.fixture
def asked(monkeypatch):
    """Those whose server was asked."""
    found = []
    ask = ConnectionPool.check_connection
    monkeypatch.setattr(
        ConnectionPool, "check_connection", staticmethod(lambda one: (found.append(one), ask(one)))
    )
    return found


def used(wrapper):
    """Take a connection, use it and give it back; return which it was."""
    with wrapper.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()
    wrapper.close()
    return pid


def end(pid):
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
        assert cursor.fetchone() == (True,)


def test_one_that_is_well_is_used_again_and_its_server_not_asked(pooled, asked):
    first = used(pooled)

    assert [used(pooled) for _ in range(3)] == [first] * 3
    assert asked == []


def test_one_that_the_server_ended_is_replaced_before_anybody_meets_it(pooled, asked):
    first = used(pooled)
    end(first)

    assert used(pooled) != first
    assert len(asked) == 1


def test_one_that_the_server_ended_is_no_connection(pooled):
    pooled.ensure_connection()
    end(pooled.connection.info.backend_pid)

    with pytest.raises(psycopg.OperationalError):
        is_well(pooled.connection)
