"""
影响评估: without one in force nobody is asked for their face (个人信息保护法 第五十五条).

It carries the purposes it was made on and no others: a notice that asks for more, or for the same
in other words, has to be assessed anew first (人脸识别技术应用安全管理办法 第九条).
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Any, Final

from django.db import models, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.categories import months_before
from hospital.errors import Refusal
from hospital.privacy.models import Assessment

LONGEST: Final = 12  # months until it is to be looked at again
AHEAD: Final = timedelta(days=30)  # before its review day it is said

# What a notice says of its purposes: `code` and `label` of each, and more.
Purposes = Iterable[Mapping[str, Any]]


class NotAssessed(Refusal):
    code = "not_assessed"
    message = "个人信息保护影响评估未通过或已到期，暂不能刷脸，请到人工窗口办理"


class AlreadyRegistered(Refusal):
    code = "assessment_registered"
    message = "该文号的影响评估已经登记过"


class ReviewTooFar(Refusal):
    code = "assessment_review_too_far"
    message = "复评日期不能晚于十二个月之后"


class ReviewPast(Refusal):
    code = "assessment_review_past"
    message = "复评日期已经过去"


class AlreadyEnded(Refusal):
    code = "assessment_ended"
    message = "该影响评估已经失效"


def in_force(*, at: datetime) -> Assessment | None:
    """Return the assessment that is believed at `at`; its review day is its last."""
    standing = Assessment.objects.filter(Q(ended_at=None) | Q(ended_at__gt=at))
    today = timezone.localdate(at)
    return standing.filter(approved_at__lte=at, review_on__gte=today).order_by("-id").first()


def demand_assessed(purposes: Purposes, *, at: datetime) -> None:
    """:raises NotAssessed: real names are not asked for, for these purposes"""
    standing = in_force(at=at)
    if standing is None or not carries(standing, purposes):
        raise NotAssessed


def carries(assessment: Assessment, purposes: Purposes) -> bool:
    """Whether it was made on all of these purposes, as they are worded."""
    assessed = _worded(assessment.purposes)
    return all(one in assessed for one in _worded(purposes))


def approve(
    reference: str,
    *,
    digest: str,
    notice_version: int,
    purposes: Purposes,
    review_on: date,
    by: HasActor | Actor,
    at: datetime,
) -> Assessment:
    """
    Register that an assessment was approved; the one before it ends with that.

    :param digest: SHA-256 (hex) of the report, which is the hospital's own
    :param purposes: of the notice it was made on
    :raises AlreadyRegistered, ReviewTooFar, ReviewPast:
    """
    today = timezone.localdate(at)
    if review_on < today:
        raise ReviewPast
    if review_on > timezone.localdate(months_before(at, -LONGEST)):
        raise ReviewTooFar
    with transaction.atomic():
        if Assessment.objects.filter(reference=reference).exists():
            raise AlreadyRegistered
        for older in Assessment.objects.select_for_update().filter(ended_at=None):
            _end(older, "replaced", by=by, at=at)
        assessment = Assessment.objects.create(
            reference=reference,
            digest=digest,
            notice_version=notice_version,
            purposes=_worded(purposes),
            review_on=review_on,
            approved_by=by.pk if isinstance(by, models.Model) else None,
            approved_at=at,
        )
        record(
            Action.ASSESSMENT_APPROVE,
            by=by,
            on=assessment,
            at=at,
            digest=digest,
            notice_version=notice_version,
            days=(review_on - today).days,
        )
    return assessment


@transaction.atomic
def end(assessment: Assessment, code: str, *, by: HasActor | Actor, at: datetime) -> None:
    """
    Say that it is believed no longer: nobody is asked for their face until there is another.

    :param code: why; a slug
    :raises AlreadyEnded:
    """
    _end(assessment, code, by=by, at=at)


def end_due(*, at: datetime) -> int:
    """End, once, what was not assessed anew by its review day; return how many that were."""
    due = Assessment.objects.filter(ended_at=None, review_on__lt=timezone.localdate(at))
    for assessment in due:
        end(assessment, "review", by=SYSTEM, at=at)
    return len(due)


def to_review(*, at: datetime) -> QuerySet[Assessment]:
    """Return what is to be assessed anew before long."""
    soon = timezone.localdate(at + AHEAD)
    return Assessment.objects.filter(ended_at=None, review_on__lte=soon)


def _end(assessment: Assessment, code: str, *, by: HasActor | Actor, at: datetime) -> None:
    if not Assessment.objects.filter(pk=assessment.pk, ended_at=None).update(ended_at=at):
        raise AlreadyEnded
    record(Action.ASSESSMENT_END, by=by, on=assessment, at=at, code=code)


def _worded(purposes: Purposes) -> list[dict[str, str]]:
    return [{"code": str(one["code"]), "label": str(one["label"])} for one in purposes]
