"""One command that examines everything, in two languages, with a remedy for each thing amiss."""

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from io import StringIO
from pathlib import Path

import pytest
from django.core.checks import Error
from django.core.checks import Warning as CheckWarning
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from faceauth.models import Merchant
from hospital.audit.cosigned import UNWITNESSED
from hospital.management.commands import doctor
from hospital.operations import asking, life
from hospital.operations.english import ENGLISH
from hospital.operations.part import Part
from hospital.operations.parts import configuration, machine, running, services
from hospital.operations.verdicts import Amiss, Finding, Verdict, Words
from tests.level3 import environment

ROOT = Path(__file__).resolve().parents[2]
REGISTERED = re.compile(
    r'id="((?:hospital|audit|crypto|privacy|backup|compliance|faceauth)\.[EW]\d+)"'
)
TABLED = re.compile(r'^ +"([EW]\d{3})",$', re.MULTILINE)
CANARIES = {
    "SECRET_KEY": "canary-secret-key-" + "x" * 40,
    "METRICS_TOKEN": "canary-metrics-token-" + "x" * 20,
    "HIS_TOKEN": "canary-his-token",
    "HIS_FHIR_URL": "https://canary-his-user:canary-his-password@his.invalid/canary-his-path",
    "HIS_IDENTIFIER_SYSTEM": "https://hospital.invalid/p",
    "DATABASE_URL": "postgres://hospital:canary-database@127.0.0.1:1/hospital?sslmode=verify-full",
    "BROKER_URL": "amqps://hospital:canary-broker@127.0.0.1:1//",
    "CACHE_URL": "rediss://:canary-cache@127.0.0.1:1/1",
    "KEY_PROVIDER": "vault",
    "VAULT_ADDR": "https://127.0.0.1:1",
    "VAULT_TOKEN": "canary-vault",
    "MERCHANT_KEY_PASSWORD": "canary-merchant",
}


def examined(*options):
    """Run it; return its exit code and what it printed."""
    out = StringIO()
    try:
        call_command("doctor", *options, stdout=out)
    except SystemExit as exc:
        return exc.code, out.getvalue()
    return 0, out.getvalue()


def found(part):
    """Ask one part; return what it raises, or what it tells."""
    try:
        part.run()
    except Amiss as exc:
        return exc.findings
    return part.told


def told(verdict):
    part = Finding("keys", verdict, Words("甲", "a"), Words("乙", "b"))
    return lambda _parts, **_how: [
        Finding("database", Verdict.OK, Words("", ""), part.remedy),
        part,
    ]


@pytest.mark.parametrize("verdict", list(Verdict))
def test_the_exit_code_says_how_bad_it_is(monkeypatch, verdict):
    monkeypatch.setattr(doctor.asking, "ask", told(verdict))

    code, said = examined()

    assert code == int(verdict)
    assert "乙" in said


def test_both_languages_say_the_same_of_the_same(monkeypatch):
    monkeypatch.setattr(doctor.asking, "ask", told(Verdict.DEGRADED))

    chinese, english = examined()[1], examined("--lang", "en")[1]

    assert len(chinese.splitlines()) == len(english.splitlines())
    assert english.isascii()
    assert "1 in order, 1 to see to, 0 broken" in english


def test_a_program_reads_it_as_json(monkeypatch):
    monkeypatch.setattr(doctor.asking, "ask", told(Verdict.BROKEN))

    code, said = examined("--json", "--lang", "en")
    body = json.loads(said)

    assert (code, body["status"]) == (2, "broken")
    assert body["findings"][1] == {
        "part": "keys",
        "label": "keys",
        "verdict": "broken",
        "said": "a",
        "remedy": "b",
    }


@pytest.mark.django_db(transaction=True)
def test_every_part_of_a_whole_installation_answers(merchant):
    life.note(timezone.now())

    code, said = examined("--json", "--lang", "en")
    body = json.loads(said)

    asked = {one["part"] for one in body["findings"]}
    assert code in {0, 1}, said
    assert len(asked) > 20
    assert "did not answer" not in said
    for one in body["findings"]:
        assert one["verdict"] == "ok" or one["remedy"], one
        assert one["label"].isascii()


def test_every_check_there_is_has_its_english():
    sources = [
        path.read_text()
        for folder in ("hospital", "faceauth", "devices")
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "english.py"
    ]
    ids = {ident for text in sources for ident in REGISTERED.findall(text)}
    table = (ROOT / "hospital" / "checks.py").read_text()
    ids |= {f"hospital.{ident}" for ident in TABLED.findall(table)}

    assert len(ids) > 40
    assert ids - ENGLISH.keys() == set()
    assert all("".join(pair).replace("…", "").strip() for pair in ENGLISH.values())


