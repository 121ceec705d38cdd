"""People's data: 个人信息保护法, 网络数据安全管理条例, 人脸识别技术应用安全管理办法."""

from datetime import datetime, timedelta
from typing import Final

from django.conf import settings
from django.contrib import admin
from django.db.models import Exists, OuterRef
from django.utils import timezone

from devices.models import Store
from faceauth.models import Consent, FaceSession, Notice
from hospital import retention
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.times import moment
from hospital.compliance import checks
from hospital.compliance.seen import Seen, all_of, duty, met, met_if, unmet
from hospital.inventory import INVENTORY
from hospital.patients.models import HandOff, Patient, WechatAccount, WechatUnion
from hospital.privacy import assessing, scale
from hospital.privacy.incidents import notifying
from hospital.privacy.models import (
    Disclosure,
    Erasure,
    Incident,
    LegalHold,
    RetentionRun,
    RightsRequest,
)

_DAY: Final = timedelta(days=1)
_SWEPT: Final = timedelta(hours=3)  # hourly, and some time to finish
_YEAR: Final = timedelta(days=366)


def inventory(_at: datetime) -> Seen:
    amiss = [
        *checks.inventory_is_whole(),
        *checks.inventory_is_of_what_is_there(),
        *checks.terms_are_known_and_used(),
    ]
    detail = "；".join(one.msg for one in amiss[:5])
    return met_if(not amiss, detail or f"个人信息 {len(INVENTORY)} 项逐列登记，未登记的列不能启动")


def no_faces(_at: datetime) -> Seen:
    amiss = checks.no_table_holds_a_face()
    detail = "；".join(one.msg for one in amiss)
    return met_if(
        not amiss, detail or "没有存放图像或特征的列；终端接口只收文字，正文不超过 64 KiB"
    )


def no_export(_at: datetime) -> Seen:
    """Neither a page nor an action of the admin's hands out more than one patient."""
    page = admin.site._registry.get(Patient)  # noqa: SLF001 (what is registered is no secret)
    offered = sorted(str(one) for one in (page.actions or ())) if page else []
    return met_if(
        not offered, "没有导出患者名单的功能" if not offered else f"导出：{'、'.join(offered)}"
    )


def notice(at: datetime) -> Seen:
    found = Notice.objects.in_force(at)
    if found is None:
        return unmet("没有生效的告知书")
    return all_of(
        (
            (bool(settings.PRIVACY_CONTACT), "没有写明联系方式", "设置 PRIVACY_CONTACT"),
            (bool(found.purposes), "没有处理目的", ""),
        ),
        told=f"告知书{found}生效中，摘要 {found.digest[:16]}；处理规则公开在 /privacy",
    )


def another_way(at: datetime) -> Seen:
    found = Notice.objects.in_force(at)
    if found is None:
        return unmet("没有生效的告知书")
    without = Store.objects.filter(fallback="").count()
    detail = f"告知书{found}生效中，写明不刷脸的办理方式；没有写明的门店 {without} 个"
    return met_if(bool(found.fallback) and not without, detail)


def consented(_at: datetime) -> Seen:
    asked = FaceSession.objects.exclude(state=FaceSession.State.REFUSED)
    without = asked.filter(consent__granted=False).count()
    return met_if(not without, f"没有同意记录而进行的刷脸会话 {without} 次")


def children(_at: datetime) -> Seen:
    left = FaceSession.objects.filter(
        state=FaceSession.State.GUARDIAN_REQUIRED, patient__isnull=False
    )
    count = left.count()
    return met_if(not count, f"未满十四周岁、没有监护人同意而留下身份的刷脸会话 {count} 次")


def withdrawal(at: datetime) -> Seen:
    late = Erasure.objects.exclude(state__in=[Erasure.State.DONE, Erasure.State.CANCELLED])
    count = late.filter(due_at__lt=at - _DAY).count()
    linked = _still_linked(WechatAccount) + _still_linked(WechatUnion)
    detail = f"到期超过一天仍未完成的删除 {count} 件，撤回后仍关联的微信账号 {linked} 个"
    return met_if(not count + linked, detail)


