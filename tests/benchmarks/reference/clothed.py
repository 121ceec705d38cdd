"""The bare views inside what every answer of the project passes: its middleware, and its log."""

from hospital.settings import MIDDLEWARE as PROJECT_MIDDLEWARE
from tests.benchmarks.reference.settings import *  # noqa: F403

MIDDLEWARE = [*PROJECT_MIDDLEWARE]
ROOT_URLCONF = "tests.benchmarks.reference.beside"