def test_what_a_check_says_is_a_finding_each(db, monkeypatch):
    messages = [Error("甲", hint="乙", id="hospital.E001"), CheckWarning("丙", id="x.W001")]
    monkeypatch.setattr(configuration.checks, "run_checks", lambda **_how: messages)

    [first, second] = found(configuration.Settings())

    assert [first[0], second[0]] == [Verdict.BROKEN, Verdict.DEGRADED]
    assert first[1].zh == "hospital.E001 甲"
    assert first[1].en == "hospital.E001 the database is not PostgreSQL"
    assert first[2].zh == "乙"


def test_an_address_of_the_merchants_that_is_not_on_the_list_is_told(merchant, settings):
    assert "127.0.0.1" in found(configuration.Egress()).en

    settings.EGRESS_ALLOW = []

    [(verdict, said, _)] = found(configuration.Egress())
    assert verdict == Verdict.DEGRADED
    assert merchant.v3_base_url not in said.en


def test_a_schema_that_is_behind_is_broken(db, monkeypatch):
    monkeypatch.setattr(services, "_behind", lambda _alias: 2)

    [(verdict, said, _)] = found(services.Schema())

    assert (verdict, said.en) == (Verdict.BROKEN, "2 migrations are not applied")


@pytest.mark.parametrize(
    ("database", "wechat", "verdict"),
    [
        (0.1, 1.0, None),
        (0.1, None, None),
        (6.0, None, Verdict.BROKEN),
        (-6.0, 1.0, Verdict.BROKEN),
        (0.0, -30.0, Verdict.DEGRADED),
        (0.0, 300.0, Verdict.BROKEN),
    ],
)
def test_a_clock_is_held_beside_the_databases_and_wechats(monkeypatch, database, wechat, verdict):
    monkeypatch.setattr(services, "_skew_of_database", lambda: database)
    monkeypatch.setattr(services, "_skew_of_wechat", lambda: wechat)

    said = found(services.Clock())

    assert (said[0][0] if isinstance(said, tuple) else None) == verdict


def test_wechats_date_is_asked_of_the_merchants_address(merchant):
    assert abs(services._skew_of_wechat()) < 60

    merchant.v3_base_url = "http://127.0.0.1:1"
    Merchant.objects.update(v3_base_url="http://127.0.0.1:1")

    assert services._skew_of_wechat() is None


@pytest.mark.parametrize(
    ("ago", "verdict"), [(None, Verdict.BROKEN), (300, Verdict.BROKEN), (3, None)]
)
def test_workers_that_gave_no_sign_are_broken(db, ago, verdict):
    if ago is not None:
        life.note(timezone.now() - timedelta(seconds=ago))

    said = found(running.Workers())

    assert (said[0][0] if isinstance(said, tuple) else None) == verdict


AGO, NOW = running.ANCHORED + 1, timezone.now()


@pytest.mark.parametrize(
    ("stood", "is_amiss"),
    [
        ({"anchored": {"file": AGO}, "signed_at": NOW}, True),
        ({"anchored": {"file": AGO}, "signed_at": NOW - timedelta(seconds=9)}, False),  # idle since
        ({"anchored": {"witness": AGO}, "signed_at": NOW}, False),  # it was late once
        ({"unwitnessed_seconds": UNWITNESSED.total_seconds() + 1}, True),
    ],
)
def test_an_anchor_or_a_witness_that_is_away_is_told(db, monkeypatch, stood, is_amiss):
    stands = replace(running.trail_standing(NOW), **stood)
    monkeypatch.setattr(running, "trail_standing", lambda _at: stands)

    assert isinstance(found(running.Anchors()), tuple) == is_amiss


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o600, []), (0o640, []), (0o644, ["open to every"]), (0o666, ["open to", "changed by"])],
)
def test_a_secret_that_others_read_is_told(settings, tmp_path, mode, said, monkeypatch):
    path = tmp_path / "root.key"
    path.write_bytes(b"k")
    path.chmod(mode)
    settings.KEY_FILE, settings.MERCHANT_KEYS_DIR = path, tmp_path / "none"
    monkeypatch.setattr(machine.os, "environ", {})

    findings = found(machine.Secrets())

    told = [one[1].en for one in findings] if isinstance(findings, tuple) else []
    if isinstance(findings, Words):
        assert said == []
    else:
        assert all(part in one for part, one in zip(said, told, strict=True))


