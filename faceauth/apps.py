from django.apps import AppConfig


class FaceauthConfig(AppConfig):
    name = "faceauth"
    verbose_name = "登记业务"

    def ready(self) -> None:
        from faceauth import checks  # noqa: F401, PLC0415 (registers them)
