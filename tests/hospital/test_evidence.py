"""A control's state is looked up: each is seen met, and seen not met. The pack tells of nobody."""

import csv
import io
import json
import re
import zipfile
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from faceauth.models import Consent
from hospital import retention, terms
from hospital.audit.models import Event
from hospital.audit.recording import SYSTEM
from hospital.compliance import collecting, matrix
from hospital.compliance.duties import DUTIES
from hospital.compliance.evidence import data, numbers, pages, sbom
from hospital.compliance.evidence import trail as trail_state
from hospital.compliance.looks import people, running, sealing
from hospital.compliance.seen import State
from hospital.inventory import HIS
from hospital.patients.models import HandOff, WechatAccount
from hospital.privacy.models import (
    Assessment,
    Incident,
    Notification,
    RetentionRule,
    RetentionRun,
    RightsRequest,
)
from hospital.roles import May
from tests.access import world as houses
from tests.hospital.notarised import House, tamper
from tests.hospital.test_correcting import onboard

ROOT = Path(__file__).resolve().parents[2]
NOW = timezone.now


def found(name, at=None):
    [row] = [one for one in matrix.ROWS if one.name == name]
    return row.look(at or NOW())


def is_met(name, at=None):
    return found(name, at).state is State.MET


@pytest.fixture(autouse=True)
def nothing_remembered():
    retention.forget()
    yield
    retention.forget()


# What the matrix sees


def test_an_empty_installation_meets_little_and_says_what_is_missing(db):
    assert not is_met("五个角色到位")
    assert "系统管理员" in found("五个角色到位").detail
    assert not is_met("不刷脸也能办")
    assert not is_met("微信接入")
    assert not is_met("上线检查")


def test_five_people_in_five_roles_are_seen(lin, mei, zhou, chen, gu):
    assert is_met("五个角色到位")


def test_a_stopped_account_fills_no_role(lin, mei, zhou, chen, gu):
    gu.is_active = False
    gu.save()

    assert "个保负责人" in found("五个角色到位").detail


def test_two_administrators_who_share_a_right_are_not_apart(monkeypatch):
    assert people.separation(NOW()).state is State.MET

    shared = people.GRANTS | {people.Role.AUDITOR: frozenset({May.SET_POLICY})}
    monkeypatch.setattr(people, "GRANTS", shared)

    assert people.separation(NOW()).state is State.UNMET


def test_an_account_that_nobody_uses_is_seen(lin):
    assert is_met("停用多余和过期账户")

    assert not is_met("停用多余和过期账户", at=NOW() + timedelta(days=92))


def test_a_shared_account_is_seen(lin):
    assert is_met("没有默认账户")

    lin.username = "admin"
    lin.save()

    assert not is_met("没有默认账户")


def test_a_notice_in_force_names_the_other_way_in(notice):
    assert is_met("不刷脸也能办")


def test_whom_to_turn_to_has_to_be_said(notice, settings):
    assert not is_met("告知处理规则")

    settings.PRIVACY_CONTACT = "电话 0000"

    assert is_met("告知处理规则")


def test_a_simulator_is_not_wechat(merchant):
    assert not is_met("微信接入")
    assert "模拟微信" in found("微信接入").detail


def test_what_a_signing_service_sees_is_declared_and_not_denied(merchant):
    assert found("实名信息不经过服务商").state is State.MET

    merchant.mode = "partner"
    merchant.save()
    assert found("实名信息不经过服务商").state is State.UNMET

    merchant.signer_url = "https://signer.invalid"
    merchant.save()
    assert found("实名信息不经过服务商").state is State.DUTY


def test_a_visit_stands_on_a_consent_and_leaves_nothing_behind(authorized):
    authorized.end(authorized.State.FAILED, at=NOW(), reason="x")

    assert is_met("先同意后刷脸")
    assert is_met("用毕即删")


def test_a_session_without_its_consent_is_found(authorized):
    type(authorized.consent).objects.update(granted=False)

    assert not is_met("先同意后刷脸")


def test_a_sweep_that_stands_still_is_seen(db):
    assert not is_met("到期清理")

    now = NOW()
    done = {"started_at": now, "finished_at": now, "state": RetentionRun.State.DONE}
    RetentionRun.objects.create(**done)

    assert is_met("到期清理")
    assert not is_met("到期清理", at=now + timedelta(hours=4))


