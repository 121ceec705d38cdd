from django.apps import AppConfig


class ComplianceConfig(AppConfig):
    name = "hospital.compliance"
    label = "compliance"
    verbose_name = "合规证据"

    def ready(self) -> None:
        from hospital.compliance import checks  # noqa: F401, PLC0415 (registers them)
