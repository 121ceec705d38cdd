"""A patient's copy: all that is held of them and of nobody else, encrypted, fetched once, gone."""

import io
import json
import re
from datetime import timedelta

import pytest
import pyzipper
from django.conf import settings as project
from django.db import DatabaseError, connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from faceauth.models import Consent, FaceSession
from hospital import stepup
from hospital.accounts.models import Staff
from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.recording import record
from hospital.crypto import keyring
from hospital.patients import enrolment, viewing
from hospital.patients.enrolment import Person
from hospital.patients.models import Guardian, Identification, Likeness, WechatAccount
from hospital.privacy import answering, copying, packing, rights
from hospital.privacy.models import Disclosure, RightsCopy, RightsRequest
from hospital.privacy.tasks import sweep_retention
from tests.conftest import recorded
from tests.hospital.test_correcting import onboard

Kind = RightsRequest.Kind
State = RightsRequest.State

OTHER = Person("欧阳娜娜", 1, "110101199003072211")
MOTHER = ("司马相如", "110101199003078672")


def now():
    return timezone.now()


@pytest.fixture
def patient(db):
    return onboard()


@pytest.fixture
def agreed(patient, chen, gu):
    """张三 asked for a copy, showed their document, and 顾 agreed."""
    request = rights.open_request(
        patient, Kind.COPY, applicant=RightsRequest.Applicant.SELF, by=chen, at=now()
    )
    rights.verify(request, evidence=Identification.Evidence.ORIGINAL, by=chen, at=now())
    answering.grant(request, by=gu, at=now())
    return request


def opened(content, password):
    with pyzipper.AESZipFile(io.BytesIO(content)) as archive:
        archive.setpassword(password.encode())
        return {name: archive.read(name).decode() for name in archive.namelist()}


def handed_over(request, by):
    password = copying.make(request, by=by, at=now())
    return opened(copying.fetch(request, by=by, at=now()), password)


def values(files, section):
    data = json.loads(files[packing.DATA])
    return next(one["rows"] for one in data["sections"] if one["name"] == section)


def test_it_holds_who_they_are_in_clear(agreed, patient, chen):
    files = handed_over(agreed, chen)

    (row,) = values(files, "patients.patient")
    assert (row["姓名"], row["证件号码"]) == ("张三", "11010119900307002X")
    assert (row["出生日期"], row["患者编号"]) == ("1990-03-07", patient.number)
    assert "张三" in files[packing.PAGE]
    assert "<script" not in files[packing.PAGE]
    assert not re.search(r"(?:src|href)=", files[packing.PAGE])


def test_it_holds_what_was_linked_visited_and_asked(agreed, patient, chen, gu):
    WechatAccount.objects.create(
        patient=patient, appid="wx1", openid="o-of-zhang", created_at=now()
    )
    files = handed_over(agreed, chen)

    assert values(files, "patients.wechataccount")[0]["OpenID"] == "o-of-zhang"
    assert values(files, "patients.attendance")[0]["院区"] == project.CAMPUSES["main"]
    assert len(values(files, "patients.identification")) == 1
    assert values(files, "privacy.rightsrequest")[0]["事项"] == "复制"


def test_it_says_who_looked_by_day_and_office_and_no_name(agreed, patient, chen, gu, settings):
    other = onboard(OTHER)
    viewing.looked([patient], shown=viewing.NAMED, by=chen, at=now())
    viewing.looked([patient, other], shown=viewing.NAMED, by=gu, at=now())
    viewing.looked([other], shown=viewing.NAMED, by=gu, at=now())
    with transaction.atomic():
        record(
            Action.PATIENT_REVEAL,
            by=chen, on=patient, at=now(), field="real_name", purpose="identity",
        )  # fmt: skip

    files = handed_over(agreed, chen)

    looks = values(files, "audit.event")
    today = f"{timezone.localtime():%Y-%m-%d}"
    assert {(one["日期"], one["角色"], one["查看"], one["次数"]) for one in looks} == {
        (today, "登记员", "脱敏信息", "1"),
        (today, "个保负责人", "脱敏信息", "1"),
        (today, "登记员", "姓名明文，用于核对身份", "1"),
    }
    for staff in Staff.objects.all():
        for text in files.values():
            assert str(staff.pk) not in text
            assert not re.search(rf"\b{staff.username}\b", text)


