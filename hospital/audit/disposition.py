"""What the auditor makes of a finding, once; and of a week's analysis."""

from datetime import datetime

from django.db import models, transaction

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.findings import Finding, Review
from hospital.audit.recording import HasActor, record
from hospital.errors import Refusal


class AlreadySettled(Refusal):
    """Somebody was faster."""

    code = "already_settled"
    message = "这项发现已经处置过"


class AlreadySigned(Refusal):
    """Somebody was faster."""

    code = "already_signed"
    message = "这一周的分析已经审阅过"


def settle(
    finding: Finding, *, state: Finding.State, note: str, by: HasActor, at: datetime
) -> None:
    """
    Close a finding, with what was found out or done.

    :raises AlreadySettled:
    :raises ValueError: still open, or no note
    """
    if state == Finding.State.OPEN or not note:
        raise ValueError("a settled finding has a state and a note")
    note = canonical.text(note)
    with transaction.atomic():
        open_ = Finding.objects.filter(pk=finding.pk, state=Finding.State.OPEN)
        if not open_.update(state=state, note=note, settled_by=_id(by), settled_at=at):
            raise AlreadySettled
        record(
            Action.FINDING_SETTLE,
            by=by,
            on=finding,
            at=at,
            reason=note,
            kind=finding.kind,
            decision=str(state),
        )


def sign(review: Review, *, conclusion: str, by: HasActor, at: datetime) -> None:
    """
    Say that somebody has read the week's analysis, and what they conclude.

    :raises AlreadySigned:
    :raises ValueError: no conclusion
    """
    if not conclusion:
        raise ValueError("a signed review has a conclusion")
    conclusion = canonical.text(conclusion)
    with transaction.atomic():
        unread = Review.objects.filter(pk=review.pk, reviewed_at=None)
        if not unread.update(conclusion=conclusion, reviewed_by=_id(by), reviewed_at=at):
            raise AlreadySigned
        record(
            Action.REVIEW_SIGN, by=by, on=review, at=at, reason=conclusion, week=str(review.week)
        )


def _id(by: HasActor) -> object:
    return by.pk if isinstance(by, models.Model) else None
