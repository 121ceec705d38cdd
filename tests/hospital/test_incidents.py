"""安全事件: clocks from the moment it was found, whose records it is about, and its end."""

import random
from collections import defaultdict
from datetime import datetime, timedelta
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from django.db import transaction

from hospital.audit import alarms
from hospital.audit.actions import Action
from hospital.audit.findings import Finding
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.audit.stated import facts
from hospital.patients.documents import DocumentType
from hospital.patients.models import Patient, Registration
from hospital.privacy.incidents import affected, classifying, hands, notices, notifying, opening
from hospital.privacy.incidents.hands import Question
from hospital.privacy.models import Affected, Incident, Notification
from tests.conftest import recorded

T = datetime(2026, 3, 2, 22, 30, tzinfo=ZoneInfo("Asia/Shanghai"))
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
Kind, Level, Recipient = Incident.Kind, Incident.Level, Notification.Recipient


@pytest.fixture
def incident(gu):
    return found(gu)


def found(by, kind=Kind.LEAK, *, at=T + 10 * MINUTE, **given):
    given = {"summary": "有人导出患者", "found_at": T, **given}
    return opening.open_(kind, by=by, at=at, **given)


def classify(incident, level, *, by, at=T + 20 * MINUTE):
    classifying.classify(incident, level, measures="已停用账号", by=by, at=at)


def due(incident):
    """Return recipient → hours after it was found."""
    return {one.recipient: (one.due_at - T) / HOUR for one in incident.notifications.all()}


def tell_all(incident, *, by, at=T + 30 * MINUTE):
    for one in incident.notifications.filter(told_at=None):
        notifying.told(one, reference="R-1", by=by, at=at)


def late():
    return [
        facts(event.payload)
        for event in Event.objects.filter(action="incident.late").order_by("pk")
    ]


# Clocks


def test_before_anybody_has_classified_it_the_first_hour_runs(incident):
    assert incident.number == "IR-20260302-01"
    assert due(incident) == {"management": 1}


def test_two_found_at_once_have_a_number_each(incident, gu, monkeypatch):
    numbers = iter([incident.number, incident.number, "IR-20260302-02"])
    monkeypatch.setattr(opening, "_number", lambda **_kwargs: next(numbers))

    assert found(gu).number == "IR-20260302-02"


def test_if_all_are_taken_whoever_opens_one_is_told_to_try_again(incident, gu, monkeypatch):
    monkeypatch.setattr(opening, "_number", lambda **_kwargs: incident.number)

    with pytest.raises(opening.Busy):
        found(gu)
    assert Incident.objects.count() == 1


@pytest.mark.parametrize("level", [Level.LARGER, Level.MAJOR, Level.CRITICAL])
def test_a_grave_leak_is_told_to_everybody_in_time(incident, gu, level):
    classify(incident, level, by=gu)

    assert due(incident) == {
        "management": 1,
        "police": 2,
        "health": 2,
        "cyberspace": 4,
        "subjects": 72,
    }


def test_a_general_leak_is_told_to_whom_the_law_on_personal_data_names(incident, gu):
    classify(incident, Level.GENERAL, by=gu)

    assert due(incident) == {"management": 1, "cyberspace": 72, "subjects": 72}


def test_where_no_data_is_touched_no_patient_is_told(gu):
    outage = found(gu, Kind.OUTAGE)

    classify(outage, Level.GENERAL, by=gu)
    assert due(outage) == {"management": 1}
    classify(outage, Level.LARGER, by=gu)
    assert due(outage) == {"management": 1, "police": 2, "health": 2, "cyberspace": 4}


def test_clocks_run_from_when_it_was_found_however_late_it_is_classified(incident, gu):
    classify(incident, Level.LARGER, by=gu, at=T + 30 * HOUR)

    assert notifying.overdue(at=T + 30 * HOUR).count() == 4


