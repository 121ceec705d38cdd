"""What belongs to a session of its own asks the database itself."""

import pytest
from django.db import connection, connections

from hospital import direct
from hospital.audit.exporting import copying
from hospital.audit.holding import AdvisoryLock

POOLED = {
    "ENGINE": "hospital.postgresql",
    "NAME": "hospital",
    "USER": "app",
    "PASSWORD": "x",
    "HOST": "pooler",
    "PORT": "6432",
    "OPTIONS": {"sslmode": "verify-full", "pool": {"max_size": 20}},
}


def test_without_a_pooler_only_the_pool_is_left_out():
    assert direct.past_poolers(POOLED, "") == {**POOLED, "OPTIONS": {"sslmode": "verify-full"}}


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [("db", "db", ""), ("db:5433", "db", "5433"), ("10.20.0.7:5432", "10.20.0.7", "5432")],
)
def test_past_a_pooler_only_the_address_is_another(address, host, port):
    past = direct.past_poolers(POOLED, address)

    changed = {name: one for name, one in past.items() if one != POOLED[name]}
    assert changed == {"HOST": host, "PORT": port, "OPTIONS": {"sslmode": "verify-full"}}


def test_an_address_in_the_query_gives_way_as_well():
    odd = {**POOLED, "OPTIONS": {"host": "/run/pooler", "port": "6432"}}

    assert direct.past_poolers(odd, "db")["OPTIONS"] == {}


@pytest.fixture
def pooled(db, settings, monkeypatch):
    """As if there were a pool, and a pooler in front of this server."""
    if connection.vendor != "postgresql":
        pytest.skip("needs PostgreSQL")
    place = connections.settings["default"]
    if place["HOST"] not in {"127.0.0.1", "localhost"}:
        pytest.skip("needs a PostgreSQL on this machine with two names")
    settings.DATABASE_DIRECT = "localhost:" + str(place["PORT"] or 5432)
    monkeypatch.setitem(place["OPTIONS"], "pool", {"max_size": 1})
    monkeypatch.setitem(place, "HOST", "127.0.0.2")  # nobody is to come here


@pytest.mark.postgresql
def test_a_copy_is_read_past_pool_and_pooler(pooled):
    with copying._snapshot() as own:
        assert own.connection.info.host == "localhost"
        assert own.pool is None


@pytest.mark.postgresql
def test_a_lock_is_held_past_pool_and_pooler(pooled):
    lock = AdvisoryLock("direct")

    assert lock.take()
    try:
        assert lock._connection.connection.info.host == "localhost"
        assert lock._connection.pool is None
    finally:
        lock.release()


@pytest.mark.postgresql
def test_who_does_not_get_a_lock_keeps_no_session(pooled, monkeypatch):
    first, second = AdvisoryLock("direct"), AdvisoryLock("direct")
    assert first.take()
    try:
        assert not second.take()

        assert second._connection.connection is None
        monkeypatch.setattr(second._connection, "connect", None)  # nor makes one to give it back
        second.release()
    finally:
        first.release()