def test_a_term_beyond_its_lines_is_seen(db):
    RetentionRule.objects.create(category="trail", value=1, proposal=uuid7(), changed_at=NOW())

    assert "trail" in found("到期清理").detail


def test_a_request_nobody_answered_in_time_is_seen(chen):
    assert is_met("权利请求按期答复")

    RightsRequest.objects.create(
        kind="access", patient=uuid7(), campus="main", applicant="self", opened_by=chen.pk,
        opened_at=NOW(), due_on=timezone.localdate() - timedelta(days=1),
    )  # fmt: skip

    assert not is_met("权利请求按期答复")


def test_an_assessment_in_force_is_seen_until_its_review_day(db):
    assert not is_met("事前影响评估")

    Assessment.objects.create(
        reference="PIA-1", digest="0" * 64, notice_version=1, purposes=[], approved_at=NOW(),
        review_on=timezone.localdate(),
    )  # fmt: skip

    assert is_met("事前影响评估")
    assert not is_met("事前影响评估", at=NOW() + timedelta(days=2))


def incident(gu, *, is_drill):
    return Incident.objects.create(
        number=f"IR-{is_drill}", kind="leak", is_drill=is_drill, summary="…", found_at=NOW(),
        opened_by=gu.pk, opened_at=NOW(),
    )  # fmt: skip


def test_a_report_that_is_late_and_a_year_without_a_drill_are_seen(gu):
    assert "演练" in found("安全事件报告和演练").detail
    incident(gu, is_drill=True)
    assert is_met("安全事件报告和演练")

    real = incident(gu, is_drill=False)
    Notification.objects.create(incident=real, recipient="police", due_at=NOW())

    assert "1 项" in found("安全事件报告和演练", at=NOW() + timedelta(minutes=1)).detail


def test_whom_nobody_told_in_a_drill_is_late_in_no_statistics(gu):
    drill = incident(gu, is_drill=True)
    Notification.objects.create(incident=drill, recipient="police", due_at=NOW())

    assert is_met("安全事件报告和演练", at=NOW() + timedelta(minutes=1))
    told = json.loads(numbers.counts(NOW()).content)
    assert (told["安全事件"], told["未报告的通知"], told["演练"]) == ([], 0, 1)


def test_what_was_handed_on_without_a_record_is_seen_as_long_as_records_are_kept(db):
    patient = onboard()
    HandOff.objects.create(patient=patient, state="done", created_at=NOW(), acknowledged_at=NOW())

    assert not is_met("对外提供有记录")

    HandOff.objects.update(acknowledged_at=NOW() - timedelta(days=4 * 366))
    assert is_met("对外提供有记录")  # its record was swept


def test_a_wechat_account_that_outlives_its_consent_is_seen(authorized):
    patient = onboard()
    WechatAccount.objects.link(patient, appid="wx1", openid="o1", at=NOW())
    Consent.objects.update(patient=patient.pk)
    assert is_met("撤回和删除按期完成")

    Consent.objects.update(withdrawn_at=NOW())

    assert "1 个" in found("撤回和删除按期完成").detail
    assert not is_met("撤回和删除按期完成")

    again = Consent.objects.get()
    again.pk, again.withdrawn_at = uuid7(), None  # of another visit: it stands
    again.save(force_insert=True)

    assert is_met("撤回和删除按期完成")


def test_what_names_a_patient_and_is_not_sealed_is_seen(monkeypatch):
    assert sealing.sealed(NOW()).state is State.MET

    [named] = [one for one in sealing.INVENTORY if one.field == "patients.patient.real_name"]
    plain = replace(named, field="patients.patient.number")
    monkeypatch.setattr(sealing, "INVENTORY", (*sealing.INVENTORY, plain))

    assert sealing.sealed(NOW()).detail == "没有封存：patients.patient.number"


def test_a_page_that_asks_for_no_second_factor_is_seen(settings):
    assert people.second_factor(NOW()).state is State.MET

    settings.MIDDLEWARE = []

    assert people.second_factor(NOW()).state is State.UNMET


def test_what_else_a_merchant_may_ask_wechat_is_for_the_hospital_to_see(merchant):
    assert found("只查询必需的信息").state is State.DUTY


def test_the_conditions_name_the_hospitals_own_system_only_where_there_is_one(db, settings):
    assert "HIS" not in pages.conditions(NOW()).content.decode()
    assert HIS not in data.inventory().content.decode()

    settings.HIS_FHIR_URL = "https://his.invalid/fhir"

    assert "HIS 得到" in pages.conditions(NOW()).content.decode()
    assert HIS in data.inventory().content.decode()


