"""今日工作台: what waits, as rows of one shape, each with a sentence and one button."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from django.urls import reverse
from django.utils import timezone

from devices.conditions import Condition
from devices.models import Terminal
from faceauth.admin.places import where
from faceauth.models import FaceSession
from hospital.accounts.models import Staff
from hospital.audit.admin import people
from hospital.desk import petitions, working
from hospital.desk.working import Visit
from hospital.his import reasons as his_reasons
from hospital.patients import viewing
from hospital.patients.models import Correction, HandOff, Likeness, Patient, Registration
from hospital.privacy.models import RightsRequest

# What somebody at the desk does about a terminal.
ADVICE: Final = {
    Condition.SILENT: "请到现场查看电源和网络，仍不恢复请告知系统管理员",
    Condition.OUTDATED: "程序版本过旧，请告知系统管理员升级",
    Condition.DRIFTING: "时钟不准，请告知系统管理员校时",
    Condition.NEW: "还没有上线，请等待系统管理员安装",
}


@dataclass(frozen=True)
class Row:
    """
    One thing somebody has to see to.

    :param key: what it is called while it is on the page
    :param badge: how it looks; `standing` says it in a word
    :param address: where its button leads; `is_act`: by POST
    """

    key: str
    badge: str
    standing: str
    at: datetime
    what: str
    url: str
    advice: str
    button: str = ""
    address: str = ""
    is_act: bool = False


@dataclass(frozen=True)
class Trouble:
    """A terminal with something the matter."""

    terminal: Terminal
    conditions: list[Condition]

    @property
    def advice(self) -> str:
        return "；".join(ADVICE[one] for one in self.conditions if one in ADVICE)


@dataclass(frozen=True)
class Section:
    key: str
    title: str
    rows: list[Row]
    nothing: str = ""  # said where there are no rows; without it there is no section

    @property
    def has_more(self) -> bool:
        return len(self.rows) == working.SHOWN


@dataclass(frozen=True)
class Waiting:
    """What waits at one campus; nothing in it is opened yet."""

    visits: list[Visit]
    retries: list[Visit]
    stuck: list[FaceSession]
    entered: list[Registration]
    asked: list[Correction]
    pairs: list[Likeness]
    here: set[UUID]
    requests: list[RightsRequest]
    handoffs: list[HandOff]

    @property
    def patients(self) -> list[Patient]:
        """Whom the page shows: to be on record before `shown`."""
        both = [patient for pair in self.pairs for patient in (pair.first, pair.second)]
        return [
            *(one.patient for one in self.asked),
            *(patient for patient in both if patient.pk in self.here),
        ]


def waiting(staff: Staff, *, at: datetime) -> Waiting:
    """Return what waits at the campus of `staff`."""
    pairs = working.pairs(staff)
    return Waiting(
        visits=working.visits(staff, at=at),
        retries=working.retries(staff, at=at),
        stuck=working.stuck(staff, at=at),
        entered=working.registrations(staff),
        asked=working.corrections(staff),
        pairs=pairs,
        here=working.here(staff, pairs),
        requests=working.requests(staff),
        handoffs=working.handoffs(staff),
    )


def shown(found: Waiting, staff: Staff, *, at: datetime) -> dict[str, Any]:
    """Return what the page shows of it; opens names, masked."""
    names = people.names(
        [
            *(one.session.taken_by for one in found.visits),
            *(one.entered_by for one in found.entered),
            *(one.asked_by for one in found.asked),
        ]
    )
    waits = [*map(_stuck, found.stuck), *map(_retry, found.retries)]
    sections = [
        Section("visits", "待人工办理", [_visit(one, staff, names) for one in found.visits],
                nothing="没有等待人工办理的患者"),
        Section("retries", "等待微信应答", waits[:working.SHOWN]),
        Section("registrations", "待复核的人工建档",
                [_entered(one, names) for one in found.entered]),
        Section("corrections", "待复核的更正", [_asked(one, names) for one in found.asked]),
        Section("requests", "权利请求", [_request(one, staff, at=at) for one in found.requests]),
        Section("handoffs", "未送达 HIS", [_undelivered(one) for one in found.handoffs]),
        Section("likenesses", "疑似重复", [_pair(one, found.here) for one in found.pairs]),
    ]  # fmt: skip
    terminals = working.terminals(staff, at=at)
    troubled = [(one, said) for one, said in terminals if said != [Condition.ONLINE]]
    return {
        "sections": [one for one in sections if one.rows or one.nothing],
        "tallies": working.tallies(staff, at=at),
        "online": sum(Condition.ONLINE in said for _, said in terminals),
        "terminals": len(terminals),
        "troubled": [Trouble(*one) for one in troubled[: working.SHOWN]],
        "has_more_troubled": len(troubled) > working.SHOWN,
    }


def _visit(visit: Visit, staff: Staff, names: dict[str, str]) -> Row:
    session = visit.session
    holder = names.get(str(session.taken_by), "同事")
    is_mine = session.taken_by == staff.pk
    row = {
        **_of_session(session),
        "advice": visit.advice if visit.is_free else f"{visit.advice}。{holder}正在办理",
    }
    if not visit.is_free:
        return Row(**row)
    button = "继续办理" if is_mine else "接手办理"
    return Row(**row, button=button, address=_to("session-take", session.pk), is_act=True)


def _retry(visit: Visit) -> Row:
    why = visit.advice or "稍后会自动重试"
    advice = f"第 {visit.session.attempts} 次核验没有结果。{why}"
    row = {**_of_session(visit.session), "advice": advice}
    if not visit.is_free:
        return Row(**row)
    address = _to("session-requeue", visit.session.pk)
    return Row(**row, button="立即重试", address=address, is_act=True)


def _stuck(session: FaceSession) -> Row:
    return Row(**_of_session(session), advice="后台没有处理，请告知系统管理员")


def _of_session(session: FaceSession) -> dict[str, Any]:
    return {
        "key": f"session-{session.pk}",
        "badge": session.state,
        "standing": session.get_state_display(),
        "at": session.finished_at or session.opened_at,
        "what": where(session),
        "url": reverse("admin:faceauth_facesession_change", args=[session.pk]),
    }


def _entered(one: Registration, names: dict[str, str]) -> Row:
    address = _to("registration", one.pk)
    who = names.get(str(one.entered_by), "同事")
    return Row(
        key=f"registration-{one.pk}",
        badge="guardian_required",
        standing=one.get_state_display(),
        at=one.entered_at,
        what=f"{one.get_cause_display()} · {one.get_document_type_display()}",
        url=address,
        advice=f"{who}登记，请对照证件原件复核",
        button="复核",
        address=address,
    )


def _asked(one: Correction, names: dict[str, str]) -> Row:
    address = _to("correction", one.pk)
    who = names.get(str(one.asked_by), "同事")
    name = viewing.readable(lambda: one.patient.masked_name)
    return Row(
        key=f"correction-{one.pk}",
        badge="guardian_required",
        standing=one.get_state_display(),
        at=one.asked_at,
        what=f"{name}  {one.patient.number}",
        url=address,
        advice=f"{who}申请更正身份信息，请对照证件原件复核",
        button="复核",
        address=address,
    )


def _request(one: RightsRequest, staff: Staff, *, at: datetime) -> Row:
    address = _to("right", one.pk)
    left = petitions.left(one, today=timezone.localdate(at))
    return Row(
        key=f"right-{one.pk}",
        badge=petitions.BADGES[RightsRequest.State(one.state)],
        standing=one.get_state_display(),
        at=one.opened_at,
        what=f"{one.get_kind_display()}，{left}",
        url=address,
        advice=petitions.next_step(one, staff, at=at).words,
        button="办理",
        address=address,
    )


def _undelivered(one: HandOff) -> Row:
    told = his_reasons.told(one.code)
    return Row(
        key=f"handoff-{one.pk}",
        badge="failed",
        standing=one.get_state_display(),
        at=one.created_at,
        what=one.patient.number,
        url=_to("patient", one.patient_id),
        advice=f"{told.why}。{told.advice}",
        button="处理",
        address=reverse("desk:handoffs"),
    )


def _pair(one: Likeness, here: set[UUID]) -> Row:
    address = _to("likeness", one.pk)
    both = [
        patient.number if patient.pk in here else "其他院区的患者"
        for patient in (one.first, one.second)
    ]
    return Row(
        key=f"likeness-{one.pk}",
        badge="unrecognised",
        standing=one.get_state_display(),
        at=one.found_at,
        what=" 与 ".join(both),
        url=address,
        advice=f"{one.get_kind_display()}，请核对是否同一患者",
        button="处理",
        address=address,
    )


def _to(name: str, pk: object) -> str:
    return reverse(f"desk:{name}", args=[pk])
