"""
A hospital group of two campuses after some years, put into the tables as fast as they take it.

Some patients are real: those the newest visits are of, and so all that any page shows. The others
are rows of random bytes with digests and keys of their own: to an index they are all the same.
Nobody's visit is recorded, and nothing that belongs together is compared: see `_unheld`.
"""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Final
from uuid import UUID

from django.db import connection, transaction
from stdnum import luhn
from stdnum.cn import ric
from uuid6 import uuid7

from devices.models import Store, Terminal
from faceauth.models import FaceSession, Notice
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.labels import Label
from hospital.patients.documents import DocumentType
from hospital.patients.models import (
    Attendance,
    Correction,
    Identification,
    Likeness,
    Patient,
    Registration,
)
from hospital.roles import Role
from tests.benchmarks.trail import filling as events

CAMPUSES: Final = ("main", "east")
TERMINALS: Final = 30  # of each campus
A_DAY: Final = 5_000  # visits
REAL: Final = 20_000  # at the most
WAITING: Final = 40  # of each kind of work, at each campus
SETTLED: Final = 4_000  # of each kind, long ago
REGISTRARS: Final = 8  # so many share the searches that none meets their limit
_WORKED: Final = 12 * WAITING  # patients among whom what waits is found
_BEGIN: Final = date(1950, 1, 1)
_SURNAMES: Final = "王李张刘陈杨赵黄周吴徐孙胡朱高林何郭马罗"
_NAMES: Final = "伟芳娜秀英敏静丽强磊军洋勇艳杰娟涛明超霞平刚桂文辉玲"

_UUID7: Final = """
    CREATE FUNCTION pg_temp.uuid7(at timestamptz) RETURNS uuid LANGUAGE sql VOLATILE AS $$
      SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7'
        || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15))::uuid
    $$
"""
_OTHERS: Final = """
    INSERT INTO patients_patient
      (id, number, real_name, document_type, document_number, document_index, name_birth_index,
       created_at)
    SELECT pg_temp.uuid7(at), 'Q' || n, sha256(n::text::bytea), 1,
           sha256(n::text::bytea) || sha256(n::text::bytea), md5(n::text),
           substr(md5((n / 2)::text), 1, 16), at
    FROM (SELECT n, now() - interval '30 days' - n * interval '2 minutes' AS at
          FROM generate_series(1, %s) n) one
"""
_KEYS: Final = """
    INSERT INTO crypto_datakey
      (subject, generation, suite, epoch_id, wrapped, check_value, created_at)
    SELECT patients_patient.id, 1, suite, epoch_id, wrapped, check_value, now()
    FROM patients_patient, (SELECT * FROM crypto_datakey LIMIT 1) key WHERE number LIKE 'Q%%'
"""
_HERE: Final = """
    INSERT INTO patients_attendance (id, patient_id, campus, since)
    SELECT gen_random_uuid(), id, CASE WHEN random() < 0.5 THEN 'main' ELSE 'east' END, created_at
    FROM patients_patient
"""
_IDENTIFIED: Final = """
    INSERT INTO patients_identification (id, patient_id, method, evidence, at)
    SELECT gen_random_uuid(), id, 'wechat_face', '', created_at FROM patients_patient
"""
_VISITS: Final = """
    CREATE TEMPORARY TABLE visit AS
    SELECT n, now() - n * %(apart)s AS at, gen_random_uuid() AS consent, gen_random_uuid() AS id,
      (%(terminals)s::uuid[])[1 + n %% %(many)s] AS terminal,
      (%(patients)s::uuid[])[1 + n %% %(known)s] AS patient,
      CASE n %% 100 WHEN 0 THEN 'failed' WHEN 1 THEN 'refused' WHEN 2 THEN 'declined'
        WHEN 3 THEN 'guardian_required' WHEN 4 THEN 'expired' WHEN 5 THEN 'onboarded'
        ELSE 'recognised' END AS state
    FROM generate_series(1, %(sessions)s) n;
    UPDATE visit SET id = pg_temp.uuid7(at);
    INSERT INTO faceauth_consent
      (id, notice_digest, granted, purposes, at, terminal_id, notice_id)
    SELECT consent, repeat('a', 64), state <> 'refused', '["onboarding"]', at, terminal,
      %(notice)s FROM visit;
    INSERT INTO faceauth_facesession
      (id, state, reason, wechat_request_id, opened_at, finished_at, attempts, excused, consent_id,
       patient_id, terminal_id, kind, settlement, settled_at, on_request,
       openid_indexes)
    SELECT id, state, '', 'request-' || n, at, at + interval '20 s', 1, 0, consent,
      CASE WHEN is_of_desk OR state = 'expired' THEN NULL ELSE patient END, terminal, 'FACE_AUTH',
      CASE WHEN is_settled THEN 'left' ELSE '' END,
      CASE WHEN is_settled THEN at + interval '5 minutes' END, false, '[]'
    FROM (SELECT *, is_of_desk AND (n %% 200 < 100 OR at < now() - interval '8 hours') AS is_settled
          FROM (SELECT *, n %% 100 < 4 AS is_of_desk FROM visit) one) two;
"""


@dataclass(frozen=True)
class Filled:
    """Who works there."""

    registrars: list[Staff]
    privacy: Staff