def test_a_key_in_a_file_is_not_said_to_be_certified(db, settings):
    assert sealing.root_key(NOW()).state is State.UNMET

    settings.KEY_PROVIDER = "pkcs11"

    assert sealing.root_key(NOW()).state is State.DUTY


def test_tools_on_a_server_are_seen():
    assert running.least_installed(NOW()).state is State.UNMET  # pytest is here


@pytest.mark.parametrize(
    ("name", "setting", "values"),
    [
        ("远程管理加密", "HTTPS_ONLY", (True, False)),
        ("限制管理终端地址", "ADMIN_NETWORKS", (["10.20.0.0/16"], [])),
        ("集中监测", "METRICS_TOKEN", ("x" * 32, "")),
        ("留痕保存不少于六个月", "TRAIL_KEEP_MONTHS", (36, 5)),
        ("输入有效性检验", "DATA_UPLOAD_MAX_MEMORY_SIZE", (65536, 65537)),
    ],
)
def test_a_setting_is_seen_as_it_is(db, settings, name, setting, values):
    met, unmet = values
    settings.SESSION_COOKIE_SECURE, settings.SECURE_HSTS_SECONDS = True, 31_536_000
    setattr(settings, setting, met)
    assert is_met(name)

    setattr(settings, setting, unmet)
    assert not is_met(name)


@pytest.fixture
def sealed(db, tmp_path, settings):
    """A trail that is sealed and signed by a key we know."""
    house = House(tmp_path, now=NOW())
    house.seal(2)
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]
    return house


def test_the_trail_is_told_to_be_kept_as_long_as_it_is(db, settings):
    settings.TRAIL_KEEP_MONTHS = 60

    assert "60 个月" in found("留痕保存不少于六个月").detail
    assert json.loads(trail_state.made(NOW()).content)["保存月数"] == 60
    assert terms.period("trail") == "5 年"

    settings.TRAIL_KEEP_MONTHS = 6

    assert terms.period("trail") == "3 年"  # the rule's


def test_a_trail_that_is_sealed_and_signed_is_seen(sealed):
    assert is_met("留痕逐行校验")


@pytest.mark.parametrize(
    "change",
    ["payload = replace(payload, 'session.expire', 'session.failed')", "mac = payload"],
    ids=["the line", "its code"],
)
def test_an_altered_trail_is_found(sealed, change):
    tamper(f"UPDATE audit_event SET {change}")  # noqa: S608

    assert not is_met("留痕逐行校验")
    assert "异常 0 处" not in found("留痕逐行校验").detail


def test_a_trail_that_nobody_signs_is_not_protected(sealed, settings):
    settings.TRAIL_VERIFIERS = []
    assert not is_met("留痕逐行校验")

    settings.TRAIL_VERIFIERS = ["x"]
    assert not is_met("留痕逐行校验")
    assert not is_met("留痕夜间核验")


def test_a_trail_that_is_not_sealed_is_not_protected(notice):
    assert not is_met("留痕逐行校验")


def test_what_shows_a_control_is_there():
    named = {path for row in matrix.ROWS for path in re.findall(r"tests/[\w/]+\.py", row.shown_by)}

    assert named
    assert sorted(path for path in named if not (ROOT / path).is_file()) == []


def test_what_a_row_points_to_is_in_the_pack(db):
    names = {one.name for one in collecting.gather(at=NOW(), thorough=False).files}

    assert {row.artefact for row in matrix.ROWS} <= {*names, collecting.MANIFEST, ""}


def test_no_duty_of_a_deployment_counts_as_met(db):
    duties = [one for one in matrix.findings(at=NOW()) if one.row.name in {d.what for d in DUTIES}]

    assert len(duties) == len(DUTIES)
    assert {one.state for one in duties} == {State.DUTY}


# The pack


@pytest.fixture(scope="module")
def stranger_words():
    return [*houses.STRANGERS, *houses.STRANGE_DOCUMENTS, *houses.STRANGE_NUMBERS]


def test_the_pack_names_no_patient(db, stranger_words):
    houses.build()

    pack = collecting.gather(at=NOW(), thorough=True)

    for one in pack.files:
        said = one.content.decode()
        assert [word for word in stranger_words if word in said] == [], one.name


