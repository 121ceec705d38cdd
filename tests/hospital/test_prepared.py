"""A query whose SQL is written once answers what the same query written anew would."""

import pytest
from django.utils import timezone

from devices import suspension
from devices.models import Store, Terminal, TerminalKey
from faceauth.models import Merchant
from hospital.prepared import Prepared


@pytest.fixture
def keys():
    return Prepared(
        lambda key_id: (
            TerminalKey.objects.in_force()
            .select_related("terminal__store", "terminal__suspension")
            .filter(pk=key_id)
        )
    )


def test_each_text_finds_its_own_row(keys, install):
    one, other = install("T-1"), install("T-2")

    assert keys.first(one.key.pk) == one.key
    assert keys.first(other.key.pk) == other.key
    assert keys.first("nobody's") is None


def test_the_row_and_what_belongs_to_it_come_in_one_query(
    keys, kiosk, lin, django_assert_num_queries
):
    suspension.suspend(kiosk.terminal, by=lin, at=timezone.now(), reason="维修")

    with django_assert_num_queries(1):
        found = keys.first(kiosk.key.pk)
        held = [found.terminal.serial, found.terminal.store.name, found.terminal.suspension.reason]

    assert held == ["T-1", "门诊楼", "维修"]
    assert found.created_at == kiosk.key.created_at
    assert found.terminal_id == kiosk.terminal.pk


def test_what_does_not_exist_is_not_there(keys, kiosk):
    assert not hasattr(keys.first(kiosk.key.pk).terminal, "suspension")


def test_every_time_the_database_is_read(keys, kiosk):
    assert keys.first(kiosk.key.pk)
    Terminal.objects.update(name="急诊")
    TerminalKey.objects.update(revoked_at=timezone.now())

    assert keys.first(kiosk.key.pk) is None


def test_a_row_it_returned_can_be_saved(keys, kiosk):
    terminal = keys.first(kiosk.key.pk).terminal
    terminal.name = "急诊"
    terminal.save()

    assert Terminal.objects.get().name == "急诊"


def test_columns_left_out_are_read_when_they_are_wanted(merchant, django_assert_num_queries):
    short = Prepared(lambda _: Merchant.objects.filter(is_active=True).only("appid"))

    with django_assert_num_queries(1):
        assert short.first().appid == merchant.appid
    with django_assert_num_queries(2):
        assert short.first().mch_id == merchant.mch_id


def test_a_text_is_a_value_and_never_sql(keys, kiosk):
    assert keys.first("' OR '1'='1") is None


def test_the_sql_is_written_once(db):
    asked = []
    stores = Prepared(lambda code: asked.append(code) or Store.objects.filter(code=code))
    Store.objects.create(code="menzhen", name="门诊楼")

    assert [stores.first(code) is not None for code in ("menzhen", "jizhen")] == [True, False]
    assert len(asked) == 1