def test_what_is_classified_anew_sets_its_clocks_anew_and_who_was_told_stays(incident, gu):
    classify(incident, Level.LARGER, by=gu)
    notifying.told(incident.notifications.get(recipient="police"), reference="", by=gu, at=T + HOUR)

    classify(incident, Level.GENERAL, by=gu)

    assert due(incident) == {"management": 1, "police": 2, "cyberspace": 72, "subjects": 72}
    classify(incident, Level.MAJOR, by=gu)
    assert due(incident)["cyberspace"] == 4


@pytest.mark.parametrize(
    ("after", "is_late"), [(HOUR - MINUTE, False), (HOUR, False), (HOUR + MINUTE, True)]
)
def test_an_hour_is_over_when_it_is_over(incident, after, is_late):
    assert notifying.overdue(at=T + after).exists() == is_late
    assert notifying.warn_of_overdue(at=T + after) == is_late


@pytest.mark.parametrize(
    ("hours", "recipients"),
    [
        (1, set()),
        (2, {"management"}),
        (4, {"management", "police", "health"}),
        (5, {"management", "police", "health", "cyberspace"}),
        (73, {"management", "police", "health", "cyberspace", "subjects"}),
    ],
)
def test_each_clock_is_statedonce_when_it_has_run_out(incident, gu, hours, recipients):
    classify(incident, Level.LARGER, by=gu)

    with recorded():
        notifying.warn_of_overdue(at=T + hours * HOUR)
    notifying.warn_of_overdue(at=T + hours * HOUR)

    assert sorted(one["recipient"] for one in late()) == sorted(recipients)


def test_who_was_told_is_not_overdue(incident, gu):
    notifying.told(incident.notifications.get(), reference="电话", by=gu, at=T + HOUR)

    assert notifying.warn_of_overdue(at=T + 5 * HOUR) == 0
    with pytest.raises(notifying.AlreadyTold):
        notifying.told(incident.notifications.get(), reference="", by=gu, at=T + HOUR)


def test_what_is_overdue_becomes_a_finding(incident):
    notifying.warn_of_overdue(at=T + 2 * HOUR)

    alarms.watch(at=T + 2 * HOUR + MINUTE)

    [finding] = Finding.objects.filter(kind="incident-late")
    assert finding.facts["code"] == "late"


# Its course


def test_every_step_is_on_record(gu):
    with recorded():
        incident = found(gu)
    with recorded():
        classify(incident, Level.LARGER, by=gu)
    with recorded():
        classify(incident, Level.GENERAL, by=gu)
    with recorded():
        tell_all(incident, by=gu)
    with recorded():
        notifying.close(incident, conclusion="已查明", by=gu, at=T + HOUR)

    tags = Event.objects.on(incident).order_by("pk").values_list("action", flat=True)
    assert [*tags] == [
        "incident.open",
        "incident.classify",
        "incident.classify",
        *["incident.notify"] * 3,
        "incident.close",
    ]


def test_it_is_closed_when_it_is_classified_and_all_were_told(incident, gu):
    def close(conclusion="已查明"):
        notifying.close(incident, conclusion=conclusion, by=gu, at=T + HOUR)

    with pytest.raises(notifying.NotClassified):
        close()
    classify(incident, Level.GENERAL, by=gu)
    with pytest.raises(notifying.NotAllTold):
        close()
    tell_all(incident, by=gu)
    with pytest.raises(notifying.NoConclusion):
        close(" ")
    close()

    assert incident.state == Incident.State.CLOSED
    for change in (close, lambda: classify(incident, Level.MAJOR, by=gu)):
        with pytest.raises(classifying.Closed):
            change()
    with pytest.raises(classifying.Closed):
        affected.ask(incident, Question(T, T + HOUR), by=gu, at=T + HOUR)


def test_a_drill_is_numbered_counted_and_closed_apart(incident, gu):
    drill = found(gu, is_drill=True)
    classify(drill, Level.CRITICAL, by=gu)

    assert drill.number == "DR-20260302-01"
    assert [*Incident.objects.real()] == [incident]
    notifying.warn_of_overdue(at=T + 2 * HOUR - MINUTE)
    assert sorted(one["code"] for one in late()) == ["drill", "late"]
    notifying.close(drill, conclusion="演练完成", by=gu, at=T + HOUR)
    assert drill.state == Incident.State.CLOSED
    assert not notifying.overdue(at=T + 5 * HOUR).filter(incident=drill).exists()


