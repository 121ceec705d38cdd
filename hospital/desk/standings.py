"""What holds of a whole record: restricted, held, about to be erased, handed over."""

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone

from hospital.patients.models import HandOff, Patient
from hospital.privacy import holding
from hospital.privacy.erasing import deciding
from hospital.privacy.models import Erasure


def of(patient: Patient, *, at: datetime) -> list[str]:
    """Return a sentence for all that holds of this record, the gravest first."""
    return list(_words(patient, at=at))


def handed_over(patient: Patient) -> HandOff | None:
    """Return what the hospital's own system was told last, or is to be."""
    return patient.handoffs.order_by("-id").first()


def _words(patient: Patient, *, at: datetime) -> Iterator[str]:
    if decided := deciding.standing(patient.pk):
        yield _erasure(decided)
    if patient.restricted_at:
        since = f"{timezone.localtime(patient.restricted_at):%Y-%m-%d}"
        yield f"限制处理：自 {since} 起只保存，不再查看明文、更正、打印、识别和移交"
    for hold in holding.standing(at=at).filter(patient=patient):
        yield f"依法保全至 {hold.until:%Y-%m-%d}：不能删除"
    if patient.thinned_at:
        yield "已移交 HIS，姓名和证件号码的明文已删除，只留脱敏显示"


def _erasure(decided: Erasure) -> str:
    if decided.state == Erasure.State.DONE:
        return f"已依法删除：{timezone.localtime(decided.done_at):%Y-%m-%d}"
    if decided.state == Erasure.State.COOLING:
        due = timezone.localtime(decided.due_at)
        return f"已决定删除，冷静期至 {due:%Y-%m-%d %H:%M}，期间可以取消"
    return f"正在删除：{decided.get_state_display()}"
