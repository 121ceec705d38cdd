"""What others made and somebody handed over: reports of the pipeline. Never invented."""

import json
from collections import Counter
from pathlib import Path
from typing import Final
from xml.parsers.expat import ExpatError

import xmltodict

from hospital.compliance.evidence.files import Artefact, as_json
from hospital.errors import Refusal

MISSING: Final = {"状态": "未提供"}


class Unreadable(Refusal):
    code = "report_unreadable"
    message = "报告不能读取：须为 pip-audit 的 JSON 或 pytest 的 JUnit XML"


def dependency_audit(path: Path | None) -> Artefact:
    """
    :param path: what `pip-audit --format json` wrote
    :raises Unreadable:
    """
    return as_json("dependency-audit.json", "依赖漏洞扫描（pip-audit）", _audit(path))


def assessment_tests(path: Path | None) -> Artefact:
    """
    :param path: what `pytest --junit-xml` wrote
    :raises Unreadable:
    """
    return as_json("assessment-tests.json", "测试报告", _tests(path))


def _audit(path: Path | None) -> object:
    if path is None:
        return MISSING
    try:
        parts = json.loads(path.read_bytes())["dependencies"]
        found = [
            {
                "name": str(one["name"]),
                "version": str(one["version"]),
                "ids": sorted(str(vuln["id"]) for vuln in one["vulns"]),
            }
            for one in parts
            if one.get("vulns")
        ]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable from None
    return {"状态": "已提供", "检查的组件": len(parts), "有漏洞的组件": found}


def _tests(path: Path | None) -> object:
    if path is None:
        return MISSING
    try:
        root = xmltodict.parse(path.read_bytes(), force_list=("testsuite", "testcase"))
        cases = [
            case for suite in root["testsuites"]["testsuite"] for case in suite.get("testcase", ())
        ]
        files = sorted({str(case["@classname"]) for case in cases})
        by_file = {name: Counter[str]() for name in files}
        for case in cases:
            by_file[str(case["@classname"])][_outcome(case)] += 1
    except (OSError, ExpatError, ValueError, KeyError, TypeError, AttributeError):
        raise Unreadable from None
    total = sum(by_file.values(), Counter[str]())
    return {
        "状态": "已提供",
        "合计": dict(total),
        "各文件": {k: dict(v) for k, v in by_file.items()},
    }


def _outcome(case: dict[str, object]) -> str:
    if "failure" in case or "error" in case:
        return "未通过"
    return "跳过" if "skipped" in case else "通过"
