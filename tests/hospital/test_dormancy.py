"""Accounts nobody uses, and those past their end, are stopped by themselves."""

from datetime import timedelta

import pytest
from django.utils import timezone

from hospital import policy
from hospital.accounts import dormancy, tasks
from hospital.accounts.models import PolicyChoice, Staff
from hospital.audit import alarms
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.roles import Role
from tests.conftest import PASSWORD, recorded

NOW = timezone.now()


def days(number):
    return NOW - timedelta(days=number)


def changed(staff, **fields):
    Staff.objects.filter(pk=staff.pk).update(**fields)


def told(action):
    return list(Event.objects.filter(action=action).values_list("object_id", "payload"))


def is_active(staff):
    staff.refresh_from_db()
    return staff.is_active


@pytest.mark.parametrize(
    ("came", "enabled", "stays"),
    [
        (91, 200, False),
        (89, 200, True),
        (None, 91, False),
        (None, 89, True),
        (91, 10, True),  # enabled again: they have ninety days to come
        (200, 91, False),
    ],
)
def test_after_ninety_days_without_a_login_an_account_is_stopped(chen, came, enabled, stays):
    changed(chen, last_login=came and days(came), enabled_at=days(enabled))

    assert dormancy.stop(at=NOW) == (not stays)

    assert is_active(chen) is stays
    events = told("staff.disable")
    assert [pk for pk, _ in events] == ([] if stays else [str(chen.pk)])
    assert all('"code":"dormant"' in payload for _, payload in events)


def test_the_days_are_the_policys(chen):
    changed(chen, last_login=days(31), enabled_at=days(200))
    PolicyChoice.objects.create(key="DORMANT_DAYS", value=30, set_at=NOW)
    policy.forget()

    assert dormancy.stop(at=NOW) == 1


def test_an_account_past_its_end_is_stopped(chen):
    changed(chen, valid_until=NOW, last_login=NOW)

    dormancy.stop(at=NOW)

    assert not is_active(chen)
    assert '"code":"ended"' in told("staff.disable")[0][1]


def test_a_session_of_before_does_not_come_back_with_the_account(chen):
    changed(chen, enabled_at=days(91))
    before = Staff.objects.get(pk=chen.pk).get_session_auth_hash()

    dormancy.stop(at=NOW)
    changed(chen, is_active=True)

    assert Staff.objects.get(pk=chen.pk).get_session_auth_hash() != before


def test_once_stopped_it_is_not_stopped_again(chen):
    changed(chen, valid_until=NOW)

    assert dormancy.stop(at=NOW) == 1
    assert dormancy.stop(at=NOW) == 0


@pytest.mark.parametrize("role", [Role.SYSTEM, Role.SECURITY, Role.AUDITOR])
def test_the_last_administrator_of_a_role_stays_with_an_alert(db, role):
    one, other = (
        Staff.objects.create_user(
            name, PASSWORD, display_name=name, person_id=name, role=role, enabled_at=days(91)
        )
        for name in ("one", "other")
    )

    assert dormancy.stop(at=NOW) == 1

    assert not is_active(one)
    assert is_active(other)
    assert [pk for pk, _ in told("staff.last")] == [str(other.pk)]
    alarms.watch(at=timezone.now())
    assert Finding.objects.get(kind="last-administrator").severity == "alert"


def test_somebody_of_a_supplier_is_no_last_administrator(lin):
    changed(lin, enabled_at=days(91))
    Staff.objects.create_user(
        "vendor", PASSWORD, display_name="v", person_id="V", role=Role.SYSTEM, is_vendor=True,
        valid_until=NOW + timedelta(days=30),
    )  # fmt: skip

    assert dormancy.stop(at=NOW) == 0
    assert is_active(lin)


def test_somebody_past_their_end_is_no_last_administrator(lin):
    changed(lin, enabled_at=days(91))
    other = Staff.objects.create_user(
        "other", PASSWORD, display_name="o", person_id="O", role=Role.SYSTEM, valid_until=NOW
    )

    dormancy.stop(at=NOW)

    assert is_active(lin)
    assert not is_active(other)


def test_it_happens_at_night_by_itself(chen):
    changed(chen, enabled_at=days(91))

    tasks.stop_dormant()

    assert not is_active(chen)


def test_what_changes_is_recorded(chen, lin, transactional_db):
    for one in (chen, lin):
        changed(one, enabled_at=days(91))

    with recorded():
        dormancy.stop(at=NOW)

    assert not is_active(chen)
    assert is_active(lin)
