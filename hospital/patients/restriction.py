"""限制处理: everything but storing is stopped for a patient (个人信息保护法 第四十七条)."""

from hospital.errors import Refusal
from hospital.patients.models import Patient


class Restricted(Refusal):
    code = "patient_restricted"
    message = "该患者的信息已限制处理，请联系个保负责人"


def demand_unrestricted(patient: Patient) -> None:
    """:raises Restricted: nothing may be done with this record but keep it"""
    if patient.restricted_at is not None:
        raise Restricted