def test_numbers_follow_each_other_and_begin_anew_each_day(gu):
    numbers = [found(gu).number, found(gu).number, found(gu, at=T + 2 * HOUR).number]

    assert numbers == ["IR-20260302-01", "IR-20260302-02", "IR-20260303-01"]


def test_nothing_is_found_before_it_is_and_nothing_ends_before_it_began(gu):
    with pytest.raises(opening.NotYet):
        found(gu, found_at=T + HOUR, at=T)
    with pytest.raises(opening.WrongWindow):
        found(gu, since=T - HOUR, until=T - 2 * HOUR)
    with pytest.raises(opening.WrongWindow):
        found(gu, since=T + MINUTE)


@pytest.mark.parametrize(
    ("people", "level"),
    [
        (0, Level.GENERAL),
        (999_999, Level.GENERAL),
        (1_000_000, Level.LARGER),
        (10_000_000, Level.MAJOR),
        (100_000_000, Level.CRITICAL),
    ],
)
def test_so_many_people_suggest_a_level(people, level):
    assert classifying.suggested(people) == level


# Whose records


def patients(count):
    return [
        Patient.objects.create(
            number=f"P{n:09}",
            real_name="张三",
            document_type=DocumentType.RESIDENT,
            document_number=f"11010119900307{n:04}",
            created_at=T,
        )
        for n in range(count)
    ]


def said(action, *, by, on=None, at=T, outcome="success", **told):
    with transaction.atomic():
        record(action, by=by, on=on, at=at, outcome=outcome, **told)


def look(who, *seen, at=T):
    said(Action.PATIENT_VIEW, by=who, at=at, count=len(seen), subjects=[one.pk for one in seen])


def asked(incident, by, **question):
    question = {"since": T, "until": T + HOUR, **question}
    inquiry = affected.ask(incident, Question(**question), by=by, at=T + 3 * HOUR)
    affected.find(inquiry.pk, clock=lambda: T + 3 * HOUR)
    found = defaultdict(set)
    for one in Affected.objects.filter(incident=incident):
        found[one.action].add(one.subject)
    return dict(found)


def test_whoever_was_seen_revealed_changed_or_given_away_is_affected(incident, chen, sun, gu):
    one, two, three, four, five = patients(5)
    look(chen, one, two)
    said(Action.PATIENT_REVEAL, by=chen, on=one, field="name", purpose="verify")
    said(Action.DISCLOSE, by=chen, on=incident, recipient="his", patient=three.pk)
    said(Action.LIKENESS_LINK, by=chen, on=incident, patients=[one.pk, four.pk])
    look(sun, five)

    found = asked(incident, gu, actor=str(chen.pk), actor_type="staff")

    assert found == {
        "patient.view": {one.pk, two.pk},
        "patient.reveal": {one.pk},
        "disclosure.note": {three.pk},
        "likeness.link": {one.pk, four.pk},
    }
    incident.refresh_from_db()
    assert incident.affected == 4
    assert asked(incident, gu)["patient.view"] == {one.pk, two.pk, five.pk}


def test_the_window_begins_with_its_first_moment_and_ends_before_its_last(incident, chen, gu):
    before, first, last, after = patients(4)
    tick = timedelta(microseconds=1)
    for one, at in ((before, T - tick), (first, T), (last, T + HOUR - tick), (after, T + HOUR)):
        look(chen, one, at=at)

    assert asked(incident, gu) == {"patient.view": {first.pk, last.pk}}


def test_what_was_refused_or_only_asked_for_touches_nobody(incident, chen, mei, gu):
    (one,) = patients(1)
    said(Action.PATIENT_VIEW, by=chen, outcome="denied", count=1, subjects=[one.pk])
    said(Action.PROPOSAL_ASK, by=mei, on=incident, kind="x", patient=one.pk, reason="申请")
    said(Action.FINDING_RAISE, by=SYSTEM, on=incident, kind="x", count=1, subjects=[one.pk])

    assert asked(incident, gu) == {}


