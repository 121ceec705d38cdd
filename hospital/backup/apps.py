from django.apps import AppConfig


class BackupConfig(AppConfig):
    name = "hospital.backup"
    label = "backup"
    verbose_name = "备份恢复"

    def ready(self) -> None:
        from hospital.backup import checks  # noqa: F401, PLC0415 (registers them)
