"""A store is at a campus, and so is whoever was seen there: 林 does not move them."""

import pytest
from django.test import Client
from django.urls import reverse

from devices.models import Store


@pytest.fixture
def desk(lin):
    client = Client()
    client.force_login(lin)
    return client


def save(desk, store, **changes):
    kept = {name: getattr(store, name) for name in ("code", "name", "campus", "fallback")}
    form = {**kept, **changes}
    answer = desk.post(reverse("admin:devices_store_change", args=[store.pk]), form)
    store.refresh_from_db()
    return answer.content.decode()


def test_a_store_without_terminals_may_be_at_another_campus(desk, db):
    store = Store.objects.create(code="S-9", name="新楼", campus="main")

    save(desk, store, campus="east")

    assert store.campus == "east"


def test_a_store_with_terminals_stays_where_it_is(desk, install):
    store = install("T-1").terminal.store

    shown = save(desk, store, campus="east", name="门诊楼")

    assert "门店已有终端，不能改院区" in shown
    assert store.campus == "main"


def test_it_may_be_called_something_else(desk, install):
    store = install("T-1").terminal.store

    save(desk, store, name="门诊楼")

    assert store.name == "门诊楼"


def test_a_terminal_does_not_move_to_another_campus(desk, install):
    terminal = install("T-1").terminal
    east = Store.objects.create(code="S-9", name="新楼", campus="east")
    form = {"serial": terminal.serial, "name": terminal.name, "store": str(east.pk)}

    answer = desk.post(reverse("admin:devices_terminal_change", args=[terminal.pk]), form)

    terminal.refresh_from_db()
    assert answer.status_code == 200
    assert terminal.store != east


def test_a_store_without_another_way_in_is_not_saved(desk, db):
    store = Store.objects.create(code="S-9", name="新楼", fallback="一楼 3 号窗口")

    save(desk, store, fallback=" ")

    assert store.fallback == "一楼 3 号窗口"
