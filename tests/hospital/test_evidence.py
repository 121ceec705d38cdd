"""A control's state is looked up: each is seen met, and seen not met."""

import json

import pytest
from django.core.management import call_command
from django.utils import timezone

from hospital.audit.models import Event
from hospital.compliance import controls
from tests.hospital.notarised import House, tamper


def state(name):
    [found] = [one for one in controls.findings(at=timezone.now()) if one.control == name]
    return found


def test_an_empty_installation_meets_little_and_says_what_is_missing(db):
    assert not state("五个角色到位").is_met
    assert "系统管理员" in state("五个角色到位").detail
    assert not state("不刷脸也能办").is_met
    assert not state("微信接入").is_met
    assert not state("上线检查").is_met


def test_five_people_in_five_roles_are_seen(lin, mei, zhou, chen, gu):
    assert state("五个角色到位").is_met


def test_a_stopped_account_fills_no_role(lin, mei, zhou, chen, gu):
    gu.is_active = False
    gu.save()

    assert "个保负责人" in state("五个角色到位").detail


def test_a_notice_in_force_names_the_other_way_in(notice):
    assert state("不刷脸也能办").is_met


def test_a_simulator_is_not_wechat(merchant):
    assert not state("微信接入").is_met
    assert "模拟微信" in state("微信接入").detail


def test_a_visit_stands_on_a_consent_and_leaves_nothing_behind(authorized):
    authorized.end(authorized.State.FAILED, at=timezone.now(), reason="x")

    assert state("先同意后刷脸").is_met
    assert state("用毕即删").is_met


def test_a_session_without_its_consent_is_found(authorized):
    type(authorized.consent).objects.update(granted=False)

    assert not state("先同意后刷脸").is_met


@pytest.fixture
def sealed(db, tmp_path, settings):
    """A trail that is sealed and signed by a key we know."""
    house = House(tmp_path, now=timezone.now())
    house.seal(2)
    settings.TRAIL_VERIFIERS = [str(house.signer.verifier)]


def test_a_trail_that_is_sealed_and_signed_is_seen(sealed):
    assert state("留痕逐行校验").is_met


@pytest.mark.parametrize(
    "change",
    ["payload = replace(payload, 'session.expire', 'session.failed')", "mac = payload"],
    ids=["the line", "its code"],
)
def test_an_altered_trail_is_found(sealed, change):
    tamper(f"UPDATE audit_event SET {change}")  # noqa: S608

    assert not state("留痕逐行校验").is_met
    assert "异常 0 处" not in state("留痕逐行校验").detail


def test_a_trail_that_nobody_signs_is_not_protected(sealed, settings):
    settings.TRAIL_VERIFIERS = []
    assert not state("留痕逐行校验").is_met

    settings.TRAIL_VERIFIERS = ["x"]
    assert not state("留痕逐行校验").is_met


def test_a_trail_that_is_not_sealed_is_not_protected(notice):
    assert not state("留痕逐行校验").is_met


def test_the_command_says_it_for_people_and_for_machines(notice, capsys):
    call_command("collectevidence")
    said = capsys.readouterr().out
    call_command("collectevidence", "--json")
    read = json.loads(capsys.readouterr().out)

    assert "不刷脸也能办" in said
    assert len(read["findings"]) == len(controls.CONTROLS)
    assert Event.objects.filter(action="evidence.collect").count() == 2


def test_evidence_names_nobody(authorized, lin, capsys):
    call_command("collectevidence", "--json")

    said = capsys.readouterr().out
    assert lin.username not in said
    assert lin.display_name not in said