def test_it_holds_nobody_else(agreed, patient, chen, kiosk, notice):
    other = onboard(OTHER)
    WechatAccount.objects.create(patient=other, appid="wx1", openid="o-of-other", created_at=now())
    first, second = sorted([patient, other], key=lambda one: one.pk)
    Likeness.objects.create(kind="exact", first=first, second=second, found_at=now())
    Guardian.objects.create(
        patient=patient,
        relation=Guardian.Relation.PARENT,
        real_name=MOTHER[0],
        document_type=1,
        document_number=MOTHER[1],
        evidence=Identification.Evidence.GUARDIAN,
        by=chen.pk,
        at=now(),
    )
    for one in (patient, other):
        consent = Consent.objects.create(
            notice=notice,
            notice_digest=notice.digest,
            granted=True,
            purposes=["onboarding"],
            terminal=kiosk.terminal,
            at=now(),
            patient=one.pk,
        )
        FaceSession.objects.create(
            terminal=kiosk.terminal,
            consent=consent,
            state=FaceSession.State.ONBOARDED,
            patient=one,
            opened_at=now(),
            finished_at=now(),
        )

    files = handed_over(agreed, chen)

    assert len(values(files, "faceauth.facesession")) == 1
    assert values(files, "faceauth.consent")[0]["目的"] == "建立档案"
    assert values(files, "patients.guardian")[0]["关系"] == "父母"
    strangers = [OTHER.real_name, OTHER.document_number, other.number, str(other.pk),
                 "o-of-other", *MOTHER]  # fmt: skip
    for text in files.values():
        assert [one for one in strangers if one in text] == []


def test_each_step_is_on_record_and_in_the_ledger(agreed, patient, chen):
    with recorded():
        copying.make(agreed, by=chen, at=now())
    with recorded():
        copying.fetch(agreed, by=chen, at=now())

    agreed.refresh_from_db()
    assert agreed.state == State.DONE
    for action in ("rights.copy", "rights.fetch"):
        facts = stated.facts(Event.objects.get(action=action).payload)
        assert facts == {"patient": str(patient.pk), "sha256": agreed.copy_digest}
    assert stated.facts(Event.objects.get(action="rights.copy_gone").payload)["code"] == "fetched"
    given = Disclosure.objects.get()
    assert (given.recipient, given.subject) == (Disclosure.Recipient.SUBJECT, patient.pk)
    assert (given.purpose, given.by) == ("copy", chen.pk)
    assert "patients.patient" in given.fields


def test_it_is_fetched_once_and_gone(agreed, chen):
    copying.make(agreed, by=chen, at=now())
    assert RightsCopy.objects.get().request == agreed
    copying.fetch(agreed, by=chen, at=now())

    assert not RightsCopy.objects.exists()
    with pytest.raises(copying.NotReady):
        copying.fetch(agreed, by=chen, at=now())
    with pytest.raises(copying.NotReady):
        copying.make(agreed, by=chen, at=now())


def test_nobody_makes_one_before_it_was_agreed_to(patient, chen):
    request = rights.open_request(
        patient, Kind.COPY, applicant=RightsRequest.Applicant.SELF, by=chen, at=now()
    )
    with pytest.raises(copying.NotReady):
        copying.make(request, by=chen, at=now())
    rights.verify(request, evidence=Identification.Evidence.ORIGINAL, by=chen, at=now())
    with pytest.raises(copying.NotReady):
        copying.make(request, by=chen, at=now())


