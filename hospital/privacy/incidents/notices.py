"""What is printed and sent: the report to an authority, the word to a patient. No names in it."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from django.conf import settings
from django.utils import timezone

from hospital.privacy.incidents.clocks import PERSONAL
from hospital.privacy.models import Incident, Notification

Kind = Incident.Kind
BLANK: Final = "＿＿＿＿＿＿＿＿＿＿"  # filled in by hand
_UNKNOWN: Final = "正在查明"
_DATA: Final = "姓名、证件类型和号码、微信账号编号；本系统不保存面部图像"
_HARM: Final = {
    Kind.LEAK: "您的个人信息可能被他人知悉，可能有人冒充医院工作人员与您联系。",
    Kind.TAMPER: "您的登记信息可能被改动，可能影响就诊时核对身份。",
    Kind.LOSS: "您的登记信息可能丢失，就诊时可能需要重新登记。",
    Kind.MISUSE: "您的个人信息可能被违规查看或使用。",
    Kind.OUTAGE: "系统中断期间可能无法自助建档。",
}
_ADVICE: Final = (
    "警惕自称医院、微信或公安人员的电话和短信，不要提供验证码，不要转账；"
    "就诊时请核对登记信息，如有不符请告知窗口。您可以随时查询、更正或者要求删除您的个人信息。"
)


@dataclass(frozen=True)
class Paper:
    """One page: a heading, whom it is for, and either facts or paragraphs."""

    title: str
    to: str
    facts: Sequence[tuple[str, str]] = ()
    paragraphs: Sequence[str] = ()


def paper(incident: Incident, recipient: str) -> Paper:
    """Return what goes to whoever this is."""
    if recipient == Notification.Recipient.SUBJECTS:
        return _to_patients(incident)
    to = Notification.Recipient(recipient).label
    return Paper("网络安全事件报告", str(to), facts=_facts(incident))


def _facts(incident: Incident) -> list[tuple[str, str]]:
    affected = _UNKNOWN if incident.affected is None else f"{incident.affected:,} 人"
    return [
        ("报告单位", settings.HOSPITAL_NAME),
        ("系统", "刷脸实名建档系统"),
        ("事件编号", incident.number),
        ("事件类型", incident.get_kind_display()),
        ("事件级别", incident.get_level_display() or "待定级"),
        ("发现时间", _when(incident.found_at)),
        ("发生时间", _span(incident)),
        ("情况", incident.summary),
        ("涉及个人信息的人数", affected),
        ("涉及的信息种类", _DATA if incident.kind in PERSONAL else "未涉及"),
        ("可能的影响", _HARM[Kind(incident.kind)].replace("您", "患者")),
        ("已采取的措施", incident.measures or BLANK),
        ("下一步措施", BLANK),
        ("联系人和电话", settings.PRIVACY_CONTACT or BLANK),
        ("签发人", BLANK),
    ]


def _to_patients(incident: Incident) -> Paper:
    measures = incident.measures or BLANK
    return Paper(
        "关于个人信息安全事件的告知",
        "各位受影响的患者",
        paragraphs=[
            (
                f"{_when(incident.found_at)}，{settings.HOSPITAL_NAME}发现一起个人信息安全事件"
                f"（{incident.get_kind_display()}），编号 {incident.number}。"
                f"发生时间：{_span(incident)}。"
            ),
            f"情况：{incident.summary}",
            f"可能涉及的信息：{_DATA}。",
            f"可能造成的危害：{_HARM[Kind(incident.kind)]}",
            f"我院已采取的措施：{measures}",
            f"您可以采取的措施：{_ADVICE}",
            f"联系方式：个人信息保护负责人，{settings.PRIVACY_CONTACT or f'电话和地点 {BLANK}'}。",
        ],
    )


def _span(incident: Incident) -> str:
    if incident.since is None:
        return _UNKNOWN
    until = f"至 {_when(incident.until)}" if incident.until else "起"
    return f"{_when(incident.since)} {until}"


def _when(at: datetime) -> str:
    return f"{timezone.localtime(at):%Y 年 %m 月 %d 日 %H:%M}"
