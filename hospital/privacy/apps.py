from django.apps import AppConfig


class PrivacyConfig(AppConfig):
    name = "hospital.privacy"
    label = "privacy"
    verbose_name = "个人信息保护"

    def ready(self) -> None:
        from hospital.audit import proposing  # noqa: PLC0415 (need the models)
        from hospital.privacy import (  # noqa: PLC0415
            keeping,
            places,
            placing,
            rules,
            sweeping,
            vendors,
        )
        from hospital.privacy.erasing import asking, covering  # noqa: F401, PLC0415

        for kind in (rules.OF_PERSONAL, rules.OF_EVIDENCE, placing.OF_PLACING, placing.OF_LIFTING):
            proposing.register(kind)
        for sweep in keeping.SWEEPS:
            sweeping.register(sweep)
        proposing.register(asking.KIND)
        places.register()
        vendors.connect()
