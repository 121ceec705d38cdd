"""Why a session ended: in a sentence a patient understands, and in one for the desk."""

from collections.abc import Collection, Mapping
from uuid import UUID

from django.db.models import Max

from faceauth.models import FaceSession
from faceauth.remedies import remedy
from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event

State = FaceSession.State

_BY_STATE = {
    State.REFUSED: "您未同意刷脸，可到人工窗口凭身份证办理",
    State.UNRECOGNISED: "没有找到您的档案，可以刷脸建档，或到人工窗口办理",
    State.DECLINED: "您未在微信上授权，可重新刷脸，或到人工窗口办理",
    State.GUARDIAN_REQUIRED: "未满十四周岁，请监护人陪同到人工窗口办理",
    State.EXPIRED: "操作超时，请重新开始",
}
_BY_CODE = {
    "refused_recently": "您近期没有同意，不再重复询问；要办理请点“我要重新办理”，或到人工窗口",
    "consent_withdrawn": "您已撤回同意，没有继续办理；可到人工窗口凭身份证件办理",
    "patient_restricted": "您的档案已限制处理，请到人工窗口办理",
    "authorization_failed": "微信授权没有成功，请重新刷脸，或到人工窗口办理",
    "attempts_exhausted": "暂时无法连接微信，请到人工窗口办理",
    "retention": "暂时无法完成核验，请到人工窗口办理",
    "name_differs": "该证件已建档但姓名不一致，请到人工窗口核对",
    "document_unsuitable": "该证件不能用于建档，请到人工窗口办理",
    "account_differs": "您的微信与档案不一致，请到人工窗口核对",
    "forgotten": "您的档案已依法删除，请到人工窗口办理",
}
_FOR_STAFF = {
    State.REFUSED: "患者未同意刷脸，可凭证件人工办理",
    State.UNRECOGNISED: "没有找到与其微信对应的档案，可请其刷脸建档或人工建档",
    State.DECLINED: "患者未在微信上授权，可请其重新刷脸或人工建档",
    State.GUARDIAN_REQUIRED: "未满十四周岁，须由监护人陪同办理；未保存其信息",
    State.EXPIRED: "超时未完成，请患者重新刷脸",
}
_CODE_FOR_STAFF = {
    "refused_recently": "三十日内未在微信上同意，没有再询问；患者要求时可重新刷脸，或人工建档",
    "consent_withdrawn": "患者撤回了同意，已停止办理；可凭证件人工办理",
    "patient_restricted": "该患者的信息已限制处理，请联系个保负责人",
    "authorization_failed": "微信授权没有成功，可请患者重新刷脸",
    "attempts_exhausted": "多次尝试后仍未成功，请人工办理，并检查网络与密钥",
    "retention": "核验数据超过保存期限已清除，请人工办理，并检查网络与密钥",
    "name_differs": "该证件已建档但姓名不一致，请核对身份",
    "document_unsuitable": "该证件不能用于建档，请凭其他证件人工建档",
    "account_differs": "该微信对应不同患者的档案，请凭证件核对身份",
    "forgotten": "该患者的档案已依法删除，请人工办理",
}
_OTHERWISE = "刷脸没有成功，请到人工窗口办理"


def reason(session: FaceSession) -> dict[str, str] | None:
    """Return `{code, detail}` of a session that ended without a patient, else None."""
    state = State(session.state)
    if state == State.FAILED or (state == State.REFUSED and session.reason):
        return {"code": session.reason, "detail": _BY_CODE.get(session.reason, _OTHERWISE)}
    if state in _BY_STATE:
        return {"code": state.value, "detail": _BY_STATE[state]}
    return None


def sentences() -> dict[str, str]:
    """Return every code a terminal may be told, with its sentence; "…" for WeChat's own codes."""
    by_state = {state.value: sentence for state, sentence in _BY_STATE.items()}
    return by_state | _BY_CODE | {"…": _OTHERWISE}


def for_staff(session: FaceSession) -> str:
    """Return what a registrar should know and do about a session; "" if nothing."""
    return for_staff_of([session])[session.pk]


def for_staff_of(sessions: Collection[FaceSession]) -> dict[UUID, str]:
    """Return the same of many, with one question to the trail."""
    failures = latest_failures(sessions)
    return {session.pk: told(session, failures.get(session.pk)) for session in sessions}


def latest_failures(sessions: Collection[FaceSession]) -> dict[UUID, Event]:
    """Return the event that says why a session failed, or why it still waits."""
    wanted = {str(session.pk): _telling(session) for session in sessions if _telling(session)}
    of_these = Event.objects.filter(
        object_type=FaceSession._meta.label_lower,
        object_id__in=wanted,
        action__in={action.value.tag for action in wanted.values() if action},
    )
    newest = of_these.order_by().values("object_id", "action").annotate(newest=Max("pk"))
    return {
        UUID(event.object_id): event
        for event in Event.objects.filter(pk__in=newest.values("newest"))
        if (told := wanted[str(event.object_id)]) and event.action == told.value.tag
    }


def verdict(facts: Mapping[str, object]) -> str:
    """Return what an event states of WeChat's answer, in words; a code of theirs to quote."""
    code = str(facts.get("wechat_fact") or facts.get("code") or "")
    told = remedy(code, of_identity=True) or _CODE_FOR_STAFF.get(code, "")
    return told or (f"没有取得身份信息（{code}）" if code else "")


def _telling(session: FaceSession) -> Action | None:
    """Return the kind of event that says why."""
    if session.state == State.AUTHORIZED or session.reason == "attempts_exhausted":
        return Action.WECHAT_RETRY
    return Action.SESSION_FAIL if session.state == State.FAILED else None


def told(session: FaceSession, failure: Event | None) -> str:
    """Return what `for_staff` does, from the event that says why."""
    state = State(session.state)
    why = _remedy(failure)
    if state == State.AUTHORIZED:
        return why
    if state == State.FAILED:
        told = _CODE_FOR_STAFF.get(
            session.reason, f"微信未能确认身份（{session.reason}），请人工办理"
        )
        return "。".join(filter(None, [told, why]))
    if state == State.REFUSED and session.reason:
        return _CODE_FOR_STAFF.get(session.reason, "")
    return _FOR_STAFF.get(state, "")


def _remedy(failure: Event | None) -> str:
    """Return what a failure was about, and where to mend it."""
    if failure is None:
        return ""
    facts = stated.facts(failure.payload)
    return remedy(str(facts.get("wechat_fact") or facts.get("code")), of_identity=True)
