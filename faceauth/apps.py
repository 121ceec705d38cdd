from django.apps import AppConfig


class FaceauthConfig(AppConfig):
    name = "faceauth"
    verbose_name = "登记业务"

    def ready(self) -> None:
        from faceauth import checks, enforcing, keeping, places  # noqa: F401, PLC0415 (registers)
        from hospital.audit import proposing  # noqa: PLC0415
        from hospital.privacy import sweeping  # noqa: PLC0415

        for sweep in keeping.SWEEPS:
            sweeping.register(sweep)
        places.register()
        proposing.register(enforcing.KIND)
