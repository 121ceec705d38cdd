from django.apps import AppConfig
from django.core.signals import request_finished


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = "终端设备"

    def ready(self) -> None:
        from devices import journal, keeping  # noqa: PLC0415 (need the models)
        from hospital.privacy import sweeping  # noqa: PLC0415

        for sweep in keeping.SWEEPS:
            sweeping.register(sweep)
        request_finished.connect(journal.flush_when_due, dispatch_uid="devices.journal")
