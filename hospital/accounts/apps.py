from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "hospital.accounts"
    label = "accounts"
    verbose_name = "人员"

    def ready(self) -> None:
        from hospital.accounts import logins  # noqa: PLC0415 (needs the models)

        logins.connect()
