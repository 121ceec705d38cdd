"""The trail: GB/T 22239-2019 8.1.4.3, 8.1.5.4 d; 网络安全法 第二十三条."""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.db import connection
from django.utils import timezone

from hospital import checks, retention
from hospital.audit import alarms, coverage, guards, standing, trail, verification
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.sent import Forwarded
from hospital.audit.stated import said
from hospital.compliance.seen import Seen, all_of, met, met_if, unmet

_ELEMENTS: Final = ("uid", "t", "action", "outcome", "actor")
_LATE: Final = timedelta(hours=1)  # of what is sent to a log server


def covered(_at: datetime) -> Seen:
    missing = coverage.undeclared()
    tables = len(list(coverage.covered()))
    detail = f"{tables} 张表的改动必须有同一事务的留痕，行为 {len(Action)} 种"
    return met_if(not missing, "；".join(f"没有声明：{one}" for one in missing) or detail)


def whole(_at: datetime) -> Seen:
    """Who, what, when and with what result stand in each line: the newest is looked at."""
    newest = Event.objects.order_by("-pk").values_list("payload", flat=True).first()
    if newest is None:
        return unmet("还没有留痕")
    told = said(newest)
    missing = [name for name in _ELEMENTS if name not in told]
    return met_if(not missing, f"每条有 {'、'.join(_ELEMENTS)}；缺 {len(missing)} 项")


def guarded(_at: datetime) -> Seen:
    amiss = guards.drift(connection)
    detail = "；".join(amiss[:5]) or "留痕表只能追加，没有留痕的改动由数据库拒绝或发现；防护完整"
    return met_if(not amiss, detail)


def verified(at: datetime) -> Seen:
    """The last verification, whoever asked for it: to read the whole trail takes its time."""
    try:
        stands = standing.standing(at)
    except trail.NotConfigured as exc:
        return unmet(str(exc))
    last = stands.verified
    if last is None:
        return unmet("还没有核验过：夜间任务或 verifyaudit 没有运行")
    when = f"{timezone.localtime(last.at):%Y-%m-%d %H:%M}"
    if not last.is_intact:
        return unmet(f"{when} 核验发现 {last.findings} 处异常")
    return met_if(not stands.is_unverified, f"最近一次核验 {when}，没有异常")


def line_by_line(at: datetime) -> Seen:
    try:
        verdict = verification.verify(at=at, verifiers=trail.verifiers())
    except trail.NotConfigured as exc:
        return unmet(str(exc))
    told = (
        f"从头逐行校验，异常 {verdict.count} 处；是否截断须用外部锚点核验（verifyaudit --anchor）"
    )
    return met_if(verdict.is_intact and verdict.signed > 0 and not verdict.unsettled, told)


def witnessed(at: datetime) -> Seen:
    try:
        stands = standing.standing(at)
    except trail.NotConfigured as exc:
        return unmet(str(exc))
    kept = stands.has_witness or bool(stands.anchored)
    return all_of(
        (
            (kept, "没有见证方，也没有外部锚点", "设置 WITNESS_URL、ANCHOR_FILE 或 TIMESTAMP_URL"),
            (not stands.is_late, "留痕封存停滞", "检查 runnotary"),
        ),
        told=f"检查点另有副本：{'、'.join(sorted(stands.anchored)) or '见证方'}",
    )


def kept(_at: datetime) -> Seen:
    is_lawful = settings.TRAIL_KEEP_MONTHS >= checks.MINIMUM_MONTHS
    return all_of(
        ((is_lawful, "部署设置低于六个日历月", "改正 TRAIL_KEEP_MONTHS"),),
        told=f"留痕保存 {retention.trail_months()} 个月，不低于六个日历月",
    )


def forwarded(at: datetime) -> Seen:
    if not settings.FORWARD_ADDRESS:
        return unmet("没有外发留痕：设置 FORWARD_ADDRESS，运行 runforwarder")
    rows = list(Forwarded.objects.all())
    behind = [one.sink for one in rows if one.sent > one.acknowledged and one.at < at - _LATE]
    if not rows:
        return unmet("设置了 FORWARD_ADDRESS，但还没有发送过：运行 runforwarder")
    told = "、".join(one.sink for one in rows)
    if behind:
        return unmet(f"{'、'.join(behind)} 超过一小时没有确认收到：检查接收方和 runforwarder")
    return met(f"留痕外发到 {told}，收到都有确认")


def alarmed(_at: datetime) -> Seen:
    scheduled = "watch-the-trail" in settings.CELERY_BEAT_SCHEDULE
    return met_if(scheduled, f"告警规则 {len(alarms.RULES)} 条，每分钟检查")