def fill(*, patients: int, sessions: int, now: datetime) -> Filled:
    """Fill an empty database with so many patients and visits."""
    registrars = [_staff(f"chen{n}", Role.REGISTRAR, campus=CAMPUSES[0]) for n in range(REGISTRARS)]
    privacy = _staff("gu", Role.PRIVACY)
    real = [*_real(min(patients, REAL), now=now)]
    with _unheld():
        Patient.objects.bulk_create(real, batch_size=2_000)
        with connection.cursor() as cursor:
            cursor.execute(_OTHERS, [patients - len(real)])
            for statement in (_KEYS, _HERE, _IDENTIFIED):
                cursor.execute(statement)
            _visits(cursor, sessions, of=[patient.pk for patient in real], now=now)
        _work(real, by=registrars[-1], now=now)
    _failures(now)
    events.fill(sessions, begin=now - timedelta(days=30))
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")
    return Filled(registrars[:-1], privacy)


@contextmanager
def _unheld() -> Iterator[None]:
    """In one transaction, with no trigger of anybody's: what is made is in order as it is."""
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL synchronous_commit = off")
        cursor.execute(_UUID7)
        yield


def _staff(username: str, role: Role, **fields: str) -> Staff:
    with transaction.atomic():
        staff = Staff.objects.create_user(
            username,
            "",
            display_name=username,
            person_id=f"E-{username}",
            role=role,
            clearance=Label.IDENTIFYING,
            **fields,
        )
        record(Action.STAFF_CREATE, by=SYSTEM, on=staff, at=staff.created_at, role=staff.role)
    return staff


def _real(count: int, *, now: datetime) -> Iterator[Patient]:
    """Yield patients of the last month, a few of whom share their names and birth dates."""
    chance = random.Random(count)
    for n in range(count):
        born = _BEGIN + timedelta(days=n // 999)
        digits = f"110101{born:%Y%m%d}{n % 999:03}"
        yield Patient(
            id=_uuid7(now - timedelta(days=30) * (1 - n / count)),
            number=f"P{n:09}{luhn.calc_check_digit(f'{n:09}')}",
            real_name=chance.choice(_SURNAMES) + chance.choice(_NAMES) + chance.choice(_NAMES),
            document_type=DocumentType.RESIDENT,
            document_number=digits + ric.calc_check_digit(digits),
            created_at=now,
        )


def _uuid7(at: datetime) -> UUID:
    return UUID(int=int(at.timestamp() * 1000) << 80 | uuid7().int & (1 << 80) - 1)


def _visits(cursor: object, sessions: int, *, of: list[UUID], now: datetime) -> None:
    stores = [Store(code=campus, name=campus, campus=campus) for campus in CAMPUSES]
    Store.objects.bulk_create(stores)
    terminals = [
        Terminal(serial=f"T-{n}", name="大厅", store=stores[n % 2], last_seen_at=now)
        for n in range(TERMINALS * len(stores))
    ]
    Terminal.objects.bulk_create(terminals)
    notice = Notice(version=1, title="告知书", text="……", purposes=[], in_force_from=now)
    Notice.objects.bulk_create([notice])
    values = {
        "apart": timedelta(days=1) / A_DAY,
        "terminals": [one.pk for one in terminals],
        "many": len(terminals),
        "patients": of,
        "known": len(of),
        "sessions": sessions,
        "notice": notice.pk,
    }
    for statement in _VISITS.split(";\n"):
        if statement.strip():
            cursor.execute(statement, values)  # type: ignore[attr-defined]


def _work(real: list[Patient], *, by: Staff, now: datetime) -> None:
    """Make what waits for the desk, and what it has done long ago."""
    here = Attendance.objects.filter(campus=CAMPUSES[0], patient__in=real[:_WORKED])
    known = sorted(here.values_list("patient", flat=True))[: 4 * WAITING]
    done = WAITING + min(SETTLED, len(real) // 2)
    Registration.objects.bulk_create(
        Registration(
            state=Registration.State.WAITING if n < WAITING else Registration.State.DONE,
            cause=Registration.Cause.UNABLE,
            evidence=Identification.Evidence.ORIGINAL,
            campus=CAMPUSES[0],
            document_type=DocumentType.RESIDENT,
            real_name="张三" if n < WAITING else None,
            document_number="11010119800101001X" if n < WAITING else None,
            patient=None if n < WAITING else real[n],
            entered_by=by.pk,
            entered_at=now,
        )
        for n in range(done)
    )
    pairs = [*zip(known[::2], known[1::2], strict=True)][:WAITING]
    pairs += [(real[n].pk, real[n + 1].pk) for n in range(_WORKED, len(real) - 1)][:SETTLED]
    Likeness.objects.bulk_create(
        Likeness(
            kind=Likeness.Kind.EXACT,
            state=Likeness.State.OPEN if n < WAITING else Likeness.State.APART,
            first_id=first,
            second_id=second,
            found_at=now,
        )
        for n, (first, second) in enumerate(pairs)
    )
    asked = known[2 * WAITING :][:WAITING] + [one.pk for one in real[_WORKED:]][:SETTLED]
    Correction.objects.bulk_create(
        Correction(
            patient_id=patient,
            state=Correction.State.ASKED if n < WAITING else Correction.State.DONE,
            real_name="张三丰" if n < WAITING else None,
            document_type=DocumentType.RESIDENT,
            evidence=Identification.Evidence.ORIGINAL,
            reason="同音字",
            asked_by=by.pk,
            asked_at=now,
        )
        for n, patient in enumerate(asked)
    )


def _failures(now: datetime) -> None:
    """Say of the visits that failed today why they did, as the worker says it."""
    failed = FaceSession.objects.filter(
        state=FaceSession.State.FAILED, opened_at__gte=now - timedelta(days=1)
    )
    for session in failed:
        with transaction.atomic():
            record(
                Action.SESSION_FAIL,
                by=SYSTEM,
                on=session,
                at=now,
                outcome="failed",
                code="attempts_used",
            )
