from django.apps import AppConfig


class OperationsConfig(AppConfig):
    name = "hospital.operations"
    label = "operations"
    verbose_name = "运行状况"