def kept():
    """Return what lies in the database, as a thief of it finds it."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT packed FROM privacy_rightscopy")
        return bytes(cursor.fetchone()[0])


def test_what_is_kept_says_nothing_even_to_who_has_the_password(agreed, patient, chen):
    password = copying.make(agreed, by=chen, at=now())

    with pytest.raises(pyzipper.BadZipFile):
        opened(kept(), password)
    keyring.destroy(patient.pk)
    with pytest.raises(copying.Lost):
        copying.fetch(agreed, by=chen, at=now())


def test_the_wrong_password_opens_nothing(agreed, chen):
    password = copying.make(agreed, by=chen, at=now())
    content = copying.fetch(agreed, by=chen, at=now())

    assert re.fullmatch(r"[2-9A-HJ-NP-Z]{4}(?:-[2-9A-HJ-NP-Z]{4}){3}", password)
    with pytest.raises(RuntimeError):
        opened(content, "2222-2222-2222-2222")


def test_made_again_the_older_one_is_gone(agreed, chen):
    first = copying.make(agreed, by=chen, at=now())
    second = copying.make(agreed, by=chen, at=now())

    assert RightsCopy.objects.count() == 1
    content = copying.fetch(agreed, by=chen, at=now())
    assert opened(content, second)
    with pytest.raises(RuntimeError):
        opened(content, first)


def test_after_a_day_it_is_not_handed_out_any_more(agreed, chen):
    at = now()
    copying.make(agreed, by=chen, at=at)

    assert agreed.copy_until == at + timedelta(hours=24)
    with pytest.raises(copying.NotReady):
        copying.fetch(agreed, by=chen, at=at + timedelta(hours=24))
    assert list(copying.due(at=at + timedelta(hours=23, minutes=59))) == []
    assert list(copying.due(at=at + timedelta(hours=24))) == [agreed]


@pytest.mark.parametrize("ending", ["withdrawn", "refused"])
def test_with_the_request_the_copy_goes(agreed, chen, gu, ending):
    copying.make(agreed, by=chen, at=now())
    if ending == "withdrawn":
        rights.withdraw(agreed, by=chen, at=now())
    else:
        answering.refuse(agreed, reason=RightsRequest.Refused.LAW, note="依法保密", by=gu, at=now())

    assert not RightsCopy.objects.exists()
    assert stated.facts(Event.objects.get(action="rights.copy_gone").payload)["code"] == ending
    assert not copying.drop(agreed, code="again", at=now())


CUT = "UPDATE privacy_rightscopy SET packed = substr(packed, 1, 100)"
OLDER = "UPDATE privacy_rightscopy SET packed = %s"
ANOTHERS = "UPDATE privacy_rightscopy SET patient = %s"
GONE = "DELETE FROM privacy_rightscopy"


@pytest.mark.parametrize("done", [CUT, OLDER, ANOTHERS, GONE])
def test_what_somebody_swapped_is_not_handed_out(agreed, chen, done):
    copying.make(agreed, by=chen, at=now())
    earlier = kept()
    copying.make(agreed, by=chen, at=now())
    other = onboard(OTHER).pk
    uuid = other if connection.features.has_native_uuid_field else other.hex
    with connection.cursor() as cursor:
        cursor.execute(done, {OLDER: [earlier], ANOTHERS: [uuid]}.get(done, []))

    with pytest.raises(copying.Lost):
        copying.fetch(agreed, by=chen, at=now())
    assert not Event.objects.filter(action="rights.fetch").exists()


def test_no_list_of_requests_reads_what_is_in_a_copy(agreed, chen, gu):
    copying.make(agreed, by=chen, at=now())

    with CaptureQueriesContext(connection) as asked:
        for name in ("desk:rights", "desk:right"):
            args = [agreed.pk] if name == "desk:right" else []
            assert seated(gu).get(reverse(name, args=args)).status_code == 200

    assert not [one["sql"] for one in asked if '"packed"' in one["sql"]]


def test_no_copy_comes_or_goes_without_its_event(agreed, chen):
    with recorded():
        copying.make(agreed, by=chen, at=now())
    with recorded():
        copying.make(agreed, by=chen, at=now())
    with recorded():
        copying.drop(agreed, code="retention", at=now())


@pytest.mark.django_db(transaction=True)  # around a whole test any event of it would do
def test_a_copy_that_no_event_names_is_refused(agreed):
    with pytest.raises((AssertionError, DatabaseError), match="rightscopy"), recorded():
        RightsCopy(request=agreed, patient=agreed.patient, packed="anything").save()


def test_one_that_its_request_forgot_goes_with_the_next_sweep(agreed, chen):
    """As where the release before this one drops a copy that this one made."""
    copying.make(agreed, by=chen, at=now())
    RightsRequest.objects.filter(pk=agreed.pk).update(copy_until=None)
    assert list(copying.due(at=now())) == [agreed]

    sweep_retention()

    assert not RightsCopy.objects.exists()
    assert list(copying.due(at=now())) == []


@pytest.mark.parametrize("bound", ["fetch", "drop", "make"])
def test_half_of_it_never_happens(agreed, chen, monkeypatch, bound):
    """What is handed out, dropped or made anew is so in one transaction with its event."""
    copying.make(agreed, by=chen, at=now())
    before = kept()

    def fails(*_args, **_how):
        raise ConnectionError

    monkeypatch.setattr(copying, "record", fails)
    act = {
        "fetch": lambda: copying.fetch(agreed, by=chen, at=now()),
        "drop": lambda: copying.drop(agreed, code="retention", at=now()),
        "make": lambda: copying.make(agreed, by=chen, at=now()),
    }[bound]
    with pytest.raises(ConnectionError):
        act()

    monkeypatch.undo()
    agreed.refresh_from_db()
    assert kept() == before
    assert copying.fetch(agreed, by=chen, at=now())


def test_an_erased_person_has_no_copy(agreed, patient, chen):
    keyring.destroy(patient.pk)

    with pytest.raises(enrolment.Unreadable):
        copying.make(agreed, by=chen, at=now())


# The pages


def seated(person, *, is_fresh=True):
    client = Client()
    client.force_login(person)
    if is_fresh:
        session = client.session
        stepup.stamp(session, at=now())
        session.save()
    return client


def password_of(page):
    return re.search(r'class="code">([0-9A-Z-]{19})<', page)[1]


def test_making_and_fetching_ask_who_is_there(agreed, chen):
    client = seated(chen, is_fresh=False)

    for name in ("desk:right-copy", "desk:right-fetch"):
        answer = client.post(reverse(name, args=[agreed.pk]))
        assert answer["Location"].startswith(reverse("step-up"))
    assert not Event.objects.filter(action="rights.copy").exists()


def test_the_desk_shows_the_password_once_and_hands_the_file_out_once(agreed, chen):
    client, address = seated(chen), reverse("desk:right-copy", args=[agreed.pk])
    made = client.post(address)
    password = password_of(made.text)
    assert "no-store" in made["Cache-Control"]
    assert password not in client.get(address).text

    answer = client.post(reverse("desk:right-fetch", args=[agreed.pk]))

    assert answer["Content-Type"] == "application/zip"
    assert "no-store" in answer["Cache-Control"]
    assert packing.PAGE in opened(answer.content, password)
    again = client.post(reverse("desk:right-fetch", args=[agreed.pk]))
    assert again.status_code == 302


def test_the_other_campus_and_the_officer_fetch_nothing(agreed, chen, wu, gu):
    copying.make(agreed, by=chen, at=now())
    address = reverse("desk:right-fetch", args=[agreed.pk])

    assert seated(wu).post(address).status_code == 404
    assert seated(gu).post(address).status_code == 403


def test_the_password_is_nowhere(agreed, chen, capfd, caplog):
    client = seated(chen)
    password = password_of(client.post(reverse("desk:right-copy", args=[agreed.pk])).text)
    client.post(reverse("desk:right-fetch", args=[agreed.pk]))

    told = capfd.readouterr()
    said = [told.out, told.err, caplog.text, json.dumps(dict(client.session.items()))]
    said += Event.objects.values_list("payload", flat=True)
    said += [str(RightsRequest.objects.filter(pk=agreed.pk).values().get())]
    said += [str(cookie) for cookie in client.cookies.values()]
    for needle in (password, password.replace("-", ""), password[:9]):
        assert not any(needle in text for text in said)
