"""What one patient said to which notice, in words: for a page that shows all of it."""

from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db.models import Q, QuerySet

from faceauth.models import Consent, FaceSession
from hospital.accounts.models import Staff
from hospital.audit.admin import people
from hospital.patients.models import Guardian, Patient, Registration

SHOWN: Final = 200  # the newest: one a visit


@dataclass(frozen=True)
class Said:
    """
    One answer.

    :ivar place: the terminal, or the desk; of another campus only that it was there
    :ivar guardian: whose word it was, for a child: the relation, no name
    """

    row: Consent
    answer: str
    badge: str
    purposes: list[str]
    place: str
    who: str
    guardian: str
    withdrawn_by: str


def of(patient: Patient, *, seen_by: Staff) -> list[Said]:
    """Return what `patient` said, the newest first."""
    rows = list(_rows(patient).select_related("notice", "terminal__store")[:SHOWN])
    names = people.names(key for one in rows for key in (one.by, one.withdrawn_by))
    relations = dict(Guardian.objects.filter(patient=patient).values_list("pk", "relation"))
    return [_said(one, names, relations, seen_by) for one in rows]


def stands(patient: Patient) -> bool:
    """Whether there is anything to take back."""
    return _rows(patient).filter(granted=True, withdrawn_at=None).exists() or (
        patient.wechat_accounts.exists() or patient.wechat_unions.exists()
    )


def _rows(patient: Patient) -> QuerySet[Consent]:
    """Return theirs; a no is known by whoever was registered after it."""
    recognised = Q(patient=patient, state__in=FaceSession.FINAL)
    registered = Registration.objects.filter(patient=patient).exclude(session=None)
    visits = FaceSession.objects.filter(recognised | Q(pk__in=registered.values("session")))
    theirs = Q(patient=patient.pk) | Q(pk__in=visits.values("consent"))
    return Consent.objects.filter(theirs).order_by("-pk")


def _said(one: Consent, names: dict[str, str], relations: dict[UUID, str], staff: Staff) -> Said:
    labels = {purpose["code"]: purpose["label"] for purpose in one.notice.purposes}
    relation = relations.get(one.guardian, "") if one.guardian else ""
    return Said(
        row=one,
        answer=_answer(one),
        badge=_badge(one),
        purposes=[labels.get(code, code) for code in one.purposes],
        place=_place(one, staff),
        who=names.get(str(one.by), "") if one.by else "患者本人",
        guardian=Guardian.Relation(relation).label if relation else "",
        withdrawn_by=_withdrawer(one, names),
    )


def _withdrawer(one: Consent, names: dict[str, str]) -> str:
    if one.withdrawn_by is None:
        return "患者本人在终端"
    return names.get(str(one.withdrawn_by), "") or "工作人员（账号已不存在）"


def _answer(one: Consent) -> str:
    if one.withdrawn_at is not None:
        return "已撤回"
    if not one.granted:
        return "不同意"
    return "监护人同意" if one.guardian else "同意"


def _badge(one: Consent) -> str:
    """Return how it looks: as a visit does that ended like this."""
    if one.withdrawn_at is not None:
        return "expired"
    return "onboarded" if one.granted else "refused"


def _place(one: Consent, staff: Staff) -> str:
    if one.terminal is None:
        return "人工窗口"
    if staff.campus and one.terminal.store.campus != staff.campus:
        return "其他院区"
    return f"{one.terminal.store.name} {one.terminal.name}"
