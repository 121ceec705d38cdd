"""How a visit ended, or why none can begin: in words a patient understands, and what to do."""

from dataclasses import dataclass, replace

DESK = "请到人工窗口凭身份证件办理。"
AGAIN = "可以重新开始，也可以到人工窗口凭身份证件办理。"
ELSEWHERE = "请换一台自助机，或到人工窗口凭身份证件办理。"


@dataclass(frozen=True)
class Words:
    """
    What one screen says.

    :ivar advice: what the person can do now
    :ivar retry: starting again is worth it
    :ivar on_request: starting again says that the person wants it themselves
    """

    title: str
    sentence: str
    advice: str = ""
    retry: bool = False
    on_request: bool = False


_BY_STATE = {
    "onboarded": Words("建档成功", "请记下您的患者编号，挂号和就诊时使用。"),
    "recognised": Words("您已有档案", "不用再次建档。请记下您的患者编号，挂号和就诊时使用。"),
    "unrecognised": Words("没有找到您的档案", "您可能还没有在本院建档。", DESK),
    "refused": Words("好的，不刷脸", "没有拍摄您的面部，不影响就诊。", DESK),
    "declined": Words(
        "没有继续", "您没有在微信页面上确认，医院没有收到您的姓名和证件号码。", AGAIN, retry=True
    ),
    "guardian_required": Words(
        "需要监护人陪同",
        "未满十四周岁的患者不能自己刷脸建档。没有保存您的信息。",
        "请和监护人一起到人工窗口办理。",
    ),
    "failed": Words("这次没有成功", "没有能够建档。", DESK),
    "expired": Words("等待时间已过", "这次办理已经取消。", AGAIN, retry=True),
    "withdrawn": Words(
        "已撤回同意",
        "您同意的已全部撤回，微信账号与档案的关联已删除。已建的档案依法保存，不影响就诊。",
        DESK,
    ),
    "not_withdrawn": Words(
        "没有撤回成功", "本机没有办成，您的同意仍然有效。", "请到人工窗口撤回同意。"
    ),
    "authorized": Words(
        "还在办理",
        "医院已经收到，正在为您建档，比平时慢一些。",
        "请稍后到人工窗口查询，不用再次刷脸。",
    ),
}
_CAMERA = Words("刷脸暂时不能用", "本机的摄像头或刷脸程序没有就绪，不是您的原因。", ELSEWHERE)
_OFFLINE = Words(
    "网络不通", "本机暂时连不上医院的系统，不是您的原因。本机没有保存您的信息。", ELSEWHERE
)
_BUSY = Words("系统正忙", "医院的系统暂时忙不过来，不是您的原因。", AGAIN, retry=True)
_OTHERWISE = Words("暂时不能办理", "本机遇到了问题，不是您的原因。", ELSEWHERE)
_SUSPENDED = Words("本机暂停使用", "工作人员暂停了本机。", ELSEWHERE)
_BY_REFUSAL = {
    "refused_recently": Words(
        "近期没有同意",
        "您近期没有在微信页面上同意，本机不再重复询问。",
        DESK,
        retry=True,
        on_request=True,
    ),
    "consent_withdrawn": Words("已撤回同意", "已经停止办理，没有为您建档。不影响就诊。", DESK),
}
_BY_CODE = {
    "USER_CANCEL": Words("已取消", "您取消了刷脸，没有建档。", AGAIN, retry=True),
    "FACE_UNKNOWN": Words("没有认出您", "微信没有识别出您的面部。", AGAIN, retry=True),
    "authorization_failed": Words("没有成功", "微信授权没有成功，没有建档。", AGAIN, retry=True),
    "NETWORK_MISSING": _OFFLINE,
    "unreachable": _OFFLINE,
    "camera_missing": _CAMERA,
    "terminal_suspended": _SUSPENDED,
    "notice_outdated": Words(
        "告知书刚刚更新", "您看到的不是最新内容。", "请重新开始，阅读新的告知书。", retry=True
    ),
    "throttled": _BUSY,
    "unavailable": _BUSY,
}


def ending(state: str, *, code: str, detail: str, fallback: str) -> Words:
    """
    Return what is said to the person whose visit ended so.

    :param code: the server's or the SDK's, if any
    :param detail: the sentence that came with it; shown only where the server wrote it for patients
    :param fallback: the hospital's own words for the way in that needs no face, or ""
    """
    if state == "withdrawn":
        return replace(_BY_STATE[state], advice=fallback or DESK)
    if state == "refused":
        said = _BY_REFUSAL.get(code, _BY_STATE[state])
        return replace(said, advice=fallback or said.advice)
    if state == "failed" and code not in _BY_CODE and detail:
        return replace(_BY_STATE[state], sentence=detail, advice="" if "窗口" in detail else DESK)
    if state in ("failed", "interrupted"):
        return (
            _BY_CODE.get(code)
            or (_CAMERA if code.isupper() else _BY_STATE.get(state))
            or _OTHERWISE
        )
    return _BY_STATE.get(state, _OTHERWISE)


def obstacle(code: str, detail: str) -> Words:
    """Return why nobody can be received; `detail` is what staff wrote on a suspension."""
    words = _BY_CODE.get(code, _OTHERWISE)
    if words is _SUSPENDED and detail:
        words = replace(words, sentence=detail)
    return replace(words, retry=False)