def test_a_secret_given_as_a_file_is_looked_at_too(settings, tmp_path, monkeypatch):
    path = tmp_path / "secret"
    path.write_text("s")
    path.chmod(0o644)
    settings.KEY_FILE, settings.MERCHANT_KEYS_DIR = tmp_path / "a", tmp_path / "none"
    monkeypatch.setattr(machine.os, "environ", {"SECRET_KEY_FILE": str(path), "X_FILE": str(path)})

    [(verdict, said, _)] = found(machine.Secrets())

    assert (verdict, said.en.split()[0]) == (Verdict.DEGRADED, "SECRET_KEY_FILE")


@pytest.mark.parametrize(
    ("free", "verdict"), [(0.5, None), (0.05, Verdict.DEGRADED), (0.01, Verdict.BROKEN)]
)
def test_a_full_disk_is_told(monkeypatch, free, verdict):
    monkeypatch.setattr(machine, "_free", lambda _path: free)

    said = found(machine.Disks())

    assert (said[0][0] if isinstance(said, tuple) else None) == verdict


def test_many_findings_of_one_kind_are_counted_and_each_has_a_remedy_in_both_languages(
    db, monkeypatch
):
    messages = [Error(f"缺表 {n}", hint="乙", id="audit.E002") for n in range(9)]
    messages += [CheckWarning("In English.", id=f"security.{one}") for one in ("W009", "W999")]
    monkeypatch.setattr(configuration.checks, "run_checks", lambda **_how: messages)

    findings = found(configuration.Settings())

    assert [said.zh for _, said, _ in findings[:4]] == [
        *(f"audit.E002 缺表 {n}" for n in range(3)),
        "audit.E002 另有 6 项",
    ]
    assert findings[4][1].zh == "security.W009 SECRET_KEY 容易猜到"
    assert len(findings) == 6
    assert all(remedy.zh and remedy.en.isascii() for _, _, remedy in findings)


class Reader(Part):
    name = "reader"
    label = Words("", "")
    remedy = Words("申请新证书", "get a new certificate")

    def run(self) -> None:
        raise OperationalError("no such table: of 欧阳若曦")


def test_a_part_that_could_not_look_sends_nobody_to_its_own_remedy(caplog):
    [finding] = asking.ask([Reader()])

    assert finding.verdict == Verdict.BROKEN
    assert "没有检查" in finding.said.zh
    assert finding.remedy.zh == "先处理“数据库”和“数据库版本和表”"
    assert caplog.text == ""


def test_what_needs_no_database_is_said_without_one(db, monkeypatch):
    def checked(*, databases=(), **_how):
        if databases:
            raise OperationalError
        return [Error("甲", hint="乙", id="hospital.E001")]

    monkeypatch.setattr(configuration.checks, "run_checks", checked)

    assert [said.zh for _, said, _ in found(configuration.Settings())] == ["hospital.E001 甲"]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("DATABASE_URL", "canary"),
        ("DATABASE_POOL", "canary"),
        ("CAMPUSES", "canary"),
        ("ADMIN_NETWORKS", "canary"),
        ("AUDIT_MAC_KEY", "canary"),
        ("SECRET_KEY_FILE", "/nowhere/canary"),
    ],
)
def test_a_variable_that_keeps_the_program_from_beginning_is_named(
    tmp_path, capfd, variable, value
):
    env = environment(str(tmp_path)) | {variable: value}
    subprocess.run(
        [sys.executable, "-W", "ignore", "manage.py", "doctor", "--lang", "en"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **env},
        timeout=300,
    )

    said, errors = capfd.readouterr()
    assert variable.removesuffix("_FILE") in said
    assert "remedy: " in said
    assert said.isascii()
    assert "canary" not in said
    assert errors == ""


def test_no_secret_is_printed_whatever_is_broken(tmp_path):
    keys = tmp_path / "merchant"
    keys.mkdir()
    env = environment(str(tmp_path)) | CANARIES | {"MERCHANT_KEYS_DIR": str(keys)}
    ran = subprocess.run(
        [sys.executable, "manage.py", "doctor"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **env},
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert ran.returncode == 2, ran.stderr
    assert "数据库" in ran.stdout
    assert "canary" not in ran.stdout + ran.stderr
    assert env["AUDIT_MAC_KEY"] not in ran.stdout + ran.stderr
    assert "Traceback" not in ran.stdout + ran.stderr