def _still_linked(accounts: type[WechatAccount | WechatUnion]) -> int:
    """Count what was linked before its patient took back the last they agreed to, and still is."""
    withdrawn = Consent.objects.filter(
        patient=OuterRef("patient"), withdrawn_at__gt=OuterRef("created_at")
    )
    standing = Consent.objects.filter(patient=OuterRef("patient"), granted=True, withdrawn_at=None)
    return accounts.objects.filter(Exists(withdrawn)).exclude(Exists(standing)).count()


def held(at: datetime) -> Seen:
    standing = LegalHold.objects.filter(lifted_at=None, until__gte=timezone.localdate(at))
    begun = Erasure.objects.exclude(state__in=[Erasure.State.COOLING, Erasure.State.CANCELLED])
    erased = begun.filter(subject__in=standing.values("patient")).count()
    return met_if(not erased, f"依法保全中 {standing.count()} 人，其中仍被删除的 {erased} 人")


def swept(at: datetime) -> Seen:
    forced = retention.forced()
    if forced:
        return unmet(f"保存期限在数据库中越过底线：{'、'.join(sorted(forced))}")
    last = RetentionRun.objects.filter(
        is_dry=False, state=RetentionRun.State.DONE, scope=RetentionRun.Scope.ALL
    ).first()
    if last is None or last.finished_at is None:
        return unmet("还没有完成过到期清理")
    when = f"{timezone.localtime(last.finished_at):%Y-%m-%d %H:%M}"
    return met_if(last.finished_at > at - _SWEPT, f"最近一次到期清理 {when}")


def rights(at: datetime) -> Seen:
    waiting = RightsRequest.objects.filter(
        state__in=[RightsRequest.State.OPEN, RightsRequest.State.VERIFIED]
    )
    late = waiting.filter(due_on__lt=timezone.localdate(at)).count()
    return met_if(not late, f"待答复的权利请求 {waiting.count()} 件，其中逾期 {late} 件")


def many_people(at: datetime) -> Seen:
    counted = scale.standing(at)
    if counted.is_stale:
        return unmet("没有统计处理的人数：检查定期任务")
    demands = [mark.demand for mark in counted.reached]
    return duty("；".join(demands)) if demands else met(f"处理 {counted.count} 人，未达门槛")


def assessed(at: datetime) -> Seen:
    found = assessing.in_force(at=at)
    if found is None:
        return unmet("没有有效的个人信息保护影响评估：终端不能刷脸")
    return met(f"评估报告 {found.reference}，复评日期 {found.review_on:%Y-%m-%d}")


def incidents(at: datetime) -> Seen:
    late = notifying.overdue(at=at).filter(incident__is_drill=False).count()
    drilled = Incident.objects.filter(is_drill=True, found_at__gt=at - _YEAR).exists()
    return all_of(
        (
            (not late, f"逾期未报告的通知 {late} 项", "在“安全事件”中办理"),
            (drilled, "一年内没有演练记录", "登记一次演练"),
        ),
        told="没有逾期的报告，一年内有演练",
    )


def disclosed(at: datetime) -> Seen:
    """Of what is recent enough that its record has not gone yet; the HIS may know all of it."""
    since = retention.cutoff("disclosure", at)
    done = HandOff.objects.filter(state=HandOff.State.DONE, acknowledged_at__gte=since)
    noted = Disclosure.objects.filter(
        recipient=Disclosure.Recipient.HIS, subject=OuterRef("patient")
    )
    without = done.exclude(Exists(noted)).count()
    detail = f"保存期限内 HIS 已确认 {done.count()} 次，其中没有对外提供记录 {without} 次"
    return met_if(not without, detail)


def collected(at: datetime) -> Seen:
    made = Event.objects.filter(action=Action.EVIDENCE_COLLECT.value.tag)
    last = made.order_by("-at_us").values_list("at_us", flat=True).first()
    if last is None:
        return unmet("还没有收集过合规证据")
    return met_if(
        moment(last) > at - _YEAR, f"最近一次收集 {timezone.localtime(moment(last)):%Y-%m-%d}"
    )
