"""The standing of the log, in words."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from hospital.audit import cosigned, guards
from hospital.audit.admin import words
from hospital.audit.exports import Export
from hospital.audit.findings import Finding
from hospital.audit.log import Checkpoint
from hospital.audit.spans import in_words
from hospital.audit.standing import COUNTED, Standing, standing
from hospital.audit.trail import NotConfigured

RECENT = 10  # checkpoints shown


@dataclass(frozen=True)
class Fact:
    """One line of the page: `badge` says how good that is."""

    name: str
    value: str
    badge: str = ""
    verdict: str = ""


def shown(*, at: datetime) -> dict[str, Any]:
    """Return what the page shows."""
    title = {"title": "留痕签名状况"}
    try:
        stands = standing(at)
    except NotConfigured as exc:
        return {**title, "problem": str(exc)}
    return {
        **title,
        "facts": facts(stands),
        "queues": queues(),
        "drift": guards.drift(connection),
        "recent": Checkpoint.objects.order_by("-size")[:RECENT],
        "checkpoint": Checkpoint.objects.order_by("-size").first(),
    }


def facts(stands: Standing) -> list[Fact]:
    """Return how the log stands, the gravest things first."""
    return [
        _lag(stands),
        _signed(stands),
        _witness(stands),
        *(
            Fact(f"最近锚定：{words.SINKS.get(sink, sink)}", f"{in_words(seconds)}前")
            for sink, seconds in sorted(stands.anchored.items())
        ),
        _verified(stands),
    ]


def queues() -> list[Fact]:
    """Return what waits for somebody."""
    unread = Finding.objects.filter(state=Finding.State.OPEN).count()
    waiting = Export.objects.filter(state__in=[Export.State.QUEUED, Export.State.RUNNING]).count()
    badge = ("declined", "待处置") if unread else ("success", "无")
    return [
        Fact("待处置的审计发现", f"{unread:,} 项", *badge),
        Fact("正在生成的导出", f"{waiting:,} 个"),
    ]


def _lag(stands: Standing) -> Fact:
    many = stands.pending > COUNTED
    waiting = f"超过 {COUNTED:,} 条" if many else f"{stands.pending:,} 条"
    value = f"{waiting}等待封存，最早一条已等待 {in_words(stands.lag_seconds)}"
    if not stands.lag_seconds and not stands.pending:
        value = "没有等待的留痕"
    badge = ("failed", "停滞") if stands.is_late else ("success", "正常")
    return Fact("留痕签名", value, *badge)


def _signed(stands: Standing) -> Fact:
    if stands.signed_seconds is None:
        return Fact("最近检查点", "还没有检查点", "expired", "未开始")
    return Fact("最近检查点", f"{stands.size:,} 条，{in_words(stands.signed_seconds)}前签名")


def _witness(stands: Standing) -> Fact:
    if not stands.has_witness:
        return Fact("见证", "没有设置见证方", "expired", "未设置")
    value = f"见证到 {stands.witnessed:,} 条"
    if stands.unwitnessed_seconds:
        value += f"，其后的检查点已等待 {in_words(stands.unwitnessed_seconds)}"
    is_away = stands.unwitnessed_seconds > cosigned.UNWITNESSED.total_seconds()
    return Fact("见证", value, *(("failed", "中断") if is_away else ("success", "正常")))


def _verified(stands: Standing) -> Fact:
    last = stands.verified
    if last is None:
        late = ("failed", "逾期") if stands.is_unverified else ("expired", "未核验")
        return Fact("最近核验", "还没有核验过", *late)
    how = f"{'从头' if last.is_full else '增量'}，{'有' if last.is_anchored else '没有'}外部锚点"
    value = f"{timezone.localtime(last.at):%Y-%m-%d %H:%M}，{how}"
    if not last.is_intact:
        return Fact("最近核验", f"{value}，发现 {last.findings:,} 处异常", "failed", "有异常")
    if stands.is_unverified:
        return Fact("最近核验", value, "failed", "逾期")
    return Fact("最近核验", value, "success", "完好")
