"""What a patient's copy says of their visits and of what they agreed to, in words."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

from django.utils import timezone

from faceauth.models import Consent, Declining, FaceSession
from hospital.privacy.subjects import Told


def sessions(subject: UUID) -> list[Told]:
    """Return the visits that ended with this patient; before its end, whose it is is a guess."""
    found = FaceSession.objects.filter(patient=subject, state__in=FaceSession.FINAL)
    return [
        [
            ("时间", _moment(one.opened_at)),
            ("门店", one.terminal.store.name),
            ("终端", one.terminal.name),
            ("类型", one.get_kind_display()),
            ("结果", one.get_state_display()),
        ]
        for one in found.select_related("terminal__store").order_by("id")
    ]


def consents(subject: UUID) -> list[Told]:
    """Return what they, or a guardian for them, said to which notice, with its text."""
    found = Consent.objects.filter(patient=subject).select_related("notice", "terminal")
    return [_consent(one) for one in found.order_by("id")]


def declinings(found: Iterable[Declining]) -> list[Told]:
    """Return until when they are not asked again, who said no on WeChat's screen."""
    return [[("不再询问至", _moment(one.until))] for one in found]


def _consent(one: Consent) -> Told:
    labels = {purpose["code"]: purpose["label"] for purpose in one.notice.purposes}
    told = [
        ("时间", _moment(one.at)),
        ("表示", "同意" if one.granted else "不同意"),
        ("由谁表示", "监护人" if one.guardian else "本人"),
        ("目的", "、".join(labels.get(code, code) for code in one.purposes)),
        ("地点", one.terminal.name if one.terminal else "人工窗口"),
        ("告知书", f"{one.notice}《{one.notice.title}》"),
        ("告知书摘要（SHA-256）", one.notice_digest),
        ("告知书正文", one.notice.text),
    ]
    return told + ([("撤回时间", _moment(one.withdrawn_at))] if one.withdrawn_at else [])


def _moment(at: datetime) -> str:
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M}"
