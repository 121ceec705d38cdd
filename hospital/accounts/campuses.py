"""院区: where patients come to, and what a registrar sees. The settings name them, by code."""

from django.conf import settings


def choices() -> list[tuple[str, str]]:
    """Return code and name of each, as the settings order them."""
    return list(settings.CAMPUSES.items())


def name(code: str) -> str:
    """Return what staff call it; one that is no longer there keeps its code."""
    return str(settings.CAMPUSES.get(code, code))
