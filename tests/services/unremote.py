"""
The project's settings with Celery's remote control off, as some hospitals have it.

With it on, its own line tells a worker that the broker went away; what is said of that line
holds for every fault that reaches the messages' line alone.
"""

from hospital.settings import *  # noqa: F403

CELERY_WORKER_ENABLE_REMOTE_CONTROL = False
