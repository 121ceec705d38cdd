"""A fact is what its name says, whichever action states it."""

import json
from uuid import uuid4

import pytest
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from hospital.audit import facts
from hospital.audit.actions import Action
from hospital.audit.canonical import NotAFact
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM, record
from hospital.patients import enrolment

A_PERSON = "11010119900307002X"  # a slug like any other, by its letters
IDS = ("00000000-0000-0000-0000-000000000001", uuid4(), "")
DIGEST = "0f" * 32

GOOD = {
    facts.flag: (True, False),
    facts.number: (0, 2**53 - 1, -1),
    facts.word: ("late", "wechat:NO_FACE", ""),
    facts.words: (["a", "b"], {"a"}, (), frozenset()),
    facts.scalar: (3, "three"),
    facts.keys: ([1, "2", uuid4()], []),
    facts.ident: IDS,
    facts.idents: (list(IDS), set()),
    facts.digest: (DIGEST, ""),
    facts.digests: ([DIGEST], []),
    facts.classes: ([facts.Shown.NUMBER], {"name_masked"}, []),
}
BAD = {
    facts.flag: (0, 1, "true", None),
    facts.number: (True, "1", 1.0, 2**53, None),
    facts.word: (1, True, "two words", "张三", ["a"], None, uuid4()),
    facts.words: ("a", ["张三"], [1], {"a": 1}, None),
    facts.scalar: (True, "two words", None),
    facts.keys: ("a", ["two words"], None),
    facts.ident: (A_PERSON, "late", 7, None),
    facts.idents: (A_PERSON, [A_PERSON], IDS[0], None),
    facts.digest: (A_PERSON, DIGEST.upper(), DIGEST + "0", b"0" * 64, None),
    facts.digests: (DIGEST, [A_PERSON]),
    facts.classes: ("number", ["name"], ["number", "document_number"], None),
}
STATED = [(action, name) for action in Action for name in action.value.facts]


def write(action, **stated):
    with transaction.atomic():
        return record(action, by=SYSTEM, on=None, at=timezone.now(), reason="x", **stated)


def test_every_shape_is_tried_here():
    assert GOOD.keys() == BAD.keys() == {one.value.facts[name] for one, name in STATED}


@pytest.mark.parametrize(("action", "name"), STATED, ids=lambda one: getattr(one, "name", one))
def test_every_action_states_what_its_facts_are_and_nothing_else(db, action, name):
    shape = action.value.facts[name]
    for value in GOOD[shape]:
        write(action, **{name: value})
    for value in BAD[shape]:
        with pytest.raises(NotAFact):
            write(action, **{name: value})

    assert Event.objects.count() == len(GOOD[shape])


def test_a_name_means_the_same_everywhere_but_where_an_action_says_otherwise():
    apart = {
        (action.value.tag, name)
        for action, name in STATED
        if action.value.facts[name] is not facts.FACTS[name]
    }

    assert apart == {
        ("audit.prune", "sha256"),
        ("finding.raise", "subjects"),
        ("incident.query", "end"),
        ("incident.query", "start"),
        ("patient.wechat_account_move", "before"),
        ("policy.change", "after"),
        ("policy.change", "before"),
        ("policy.change_rejected", "value"),
        ("registration.enter", "guardian"),
        ("retention.change", "after"),
        ("retention.change", "before"),
        ("retention.sweep", "rows"),
    }


def test_no_fact_is_known_that_nobody_states():
    assert facts.FACTS.keys() == {name for _, name in STATED}


def test_what_is_refused_is_named_and_not_repeated(db):
    with pytest.raises(NotAFact) as refused:
        write(Action.PATIENT_REVEAL, field="张三 11010119900307002X")

    assert str(refused.value) == "patient.reveal: field"
    assert refused.value.__cause__ is None


@pytest.fixture
def patient(db):
    known = enrolment.Person("张三", 1, A_PERSON)
    return enrolment.enrol(known, accounts={}, campus="main", at=timezone.now())[0]


def stated(action):
    return json.loads(Event.objects.filter(action=action).latest("pk").payload)["facts"]


def test_a_look_at_a_patient_says_what_of_them_the_page_shows(patient, chen):
    desk = Client()
    desk.force_login(chen)

    shown = desk.get(reverse("desk:patient", args=[patient.pk])).content.decode()

    assert "张*" in shown or "*三" in shown
    assert stated("patient.view")["shown"] == [
        "birth_date_hidden", "corrections", "document_masked", "document_type", "his_number",
        "history", "likenesses", "name_masked", "number", "restriction", "rights", "visits",
        "wechat_linked",
    ]  # fmt: skip


def test_a_page_that_shows_less_says_less(patient, chen):
    desk = Client()
    desk.force_login(chen)

    desk.get(reverse("admin:patients_patient_changelist"))

    assert stated("patient.view")["shown"] == ["document_type", "history", "name_masked", "number"]


@pytest.mark.parametrize(
    ("typed", "kind"),
    [(A_PERSON, "document"), ("张三 1990-03-07", "name_birth"), ("{number}", "number")],
)
def test_a_search_says_by_what_class_and_what_it_showed(patient, chen, typed, kind):
    desk = Client()
    desk.force_login(chen)

    desk.post(reverse("desk:find"), {"typed": typed.format(number=patient.number)})

    assert stated("patient.search") == {
        "kind": kind,
        "count": 1,
        "subjects": [str(patient.pk)],
        "shown": ["document_masked", "document_type", "history", "name_masked", "number"],
    }


def test_a_search_that_found_nobody_showed_nothing(chen):
    desk = Client()
    desk.force_login(chen)

    desk.post(reverse("desk:find"), {"typed": "110101199003070046"})

    assert stated("patient.search") == {"kind": "document", "count": 0, "subjects": [], "shown": []}
