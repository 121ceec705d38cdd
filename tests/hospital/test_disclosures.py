"""对外提供记录: a line for whatever was given to anybody, kept for three years."""

from datetime import timedelta

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital import retention
from hospital.accounts.models import Staff
from hospital.audit import stated
from hospital.audit.appended import AppendOnly
from hospital.audit.models import Event
from hospital.categories import BY_KEY
from hospital.privacy import disclosing
from hospital.privacy.models import Disclosure, RetentionRule
from tests import signing_in
from tests.conftest import PASSWORD, recorded
from tests.hospital.test_correcting import onboard

Recipient = Disclosure.Recipient
LIST = reverse("admin:privacy_disclosure_changelist")


def given(patient=None, *, to=Recipient.HIS, by=None, purpose="handoff", **more):
    return disclosing.note(
        to,
        purpose=purpose,
        fields=["real_name", "document_number"],
        subject=patient and patient.pk,
        staff=by and by.pk,
        at=timezone.now(),
        **more,
    )


def seated(person):
    client = Client()
    client.force_login(person)
    return client


@pytest.fixture
def patient(db):
    return onboard()


@pytest.fixture
def vendor(lin):
    Staff.objects.filter(pk=lin.pk).update(
        is_vendor=True, valid_until=timezone.now() + timedelta(days=7)
    )
    lin.refresh_from_db()
    return lin


def test_what_was_given_is_a_line_and_on_record(patient):
    with recorded():
        row = given(patient, reference="HT-2026-01")

    assert (row.recipient, row.subject, row.count) == (Recipient.HIS, patient.pk, 1)
    facts = stated.facts(Event.objects.get(action="disclosure.note").payload)
    assert facts["fields"] == ["document_number", "real_name"]
    assert (facts["patient"], facts["recipient"]) == (str(patient.pk), "his")
    assert "张三" not in Event.objects.latest("id").payload


def test_where_what_was_given_is_undone_there_is_no_line(patient):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        given(patient)
        1 / 0  # noqa: B018

    assert not Disclosure.objects.exists()


def test_a_vendors_login_is_a_line(vendor):
    phone = signing_in.enrolled(vendor)
    with recorded():
        signing_in.log_in(Client(), vendor, password=PASSWORD, phone=phone)

    (row,) = Disclosure.objects.all()
    assert (row.recipient, row.purpose, row.by) == (Recipient.VENDOR, "support", vendor.pk)
    assert (row.fields, row.count, row.subject) == ([], 0, None)


def test_the_login_of_who_works_here_is_none(lin, chen):
    for person in (lin, chen):
        phone = signing_in.enrolled(person)
        signing_in.log_in(Client(), person, password=PASSWORD, phone=phone)

    assert not Disclosure.objects.exists()


def test_a_line_is_written_once(patient):
    row = given(patient)

    with pytest.raises(AppendOnly):
        row.delete()
    with pytest.raises(AppendOnly):
        Disclosure.objects.filter(pk=row.pk).delete()
    with pytest.raises(AppendOnly):
        Disclosure.objects.update(count=2)
    row.count = 2
    with pytest.raises(AppendOnly):
        row.save()


def test_nobody_decides_to_keep_them_for_less_than_three_years(db):
    assert BY_KEY["disclosure"].least == 36
    RetentionRule.objects.create(
        category="disclosure", value=1, proposal=uuid7(), changed_at=timezone.now()
    )
    retention.forget()

    assert retention.value("disclosure") == 36
    retention.forget()


def test_the_privacy_officer_and_the_auditor_read_the_ledger(patient, gu, zhou):
    row = given(patient)

    for page in (LIST, reverse("admin:privacy_disclosure_change", args=[row.pk])):
        office, audit = (seated(one).get(page).text for one in (gu, zhou))
        assert patient.number in office
        assert patient.number not in audit  # to whom patients are ids alone
        assert str(patient.pk) in audit
        for shown in (office, audit):
            assert "姓名" in shown
            assert "移交医院信息系统" in shown


@pytest.mark.parametrize("name", ["chen", "lin", "mei"])
def test_nobody_else_does(db, name, request):
    assert seated(request.getfixturevalue(name)).get(LIST).status_code == 403


def test_the_ledger_is_filtered_by_who_got_it_and_when(patient, gu):
    given(patient)
    given(to=Recipient.AUTHORITY, purpose="inquiry")
    tomorrow = f"{timezone.localdate() + timedelta(days=1)} 00:00:00+08:00"

    to_authority = seated(gu).get(LIST, {"recipient__exact": "authority"}).text
    later = seated(gu).get(LIST, {"at__gte": tomorrow}).text

    assert "inquiry" in to_authority
    assert patient.number not in to_authority
    assert "inquiry" not in later


def test_one_line_tells_who_saw_to_it_and_on_which_ground(patient, gu, chen):
    row = given(patient, to=Recipient.SUBJECT, purpose="copy", by=chen, reference="HT-2026-01")

    shown = seated(gu).get(reverse("admin:privacy_disclosure_change", args=[row.pk])).text

    assert "chen（chen）" in shown
    assert "HT-2026-01" in shown
    assert "本人申请副本" in shown


def test_a_line_outlives_the_record(gu):
    row = disclosing.note(
        Recipient.HIS, purpose="handoff", fields=["real_name"], subject=uuid7(), at=timezone.now()
    )

    shown = seated(gu).get(reverse("admin:privacy_disclosure_change", args=[row.pk])).text

    assert "档案已删除" in shown