def test_ids_that_are_nobodys_are_left_out_and_a_form_is_whose_it_became(incident, chen, gu):
    (one,) = patients(1)
    form = Registration.objects.create(
        state=Registration.State.DONE,
        cause=Registration.Cause.UNABLE,
        campus="main",
        document_type=DocumentType.RESIDENT,
        patient=one,
        entered_by=chen.pk,
        entered_at=T,
    )
    said(Action.PATIENT_VIEW, by=chen, on=form, count=2, subjects=[form.pk, uuid4()])

    assert asked(incident, gu) == {"patient.view": {one.pk}}


def test_of_a_terminal_those_whose_visit_began_there(incident, install, chen, gu):
    terminal, other = install("T-1").terminal, install("T-2").terminal
    one, two, three = patients(3)
    visit, elsewhere = uuid4(), uuid4()
    _visit(terminal, visit, at=T)
    _visit(other, elsewhere, at=T)
    said(Action.PATIENT_ONBOARD, by=SYSTEM, on=one, at=T + 2 * HOUR, session=visit, is_new=True)
    said(Action.PATIENT_ONBOARD, by=SYSTEM, on=two, at=T, session=elsewhere, is_new=True)
    look(chen, three)

    found = asked(incident, gu, actor=str(terminal.pk), actor_type="terminal")

    assert found == {"patient.onboard": {one.pk}}


def _visit(terminal, session, *, at):
    said(Action.SESSION_SEE, by=terminal, on=_Session(session), at=at)


class _Session:
    """Something the trail calls a face session, by its id alone."""

    class _meta:  # noqa: N801 (Django's name)
        label_lower = "faceauth.facesession"

    def __init__(self, pk):
        self.pk = pk


def test_the_answer_is_the_truth_whatever_was_done(incident, chen, sun, gu, monkeypatch):
    monkeypatch.setattr(hands, "CHUNK", 7)
    chance, there, staff = random.Random(5), patients(12), [chen, sun]
    truth = defaultdict(set)
    for _ in range(150):
        who, at = chance.choice(staff), T + chance.randrange(-30, 90) * MINUTE
        seen = chance.sample(there, chance.randrange(1, 5))
        match chance.randrange(3):
            case 0:
                look(who, *seen, at=at)
                tag = "patient.view"
            case 1:
                said(
                    Action.PATIENT_SEARCH,
                    by=who,
                    at=at,
                    kind="document",
                    count=len(seen),
                    subjects=[one.pk for one in seen],
                )
                tag = "patient.search"
            case _:
                seen = seen[:1]
                said(Action.PATIENT_REVEAL, by=who, on=seen[0], at=at, field="name", purpose="x")
                tag = "patient.reveal"
        if who is chen and T <= at < T + HOUR:
            truth[tag] |= {one.pk for one in seen}

    assert asked(incident, gu, actor=str(chen.pk), actor_type="staff") == dict(truth)
    incident.refresh_from_db()
    assert incident.affected == len(set().union(*truth.values()))


def test_asking_is_on_record_with_the_window_and_the_number(incident, chen, gu):
    look(chen, *patients(2))

    with recorded():
        asked(incident, gu, actor=str(chen.pk), actor_type="staff")

    first, last = Event.objects.filter(action="incident.query").order_by("pk")
    question = {
        "staff": str(chen.pk),
        "start": "2026-03-02T14:30:00Z",
        "end": "2026-03-02T15:30:00Z",
    }
    assert (first.actor_id, facts(first.payload)) == (str(gu.pk), question)
    assert (last.actor_type, facts(last.payload)) == ("system", {**question, "count": 2})
    with pytest.raises(affected.NoWindow):
        asked(incident, gu, until=T)


