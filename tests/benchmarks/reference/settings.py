"""
The project's settings with nothing in the way: what "bare" means.

No middleware, no throttle, no strictness: Django and Django REST framework as they come, on the
project's own database and under its own server. It also knows the project's tables, so that it
can fill them before anything is measured.
"""

from hospital.settings import *  # noqa: F403
from hospital.settings import INSTALLED_APPS as PROJECT_APPS

UNGUARDED = "tests.benchmarks.reference.apps.Unguarded"
INSTALLED_APPS = [UNGUARDED if app == "allauth.account" else app for app in PROJECT_APPS]
INSTALLED_APPS += ["rest_framework.authtoken", "tests.benchmarks.reference"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "tests.benchmarks.reference.urls"
WSGI_APPLICATION = "tests.benchmarks.reference.wsgi.application"
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["rest_framework.authentication.TokenAuthentication"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
}
