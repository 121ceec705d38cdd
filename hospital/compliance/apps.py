from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    name = "hospital.compliance"
    label = "compliance"
    verbose_name = "合规证据"
