"""The project's settings, and beside it the libraries whose trail ours is measured with."""

from tests.settings import *  # noqa: F403
from tests.settings import INSTALLED_APPS as PROJECT_APPS

INSTALLED_APPS = [*PROJECT_APPS, "auditlog", "simple_history", "tests.benchmarks.trail.shapes"]
