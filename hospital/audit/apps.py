from django.apps import AppConfig


class AuditConfig(AppConfig):
    name = "hospital.audit"
    label = "audit"
    verbose_name = "合规审计"

    def ready(self) -> None:
        from hospital.audit import recording  # noqa: PLC0415 (needs the models)

        recording.mac("")  # an unusable key stops the start, not the first patient
