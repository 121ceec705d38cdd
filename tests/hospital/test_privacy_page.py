"""What anybody may read of how their data is handled, and that it is what is configured."""

import re

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from uuid6 import uuid7

from hospital import policy, retention, terms
from hospital.accounts.models import PolicyChoice
from hospital.categories import BY_KEY, CATEGORIES, Unit
from hospital.compliance.privacy import statement
from hospital.inventory import INVENTORY, PATIENT
from hospital.notice_text import draft
from hospital.privacy.models import RetentionRule

NOW = timezone.now


@pytest.fixture(autouse=True)
def nothing_remembered():
    retention.forget()
    yield
    retention.forget()


def page():
    answer = Client().get("/privacy")
    assert answer.status_code == 200
    return answer.content.decode()


def test_anybody_reads_it_without_logging_in(db):
    said = page()

    assert reverse("privacy") == "/privacy"
    assert "不刷脸也能就诊" in said
    assert "不接收、不保存面部图像" in said


def test_every_kind_of_a_patients_data_is_told_with_its_purpose_and_basis(db):
    said = page()

    for item in INVENTORY:
        if item.whose == PATIENT:
            assert item.kind in said
            assert item.purpose in said
            assert item.basis in said


def test_the_schedule_is_the_one_in_force(db):
    before = page()
    RetentionRule.objects.create(
        category="wechat_account", value=12, proposal=uuid7(), changed_at=NOW()
    )
    retention.forget()
    after = page()

    assert "自最后一次识别起 2 年" in before
    assert "自最后一次识别起 1 年" in after
    for category in CATEGORIES:
        assert category.label in after


def test_what_is_told_has_a_version_that_changes_with_it(db, settings):
    first = statement().version
    assert statement().version == first
    assert first in page()

    settings.PRIVACY_CONTACT = "门诊楼一楼 3 号窗口"

    assert statement().version != first
    assert "门诊楼一楼 3 号窗口" in page()


def test_in_partner_mode_it_says_who_else_is_in_the_way(merchant):
    assert "服务商" not in page()

    merchant.mode, merchant.signer_url = "partner", "https://signer.invalid"
    merchant.save()

    assert "服务商的签名服务签名" in page()


def test_it_loads_nothing_and_runs_nothing(db):
    said = page()

    assert "<script" not in said
    assert "style=" not in said
    assert re.findall(r'(?:src|href)="(https?:[^"]*)"', said) == []


@pytest.mark.parametrize("method", ["post", "put", "delete"])
def test_it_is_only_read(db, method):
    assert getattr(Client(), method)("/privacy").status_code == 405


def test_the_draft_of_the_notice_says_what_the_law_asks_for(db):
    written = draft(hospital="示范医院", contact="电话 1", period=terms.period, has_his=True)

    for said in ("示范医院", "电话 1", "财付通", "不接收、不保存面部图像", "敏感个人信息", "15 年",
                 "撤回同意", "不影响就诊", "监护人", "24 小时"):  # fmt: skip
        assert said in written.text
    assert any(one["required"] for one in written.purposes)
    assert "人工窗口" in written.fallback


HIS = "医院信息系统（HIS）"


def test_nothing_is_said_to_be_handed_on_where_nothing_is(db, settings):
    before, version = page(), statement().version
    drafted = draft(hospital="示范医院", contact="", period=terms.period, has_his=False)
    assert f"{HIS}：" not in before
    assert {one for kind in statement().kinds for one in kind.recipients if "HIS" in one} == set()
    assert "HIS" not in drafted.text

    settings.HIS_FHIR_URL = "https://his.invalid/fhir"

    assert f"{HIS}：建立就诊档案所需的姓名、证件类型和号码、出生日期、性别" in page()
    assert statement().version != version


def test_how_soon_a_request_is_answered_is_what_the_policy_says(db):
    before = page()
    PolicyChoice.objects.create(key="RIGHTS_WORKING_DAYS", value=10, set_at=NOW())
    policy.forget()

    assert "15 个工作日内" in before
    assert "10 个工作日内" in page()


def test_who_takes_consent_back_is_told_what_stays(db):
    [named] = [one for one in statement().kinds if one.name == "姓名"]

    assert "单独同意" in named.basis
    assert "履行法定义务" in named.basis
    assert "已建的档案依法留存" in page()


def test_whole_years_are_read_as_years():
    assert terms.in_words(180, Unit.MONTHS) == "15 年"
    assert terms.in_words(6, Unit.MONTHS) == "6 个月"
    assert terms.in_words(10, Unit.MINUTES) == "10 分钟"


def test_a_rule_beyond_its_lines_is_not_what_is_told(db):
    RetentionRule.objects.create(category="consent", value=1, proposal=uuid7(), changed_at=NOW())
    retention.forget()

    assert terms.period("consent") == terms.in_words(BY_KEY["consent"].default, Unit.MONTHS)
