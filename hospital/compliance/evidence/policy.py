"""参数快照: every number of the security policy, its line, and who set it."""

from hospital import policy
from hospital.accounts.models import PolicyChoice
from hospital.compliance.evidence.files import Artefact, as_csv
from hospital.parameters import PARAMETERS, Parameter

_HEAD = ("参数", "含义", "当前值", "单位", "默认值", "允许范围", "条款", "由谁设置")


def made() -> Artefact:
    chosen = dict(PolicyChoice.objects.values_list("key", "value"))
    rows = [_row(one, chosen) for one in PARAMETERS]
    return as_csv("parameters.csv", "安全策略参数快照", _HEAD, rows)


def _row(one: Parameter, chosen: dict[str, int]) -> tuple[object, ...]:
    value = policy.value(one.key)
    if chosen.get(one.key) == value:
        source = "安全管理员"
    else:
        source = "默认" if value == one.default else "部署时的环境变量"
    return (one.key, one.label, value, one.unit, one.default, one.line, one.clause, source)
