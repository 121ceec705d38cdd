from django.apps import AppConfig

from hospital.crypto import known_answers


class CryptoConfig(AppConfig):
    name = "hospital.crypto"
    label = "crypto"
    verbose_name = "密钥"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """
        Register the checks, and refuse to start where the algorithms do not work.

        :raises SelfTestFailed:
        """
        # The checks know models, which exist only now; importing them registers them.
        from hospital.crypto import checks  # noqa: F401, PLC0415

        known_answers.self_test()
