from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "hospital.accounts"
    label = "accounts"
    verbose_name = "人员"

    def ready(self) -> None:
        from hospital.accounts import logins, passwords  # noqa: PLC0415 (need the models)

        logins.connect()
        passwords.connect()
