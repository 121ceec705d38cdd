from django.apps import AppConfig


class HisConfig(AppConfig):
    name = "hospital.his"
    label = "his"
    verbose_name = "HIS 移交"
