"""A rights request as its page shows it: how long there is, what was done, and what is next."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime
from typing import Final
from uuid import UUID

from django.urls import reverse

from hospital.accounts.models import Staff
from hospital.patients.models import Patient
from hospital.privacy import subjects
from hospital.privacy.models import Erasure, RightsRequest
from hospital.roles import May

Kind = RightsRequest.Kind
State = RightsRequest.State

BADGES: Final = {
    State.OPEN: "guardian_required",
    State.VERIFIED: "authorized",
    State.DONE: "success",
    State.REFUSED: "declined",
    State.WITHDRAWN: "expired",
}
# What the privacy officer says yes to.
GRANTS: Final = {
    Kind.ACCESS: "已告知申请人，办结",
    Kind.COPY: "同意提供副本",
    Kind.CORRECT: "已更正，办结",
    Kind.DELETE: "已批准删除，办结",
    Kind.WITHDRAW: "已撤回同意，办结",
    Kind.RESTRICT: "限制处理，办结",
}


@dataclass(frozen=True)
class Line:
    """One row of the list."""

    request: RightsRequest
    number: str
    badge: str
    left: str
    is_late: bool
    button: str


@dataclass(frozen=True)
class Step:
    """
    What is to be done next, in a sentence, and the button that does it.

    :param act: what the page's own form does: "verify" or "grant"; "" where there is an address
    """

    words: str
    button: str = ""
    address: str = ""
    act: str = ""


@dataclass(frozen=True)
class Held:
    """One kind of data that is held of the patient."""

    label: str
    count: int
    remains: str


def is_for_desk(one: RightsRequest) -> bool:
    """Whether the next step is the desk's, and not the privacy officer's."""
    if one.state == State.OPEN or one.is_agreed:
        return True
    return one.is_open and one.kind not in {Kind.COPY, Kind.RESTRICT}


def numbers(found: Iterable[RightsRequest]) -> dict[UUID, str]:
    keys = {one.patient for one in found}
    return dict(Patient.objects.filter(pk__in=keys).values_list("pk", "number"))


def line(one: RightsRequest, staff: Staff, numbers: dict[UUID, str], *, today: date) -> Line:
    """Return how the list shows a request."""
    is_mine = one.state == State.OPEN and staff.may(May.OPEN_RIGHTS)
    is_theirs = one.state == State.VERIFIED and staff.may(May.DECIDE_RIGHTS)
    return Line(
        request=one,
        number=numbers.get(one.patient, "档案已删除"),
        badge=BADGES[State(one.state)],
        left=left(one, today=today),
        is_late=one.is_open and one.due_on < today,
        button="办理" if is_mine or is_theirs else "查看",
    )


def left(one: RightsRequest, *, today: date) -> str:
    """Return how much time there is, in words; "" once it was answered."""
    if not one.is_open:
        return ""
    days = (one.due_on - today).days
    if days < 0:
        return f"已逾期 {-days} 天"
    return f"剩 {days} 天" if days else "今天到期"


def steps(one: RightsRequest) -> list[tuple[datetime, str]]:
    """Return what was done so far, the oldest first."""
    found = [
        (one.opened_at, "受理"),
        (one.verified_at, f"核验申请人身份：{one.get_evidence_display()}"),
        (one.answered_at, "同意提供副本" if one.is_agreed else f"答复：{one.get_state_display()}"),
        (one.copy_fetched_at, "申请人领取副本"),
        (one.escalated_at, "逾期提醒"),
    ]
    return sorted((at, words) for at, words in found if at)


def held(one: RightsRequest) -> list[Held]:
    """Return what is held of the patient, for who asked to see it and showed who they are."""
    if one.kind != Kind.ACCESS or one.state not in {State.VERIFIED, State.DONE}:
        return []
    counted = ((place, place.count(one.patient)) for place in subjects.places())
    return [Held(place.label, count, place.remains) for place, count in counted if count]


def next_step(one: RightsRequest, staff: Staff, *, at: datetime) -> Step:
    """Return what is next, for this reader to do or to wait for."""
    if not one.is_open:
        return Step("已办结，没有待办的事。")
    if one.state == State.OPEN:
        if staff.may(May.OPEN_RIGHTS):
            return Step(
                "请核对申请人的证件和与患者的关系，再告知任何内容。", "身份已核验", act="verify"
            )
        return Step("等待登记员核验申请人身份。身份无法核实的，可以不予办理。")
    if staff.may(May.DECIDE_RIGHTS):
        return _for_officer(one)
    return _for_registrar(one, at=at)


def _for_officer(one: RightsRequest) -> Step:
    kind = Kind(one.kind)
    if one.is_agreed:
        return Step("已同意，等待登记员制作副本并当面交给申请人。")
    match kind:
        case Kind.DELETE if not _is_decided(one):
            url = f"{reverse('admin:audit_proposal_changelist')}?state__exact=asked"
            return Step(
                "删除须两人办理：登记员申请后，由您批准，批准后本请求自动办结。",
                "待批准的申请",
                url,
            )
        case Kind.RESTRICT:
            words = "同意后立即限制处理：除保存外，查看明文、更正、打印、识别、移交都会停止。"
        case Kind.COPY:
            words = "同意后由登记员制作加密副本，当面交给申请人。"
        case Kind.ACCESS:
            words = "由登记员按本页所列告知申请人后，由您办结。"
        case Kind.CORRECT:
            words = "更正复核生效后，由您办结。"
        case _:
            words = "登记员办理完毕后，由您办结。"
    return Step(words, GRANTS[kind], act="grant")


def _for_registrar(one: RightsRequest, *, at: datetime) -> Step:
    patient = [one.patient]
    match Kind(one.kind):
        case Kind.ACCESS:
            return Step("请按下面所列告知申请人，再请个保负责人办结。")
        case Kind.CORRECT:
            url = reverse("desk:correct", args=patient)
            return Step("请对照证件原件申请更正，复核后由个保负责人办结。", "申请更正", url)
        case Kind.WITHDRAW:
            url = reverse("desk:consents", args=patient)
            return Step("请在同意记录页撤回同意，再请个保负责人办结。", "同意记录", url)
        case Kind.DELETE:
            url = reverse("desk:erase", args=patient)
            return Step("请申请删除，由个保负责人批准。", "申请删除个人信息", url)
        case Kind.RESTRICT:
            return Step("等待个保负责人决定是否限制处理。")
        case Kind.COPY:
            return _for_copy(one, at=at)


def _for_copy(one: RightsRequest, *, at: datetime) -> Step:
    if not one.is_agreed:
        return Step("等待个保负责人同意提供副本。")
    is_there = one.copy_until is not None and one.copy_until > at
    url = reverse("desk:right-copy", args=[one.pk])
    if is_there:
        return Step("副本已制作，申请人在场时领取，只能领取一次。", "领取副本", url)
    return Step("已同意。请在申请人在场时制作副本。", "制作副本", url)


def _is_decided(one: RightsRequest) -> bool:
    standing = Erasure.objects.exclude(state=Erasure.State.CANCELLED)
    return standing.filter(subject=one.patient).exists()
