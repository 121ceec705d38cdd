from django.apps import AppConfig
from django.core.signals import request_finished


class DevicesConfig(AppConfig):
    name = "devices"
    verbose_name = "终端设备"

    def ready(self) -> None:
        from devices import journal  # noqa: PLC0415 (needs the models)

        request_finished.connect(journal.flush_when_due, dispatch_uid="devices.journal")
