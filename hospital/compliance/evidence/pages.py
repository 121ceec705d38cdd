"""What is read with a browser: the index, WeChat's conditions, the rules patients read."""

from collections.abc import Sequence
from datetime import datetime

from django.conf import settings
from django.template.loader import render_to_string

from hospital.compliance.evidence.files import Artefact, as_csv
from hospital.compliance.looks import wechat
from hospital.compliance.matrix import Finding, counts
from hospital.compliance.privacy import statement
from hospital.compliance.seen import State


def matrix(found: Sequence[Finding]) -> Artefact:
    head = ("条款", "控制编号", "控制", "状态", "说明", "由什么证明", "证据文件")
    rows = [
        (one.row.clause, one.row.controls, one.row.name, one.state.label, one.detail,
         one.row.shown_by, one.row.artefact)
        for one in found
    ]  # fmt: skip
    return as_csv("matrix.csv", "条款、控制和状态", head, rows)


def index(found: Sequence[Finding], files: Sequence[Artefact]) -> Artefact:
    numbers = [(state.label, count) for state, count in counts(list(found)).items()]
    context = {
        "found": found,
        "files": files,
        "numbers": numbers,
        "hospital": settings.HOSPITAL_NAME,
        "level": settings.DEPLOY_LEVEL,
    }
    return _page("index.html", "合规证据", "compliance/evidence.html", context)


def conditions(at: datetime) -> Artefact:
    """微信接入条件: the data path as configured, and what remains to be declared."""
    looks = (
        wechat.official,
        wechat.data_path,
        wechat.keys_of_worker,
        wechat.signed,
        wechat.certificate,
        wechat.minimal,
    )
    context = {
        "merchant": wechat.merchant(),
        "egress": wechat.egress(),
        "has_his": bool(settings.HIS_FHIR_URL),
        "seen": [look(at) for look in looks],
        "unmet": State.UNMET,
        "hospital": settings.HOSPITAL_NAME,
    }
    return _page("wechat.html", "微信刷脸实名认证接入条件", "compliance/wechat.html", context)


def privacy() -> Artefact:
    context = {"told": statement(), "is_file": True}  # nobody serves its stylesheet
    return _page("privacy.html", "个人信息处理规则", "compliance/privacy.html", context)


def _page(name: str, title: str, template: str, context: dict[str, object]) -> Artefact:
    return Artefact(name, title, render_to_string(template, context).encode())
