"""What happened to one visit, step by step: who, when, and what WeChat said to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from faceauth import reasons
from faceauth.admin.places import where
from faceauth.models import FaceSession
from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.admin import people
from hospital.audit.models import Event

OF_WECHAT = frozenset(
    action.value.tag
    for action in (
        Action.WECHAT_RETRY,
        Action.SESSION_FAIL,
        Action.SESSION_RECOGNISE,
        Action.SESSION_UNRECOGNISED,
        Action.SESSION_ACCOUNT_DIFFERS,
    )
)
SETTLEMENTS = {one.value: str(one.label) for one in FaceSession.Settlement}


@dataclass(frozen=True)
class Step:
    """One line: `said` is the verdict or the result, in words; `number` is WeChat's own."""

    at: datetime
    what: str
    who: str
    said: str = ""
    number: str = ""
    attempt: str = ""
    failed: bool = False


def story(session: FaceSession) -> list[Step]:
    """Return the steps, the first one first."""
    events = list(Event.objects.on(session).order_by("id"))
    names = people.names(event.actor_id for event in events if event.actor_type == "staff")
    steps = [_step(event, session, names) for event in events]
    return sorted([*steps, *_onboarded(session)], key=lambda step: step.at)


def _step(event: Event, session: FaceSession, names: dict[str, str]) -> Step:
    facts = stated.facts(event.payload)
    return Step(
        at=event.at,
        what=event.label,
        who=_who(event, session, names),
        said=_said(event, facts),
        number=str(facts.get("wechat_request_id") or ""),
        attempt=str(facts.get("attempt") or ""),
        failed=event.outcome != "success",
    )


def _who(event: Event, session: FaceSession, names: dict[str, str]) -> str:
    match event.actor_type:
        case "staff":
            return names.get(str(event.actor_id), "已删除的账号")
        case "terminal":
            return f"终端 {where(session)}"
    return "系统"


def _said(event: Event, facts: dict[str, Any]) -> str:
    if event.action == Action.WECHAT_ANSWER.value.tag:
        return "微信已应答"
    if event.action == Action.SESSION_SETTLE.value.tag:
        return SETTLEMENTS.get(str(facts.get("settlement")), "")
    return reasons.verdict(facts) if event.action in OF_WECHAT else ""


def _onboarded(session: FaceSession) -> Iterator[Step]:
    """建档 itself is on the patient's record in the trail."""
    if session.state == FaceSession.State.ONBOARDED and session.finished_at:
        yield Step(at=session.finished_at, what="建档", who="系统")
