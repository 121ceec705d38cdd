from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "hospital.audit"
    label = "audit"
    verbose_name = "合规审计"