def test_they_are_read_a_page_at_a_time_each_once(incident, chen, gu):
    there = patients(5)
    look(chen, *there)
    said(Action.PATIENT_REVEAL, by=chen, on=there[0], field="name", purpose="x")
    asked(incident, gu)

    first = affected.page(incident, size=3)
    rest = affected.page(incident, after=first[-1], size=3)

    assert [*first, *rest] == sorted(one.pk for one in there)


@pytest.fixture
def chunked(monkeypatch, incident, chen, gu):
    """A question whose events are read one by one."""
    monkeypatch.setattr(hands, "CHUNK", 1)
    there = patients(4)
    for n, one in enumerate(there):
        look(chen, one, at=T + n * 15 * MINUTE)
    inquiry = affected.ask(incident, Question(T, T + HOUR), by=gu, at=T + 3 * HOUR)
    return inquiry, {one.pk for one in there}


class Killed(Exception):
    """As a process is: without a word."""


def find(inquiry, *, at, chunks=100):
    """Read for a question; killed after so many chunks."""
    ticks = iter(range(chunks + 2))  # two to take it, one for each chunk

    def clock():
        if next(ticks, None) is None:
            raise Killed
        return at

    affected.find(inquiry.pk, clock=clock)


def whose(inquiry):
    return set(Affected.objects.filter(incident=inquiry.incident).values_list("subject", flat=True))


def test_a_worker_that_is_killed_is_gone_on_with_where_it_was(chunked):
    inquiry, there = chunked
    with pytest.raises(Killed):
        find(inquiry, at=T, chunks=2)
    inquiry.refresh_from_db()
    assert (len(whose(inquiry)), affected.percent(inquiry)) == (2, 25)

    find(inquiry, at=T + MINUTE)  # its lease still runs
    assert affected.due(at=T + MINUTE) == []
    assert len(whose(inquiry)) == 2

    assert affected.due(at=T + affected.LEASE) == [inquiry.pk]
    find(inquiry, at=T + affected.LEASE)
    inquiry.refresh_from_db()
    assert (whose(inquiry), affected.percent(inquiry)) == (there, 100)
    assert inquiry.incident.affected == 4


def test_another_question_stops_the_one_before(chunked, incident, gu):
    inquiry, _ = chunked
    later = []

    def clock():
        if not later and whose(inquiry):
            question = Question(T + 40 * MINUTE, T + HOUR)
            later.append(affected.ask(incident, question, by=gu, at=T))
        return T

    affected.find(inquiry.pk, clock=clock)
    incident.refresh_from_db()
    assert incident.affected is None

    find(later[0], at=T)
    incident.refresh_from_db()
    assert incident.affected == len(whose(later[0])) == 1


def test_what_is_still_read_is_not_closed(chunked, incident, gu):
    inquiry, _ = chunked
    classify(incident, Level.GENERAL, by=gu)
    tell_all(incident, by=gu)

    with pytest.raises(notifying.StillAsking):
        notifying.close(incident, conclusion="已整改", by=gu, at=T + HOUR)
    find(inquiry, at=T)
    notifying.close(incident, conclusion="已整改", by=gu, at=T + HOUR)


# Papers


def test_the_report_says_what_is_known_and_leaves_the_rest_to_be_written(incident, gu):
    classify(incident, Level.LARGER, by=gu)

    stated = dict(notices.paper(incident, Recipient.CYBERSPACE).facts)

    assert stated["事件编号"] == incident.number
    assert stated["事件级别"] == "较大"
    assert stated["发现时间"] == "2026 年 03 月 02 日 22:30"
    assert stated["涉及个人信息的人数"] == "正在查明"
    assert stated["已采取的措施"] == "已停用账号"


def test_patients_are_told_what_the_law_names(incident, gu):
    classify(incident, Level.LARGER, by=gu)

    text = "".join(notices.paper(incident, Recipient.SUBJECTS).paragraphs)

    for stated in (
        "可能涉及的信息",
        "可能造成的危害",
        "已采取的措施",
        "您可以采取的措施",
        "联系方式",
    ):
        assert stated in text
