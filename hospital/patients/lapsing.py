"""What somebody typed and nobody confirmed in time is dropped: there is no purpose for it."""

from datetime import datetime

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, record
from hospital.patients.models import Correction, Registration, WechatAccount, WechatUnion

NOTE = "超过保存期限没有复核，填写的内容已清除"
CODE = "retention"
_DROPPED = {"real_name": None, "document_number": None, "birth_date": None}


def registration(row: Registration, at: datetime) -> None:
    """End what waits for a second look, in the caller's transaction; ended twice is once."""
    state = Registration.State.RETURNED
    here = Registration.objects.filter(pk=row.pk, state=Registration.State.WAITING)
    if here.update(state=state, looked_at=at, note=NOTE, **_DROPPED):
        record(Action.REGISTRATION_DECIDE, by=SYSTEM, on=row, at=at, decision=state.value)


def correction(row: Correction, at: datetime) -> None:
    """Take back what waits for a decision, in the caller's transaction; twice is once."""
    state = Correction.State.WITHDRAWN
    here = Correction.objects.filter(pk=row.pk, state=Correction.State.ASKED)
    if here.update(state=state, decided_at=at, **_DROPPED):
        record(
            Action.CORRECTION_DECIDE,
            by=SYSTEM,
            on=row,
            at=at,
            decision=state.value,
            patient=row.patient_id,
        )


def wechat(row: WechatAccount | WechatUnion, at: datetime) -> None:
    """Forget by which account WeChat knows a patient, in the caller's transaction."""
    patient = row.patient
    row.delete()
    record(Action.PATIENT_UNLINK_WECHAT, by=SYSTEM, on=patient, at=at, code=CODE, count=1)
