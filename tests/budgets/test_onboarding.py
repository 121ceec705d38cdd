"""What bringing somebody on record may ask of the database, of the keys and of WeChat: counted."""

import cProfile
import re
from collections import Counter

import pytest
from django.db import connection as database
from django.db import transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from faceauth import connection, onboarding
from hospital.patients.models import Patient
from tests.conftest import see

OF_RSA = re.compile(r"'(sign|verify|encrypt|decrypt)' of '.*\.RSA(Private|Public)Key'")
PART = re.compile(r'(INSERT INTO|UPDATE|FROM) "(\w+)"')
NAMED = {"SELECT": "FROM", "INSERT": "INTO", "UPDATE": "UPDATE", "DELETE": "FROM"}
ALL_THAT_IS_THEIRS = (
    "INSERT patients_patient + INSERT patients_wechataccount"
    " + INSERT patients_attendance + INSERT patients_identification"
)
GROWING = ("faceauth_facesession", "patients_patient", "faceauth_consent")


@pytest.fixture
def authorize(kiosk, notice, merchant, simulator):
    def authorize(person):
        session = see(kiosk, simulator, person)
        path = f"face-sessions/{session.pk}/authorization/"
        kiosk.post(path, {"return_code": "SUCCESS"}).raise_for_status()
        return session

    return authorize


@pytest.fixture
def one_before(authorize):
    """Keys, clients and certificates are there, as in any process after its first minute."""
    work(authorize("stranger-900"))


def work(session):
    onboarding.onboard(session.pk, client_for=connection.identity_client, clock=timezone.now)


def statements(session):
    with CaptureQueriesContext(database) as captured:
        work(session)
    sql = [one["sql"] for one in captured.captured_queries]
    return [one for one in sql if one.startswith(("WITH", *NAMED))]


def table(sql):
    words = sql.replace('"', "").split()
    return f"{words[0]} {words[words.index(NAMED[words[0]]) + 1]}"


def acts(sql):
    """Return what a statement does, each of its parts."""
    verbs = {"INSERT INTO": "INSERT", "FROM": "SELECT"}
    return " + ".join(f"{verbs.get(verb, verb)} {name}" for verb, name in PART.findall(sql))


def test_a_stranger_takes_fifteen_statements(authorize, one_before):
    session = authorize("stranger-7")

    assert [table(one) for one in statements(session) if "advisory" not in one] == [
        "UPDATE faceauth_facesession",  # the claim
        "SELECT faceauth_facesession",  # with all it is about
        "UPDATE faceauth_facesession",  # WeChat's answer, kept
        "INSERT audit_event",
        "SELECT patients_patient",  # who has the document
        "SELECT patients_patient",  # who has the name and birth date
        "INSERT crypto_datakey",  # while its epoch is the active one
        "INSERT patients_patient",
        "INSERT patients_wechataccount",
        "INSERT patients_attendance",
        "INSERT patients_identification",
        "UPDATE faceauth_consent",
        "UPDATE faceauth_facesession",
        "INSERT audit_commitment",
        "INSERT audit_event",
    ]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_on_postgresql_most_of_them_go_together(authorize, one_before):
    session = authorize("stranger-7")

    assert [acts(one) for one in statements(session) if "advisory" not in one] == [
        "UPDATE faceauth_facesession + SELECT faceauth_facesession",
        "UPDATE faceauth_facesession + INSERT audit_event",
        "SELECT patients_patient",
        "SELECT patients_patient",
        "INSERT crypto_datakey + SELECT crypto_keyepoch",
        ALL_THAT_IS_THEIRS,
        "UPDATE faceauth_consent",
        "UPDATE faceauth_facesession",
        "INSERT audit_commitment + INSERT audit_event",
    ]


def test_a_session_that_is_not_due_takes_one_statement(authorize, one_before):
    session = authorize("stranger-7")
    work(session)

    assert len(statements(session)) == 1


def test_a_completion_takes_three_private_and_one_public_operation(authorize, one_before):
    session = authorize("stranger-7")

    with cProfile.Profile() as profile:
        work(session)
    profile.create_stats()

    found = Counter()
    for (_, _, name), stat in profile.stats.items():
        if match := OF_RSA.search(name):
            found[match[2], match[1]] += stat[0]
    assert found == {
        ("Private", "sign"): 1,
        ("Private", "decrypt"): 2,
        ("Public", "verify"): 1,
    }


def test_keys_are_loaded_once_in_a_process(authorize, one_before):
    sessions = [authorize(f"stranger-{number}") for number in range(1, 4)]

    with cProfile.Profile() as profile:
        for session in sessions:
            work(session)
    profile.create_stats()

    assert not [name for *_, name in profile.stats if "load_pem" in name or "load_der" in name]


def test_wechat_is_asked_once_about_each(authorize, simulator):
    for number in range(1, 4):
        work(authorize(f"stranger-{number}"))

    assert set(simulator.requests()["face_sids"].values()) == {1}
    assert simulator.requests()["users"] == 3


def test_nothing_of_it_counts_a_table(authorize, one_before):
    session = authorize("stranger-7")

    found = statements(session)

    assert not [one for one in found if "COUNT(" in one.upper() or "OFFSET" in one.upper()]


@pytest.mark.postgresql
@pytest.mark.django_db(transaction=True)
def test_every_look_up_of_it_takes_an_index(authorize, one_before):
    session = authorize("stranger-7")
    found = statements(session)
    found = [one for one in found if "advisory" not in one]
    asked = [one for one in found if any(f'"{name}"' in one for name in GROWING)]
    assert len(asked) == 7  # of the nine

    with transaction.atomic(), database.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")  # the tables here are small
        for one in asked:
            cursor.execute(f"EXPLAIN {one}")
            plan = "\n".join(line for (line,) in cursor.fetchall())
            assert not any(f"Seq Scan on {name}" in plan for name in GROWING), plan


def test_the_patient_is_whole_whichever_way_they_were_written(authorize, one_before):
    work(authorize("stranger-7"))

    patient = Patient.objects.latest("id")

    assert patient.by_document.keys()
    assert patient.document_index
    assert patient.name_birth_index
    assert patient.last_visit_at == patient.created_at
    assert patient.wechat_accounts.get().openid
    assert patient.attendances.count() == patient.identifications.count() == 1
