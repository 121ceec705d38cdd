"""A wrapping key that wraps nothing any more goes, when two people decided it."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital.audit import proposing
from hospital.audit.models import Event
from hospital.audit.proposing import NotAllowed
from hospital.crypto import destroying, keyring
from hospital.crypto.models import DataKey, Job, KeyEpoch
from hospital.patients import enrolment
from hospital.patients.models import Patient
from tests import signing_in
from tests.hospital.aged import HERE, carried_out, kept
from tests.hospital.notarised import House

# As a house does it: a rotation waits for other transactions.
pytestmark = pytest.mark.django_db(transaction=connection.vendor == "postgresql")


@pytest.fixture(autouse=True, params=[HERE])
def database(db, settings):
    settings.KEY_CACHE_SECONDS = settings.IN_HAND_SECONDS = 0


@pytest.fixture
def house(tmp_path, settings):
    return kept(House(tmp_path, now=timezone.now()), settings)


@pytest.fixture
def patient(db):
    person = enrolment.Person("李四", 2, "E1")
    return enrolment.enrol(person, accounts={}, campus="main", at=timezone.now())[0]


def rotate():
    call_command("rotatekeys", "--kek", stdout=StringIO())


def ask(by, epoch=1):
    facts = {"epoch": epoch}
    return proposing.ask("keys.destroy", facts, reason="备份已过期", by=by, at=timezone.now())


def test_the_old_key_goes_and_everybody_is_still_there(house, patient, lin, mei):
    rotate()

    proposal = carried_out(house, ask(lin), mei)

    old, new = KeyEpoch.objects.order_by("epoch")
    assert proposal.state == "done"
    assert (old.state, bytes(old.wrapped)) == ("destroyed", b"")
    assert (new.state, bool(new.wrapped)) == ("active", True)
    [event] = Event.objects.filter(action="keys.destroy")
    assert f'"proposal":"{proposal.pk}"' in event.payload
    keyring.clear()
    assert Patient.objects.get().real_name == "李四"


def test_the_key_in_use_stays(patient, lin):
    with pytest.raises(destroying.EpochActive):
        ask(lin)


def test_a_key_that_still_wraps_something_stays(house, patient, lin, mei):
    rotate()
    proposal = ask(lin)
    key = DataKey.objects.first()
    DataKey.objects.filter(pk=key.pk).update(epoch=KeyEpoch.objects.get(epoch=1))

    carried_out(house, proposal, mei)

    assert (proposal.state, proposing.why_failed(proposal)) == ("failed", "epoch_needed")
    assert KeyEpoch.objects.get(epoch=1).wrapped
    with pytest.raises(destroying.EpochNeeded):
        ask(lin)


def test_while_keys_are_being_wrapped_anew_none_goes(patient, lin):
    rotate()
    Job.objects.create(kind=Job.Kind.KEK, target="3")

    with pytest.raises(destroying.RotationOpen):
        ask(lin)


def test_what_is_gone_or_never_was_is_not_asked_for(house, patient, lin, mei):
    rotate()
    carried_out(house, ask(lin), mei)

    with pytest.raises(destroying.DestroyedAlready):
        ask(lin)
    with pytest.raises(destroying.NoSuchEpoch):
        ask(lin, epoch=9)


def test_killed_between_the_key_and_the_record_it_is_done_again(house, patient, lin, mei):
    rotate()
    proposal = ask(lin)
    destroying.destroy(1)  # on a database of its own the key is gone before the rest commits

    assert carried_out(house, proposal, mei).state == "done"
    assert Event.objects.filter(action="keys.destroy").count() == 1


def test_a_later_rotation_passes_it_over(house, patient, lin, mei):
    rotate()
    carried_out(house, ask(lin), mei)

    rotate()

    assert [one.state for one in KeyEpoch.objects.order_by("epoch")] == [
        "destroyed",
        "decrypt_only",
        "active",
    ]
    assert destroying.destroyable() == [2]


@pytest.mark.parametrize("who", ["mei", "zhou", "chen", "gu"])
def test_nobody_else_asks(who, request, patient):
    rotate()

    with pytest.raises(NotAllowed):
        ask(request.getfixturevalue(who))


def test_it_is_asked_for_on_a_page_that_offers_nothing_else(patient, lin, mei):
    client, page = Client(), reverse("admin:audit_proposal_destroy")
    client.force_login(lin)
    signing_in.step_up(client, lin)
    assert "没有可以销毁的主密钥" in client.get(page).content.decode()
    rotate()
    assert "第 1 代" in client.get(page).content.decode()
    assert "第 2 代" not in client.get(page).content.decode()

    answer = client.post(page, {"epoch": "1", "note": "备份已过期"})

    assert "第 1 代主密钥" in client.get(answer.url).content.decode()
    other = Client()
    other.force_login(mei)
    assert other.get(page).status_code == 403
    assert "不能恢复" in other.get(answer.url).content.decode()
