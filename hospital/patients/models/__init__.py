from hospital.patients.models.correction import Correction
from hospital.patients.models.guardian import Guardian
from hospital.patients.models.handoff import HandOff
from hospital.patients.models.identification import Identification
from hospital.patients.models.likeness import Likeness
from hospital.patients.models.patient import Attendance, Patient, PatientQuerySet
from hospital.patients.models.registration import Registration
from hospital.patients.models.reveal import Reveal
from hospital.patients.models.wechat import WechatAccount, WechatUnion, first_or_save

__all__ = [
    "Attendance",
    "Correction",
    "Guardian",
    "HandOff",
    "Identification",
    "Likeness",
    "Patient",
    "PatientQuerySet",
    "Registration",
    "Reveal",
    "WechatAccount",
    "WechatUnion",
    "first_or_save",
]