def test_the_pack_says_work_ids_and_no_names(lin):
    lin.display_name = "林工程师"
    lin.save()

    said = {
        one.name: one.content.decode() for one in collecting.gather(at=NOW(), thorough=False).files
    }

    assert "lin" in said["accounts.csv"]
    assert [name for name, content in said.items() if "林工程师" in content] == []


def test_collected_twice_it_is_the_same_but_for_the_time(sealed, authorized, lin, chen):
    sealed.seal(0)
    now = NOW()  # and no later: nothing waits too long for the notary
    one = collecting.collect(by=SYSTEM, at=now, thorough=True)
    sealed.seal(0)  # that it was collected
    other = collecting.collect(by=SYSTEM, at=now + timedelta(seconds=1), thorough=True)

    assert {f.name: f.content for f in one.files} == {f.name: f.content for f in other.files}
    first, second = json.loads(one.manifest), json.loads(other.manifest)
    assert first.pop("collected_at") != second.pop("collected_at")
    assert first.pop("trail")["signed"] + 1 == second.pop("trail")["signed"]
    assert first == second
    assert one.zipped() == one.zipped()


def test_the_manifest_has_the_digest_of_every_file(db):
    pack = collecting.gather(at=NOW(), thorough=False)
    zipped = zipfile.ZipFile(io.BytesIO(pack.zipped()))

    told = json.loads(zipped.read(f"{pack.name}/manifest.json"))

    assert len(zipped.namelist()) == len(told["files"]) + 1
    for one in told["files"]:
        content = zipped.read(f"{pack.name}/{one['name']}")
        digests = collecting.Digests()
        digests.update(content)
        assert (one["sha256"], one["sm3"]) == digests.hex()
        assert one["size"] == len(content)


def test_a_table_is_read_as_a_table(lin):
    pack = collecting.gather(at=NOW(), thorough=False)
    content = next(one.content for one in pack.files if one.name == "accounts.csv")

    head, *rows = csv.reader(io.StringIO(content.decode("utf-8-sig")))

    assert head[0] == "工号"
    assert [row[0] for row in rows] == ["lin"]
    assert {len(row) for row in rows} == {len(head)}


def test_the_list_of_parts_is_cyclonedx_and_has_the_pinned_hashes():
    told = json.loads(sbom.made().content)

    assert (told["bomFormat"], told["specVersion"]) == ("CycloneDX", "1.6")
    django = next(one for one in told["components"] if one["name"] == "django")
    assert django["purl"] == f"pkg:pypi/django@{django['version']}"
    [source] = django["externalReferences"]
    assert all(len(one["content"]) == 64 for one in source["hashes"])


def test_the_list_of_parts_keeps_to_the_published_schema():
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing")
    import cyclonedx  # noqa: PLC0415

    where = Path(cyclonedx.__file__).parent / "schema" / "_res"
    read = {
        name: json.loads((where / f"{name}.SNAPSHOT.schema.json").read_text())
        for name in ("bom-1.6", "spdx", "jsf-0.82")
    }
    registry = referencing.Registry().with_resources(
        (one["$id"], referencing.Resource.from_contents(one)) for one in read.values()
    )
    validator = jsonschema.Draft7Validator(read["bom-1.6"], registry=registry)

    assert [one.message for one in validator.iter_errors(json.loads(sbom.made().content))] == []


def attached(name, **reports):
    files = collecting.gather(at=NOW(), thorough=False, **reports).files
    return json.loads(next(one.content for one in files if one.name == name))


def test_a_report_that_nobody_handed_over_is_not_invented(db):
    assert attached("dependency-audit.json") == {"状态": "未提供"}
    assert attached("assessment-tests.json") == {"状态": "未提供"}


def test_a_report_that_was_handed_over_is_summed_up(db, tmp_path):
    audit, tests = tmp_path / "audit.json", tmp_path / "tests.xml"
    vulns = [{"id": "CVE-1", "description": "…"}]
    parts = [
        {"name": "a", "version": "1", "vulns": vulns},
        {"name": "b", "version": "2", "vulns": []},
    ]
    audit.write_text(json.dumps({"dependencies": parts}))
    tests.write_text(
        '<testsuites><testsuite name="pytest">'
        '<testcase classname="tests.a" name="x"/>'
        '<testcase classname="tests.a" name="y"><failure message="m">t</failure></testcase>'
        "</testsuite></testsuites>"
    )

    told = attached("dependency-audit.json", dependency_audit=audit)
    counted = attached("assessment-tests.json", tests=tests)

    assert told["检查的组件"] == 2
    assert told["有漏洞的组件"] == [{"name": "a", "version": "1", "ids": ["CVE-1"]}]
    assert counted["合计"] == {"通过": 1, "未通过": 1}


