from django.apps import AppConfig


class PatientsConfig(AppConfig):
    name = "hospital.patients"
    label = "patients"
    verbose_name = "患者"
