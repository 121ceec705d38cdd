from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "hospital.accounts"
    label = "accounts"
    verbose_name = "人员"

    def ready(self) -> None:
        from hospital.accounts import (  # noqa: PLC0415 (need the models)
            emergency_banners,
            granting,
            logins,
            passwords,
            resetting,
        )
        from hospital.audit import banners, proposing  # noqa: PLC0415

        logins.connect()
        passwords.connect()
        banners.register(emergency_banners.told)
        for kind in (granting.KIND, resetting.KIND):
            proposing.register(kind)