@pytest.mark.parametrize("option", ["--dependency-audit", "--tests"])
def test_what_is_no_report_is_refused(db, tmp_path, option):
    broken = tmp_path / "broken"
    broken.write_text("<x")

    with pytest.raises(CommandError, match="报告不能读取"):
        call_command("collectevidence", "--out", str(tmp_path), option, str(broken))
    assert not Event.objects.filter(action="evidence.collect").exists()


# Who asks for it


def test_the_command_says_it_for_people_and_for_machines(notice, capsys):
    call_command("collectevidence")
    said = capsys.readouterr().out
    call_command("collectevidence", "--json")
    read = json.loads(capsys.readouterr().out)

    assert "不刷脸也能办" in said
    assert len(read["findings"]) == len(matrix.ROWS)
    assert Event.objects.filter(action="evidence.collect").count() == 2


def test_the_command_writes_the_pack(db, tmp_path, capsys):
    call_command("collectevidence", "--out", str(tmp_path / "out"))

    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"index.html", "manifest.json", "matrix.csv", "sbom.json", "wechat.html"} <= names
    assert len([name for name in names if re.fullmatch(r"evidence-\d{8}\.zip", name)]) == 1
    assert "证据包" in capsys.readouterr().out


def test_evidence_names_nobody(authorized, lin, capsys):
    lin.display_name = "林工程师"
    lin.save()

    call_command("collectevidence", "--json")

    said = capsys.readouterr().out
    assert not re.search(rf"\b{lin.username}\b", said)
    assert lin.display_name not in said


def at_desk(person, *, fresh=False):
    client = Client()
    client.force_login(person)
    if fresh:
        session = client.session
        session["stepped_up_at"] = NOW().timestamp()
        session.save()
    return client


@pytest.mark.parametrize("who", ["zhou", "gu"])
def test_who_may_see_it_sees_every_row_with_its_reason(request, who):
    person = request.getfixturevalue(who)

    said = at_desk(person).get(reverse("compliance:matrix")).content.decode()

    assert "没有使用中的微信商户" in said
    assert all(row.name in said for row in matrix.ROWS)


@pytest.mark.parametrize("who", ["lin", "mei", "chen"])
def test_the_others_do_not(request, who):
    client = at_desk(request.getfixturevalue(who), fresh=True)

    assert client.get(reverse("compliance:matrix")).status_code == 403
    assert client.post(reverse("compliance:collect")).status_code == 403


def test_the_page_is_narrowed_by_state(zhou, notice):
    page = at_desk(zhou)

    met = page.get(reverse("compliance:matrix") + "?state=met").content.decode()
    duties = page.get(reverse("compliance:matrix") + "?state=duty").content.decode()

    assert "告知书第 3 版生效中" in met
    assert "机房、供电" not in met
    assert "机房、供电" in duties


def test_the_pack_is_handed_out_after_a_second_factor_and_on_record(zhou):
    refused = at_desk(zhou).post(reverse("compliance:collect"))
    assert refused["Location"].startswith(reverse("step-up"))

    answer = at_desk(zhou, fresh=True).post(reverse("compliance:collect"))

    assert zipfile.ZipFile(io.BytesIO(answer.content)).testzip() is None
    assert re.search(r'filename="evidence-\d{8}\.zip"', answer["Content-Disposition"])
    event = Event.objects.get(action="evidence.collect")
    assert event.actor_id == str(zhou.pk)


def test_the_short_address_leads_there(zhou):
    assert at_desk(zhou).get("/compliance")["Location"] == reverse("compliance:matrix")


def test_collecting_is_itself_evidence(db):
    assert not is_met("定期合规审计")

    with transaction.atomic():
        collecting.note([], by=SYSTEM, at=NOW())

    assert is_met("定期合规审计")
    assert not is_met("定期合规审计", at=NOW() + timedelta(days=400))


def test_an_administrator_role_that_sees_patients_is_seen(lin, monkeypatch):
    assert is_met("安全标记")

    seeing = people.GRANTS | {people.Role.SYSTEM: frozenset({May.VIEW_PATIENTS})}
    monkeypatch.setattr(people, "GRANTS", seeing)

    assert people.clearance(NOW()).state is State.UNMET
