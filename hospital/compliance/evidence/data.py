"""What is held, why and how long: the inventory and the schedule in force."""

from hospital import terms
from hospital.compliance.evidence.files import Artefact, as_csv, minute
from hospital.compliance.privacy import recipients_of
from hospital.inventory import INVENTORY
from hospital.privacy.models import RetentionRule, RetentionRun

_RUNS = 100  # the newest
_INVENTORY = (
    "字段", "谁的", "信息", "目的", "合法性基础", "安全标记", "保存期限类别", "保存期限", "接收方",
)  # fmt: skip
_SCHEDULE = ("类别", "名称", "当前期限", "默认", "允许范围", "起算", "到期", "依据", "由谁设置")


def inventory() -> Artefact:
    rows = [
        (
            one.field,
            one.whose,
            one.kind,
            one.purpose,
            one.basis,
            one.label.label,
            "、".join(one.terms),
            "；".join(terms.sentence(key) for key in one.terms),
            "、".join(recipients_of(one)),
        )
        for one in INVENTORY
    ]
    return as_csv("inventory.csv", "个人信息清单", _INVENTORY, rows)


def schedule() -> Artefact:
    decided = set(RetentionRule.objects.values_list("category", flat=True))
    rows = [
        (
            one.category.key,
            one.category.label,
            one.period,
            terms.in_words(one.category.default, one.category.unit),
            one.category.line,
            one.category.trigger,
            one.category.outcome,
            one.category.basis,
            "两人批准" if one.category.key in decided else "默认",
        )
        for one in terms.schedule()
    ]
    return as_csv("retention.csv", "保存期限表", _SCHEDULE, rows)


def runs() -> Artefact:
    rows = [
        (minute(run.started_at), minute(run.finished_at), run.get_state_display(),
         "试运行" if run.is_dry else "", category, *_counted(counts))
        for run in RetentionRun.objects.all()[:_RUNS]
        for category, counts in sorted(run.counts.items())
    ]  # fmt: skip
    head = ("开始", "结束", "状态", "试运行", "类别", "到期", "已清理", "保全中")
    return as_csv("retention-runs.csv", f"最近 {_RUNS} 次到期清理", head, rows)


def _counted(counts: object) -> tuple[object, object, object]:
    told = counts if isinstance(counts, dict) else {}
    return told.get("due", ""), told.get("gone", ""), told.get("held", "")
