from celery import shared_task
from django.core.management import call_command
from django.utils import timezone

from hospital.accounts import dormancy, emergencies, lockout, policies, privilege


@shared_task
def clear_sessions() -> None:
    call_command("clearsessions")


@shared_task
def forget_tries() -> None:
    lockout.forget(at=timezone.now())


@shared_task
def stop_dormant() -> None:
    dormancy.stop(at=timezone.now())


@shared_task
def look_over_policy() -> None:
    policies.look_over(at=timezone.now())


@shared_task
def look_for_privilege() -> None:
    privilege.check(at=timezone.now())


@shared_task
def attend_to_emergencies() -> None:
    """Shut what is past its end, drop what nobody allowed, name what nobody reviewed."""
    now = timezone.now()
    emergencies.close_late(at=now)
    emergencies.lapse(at=now)
    emergencies.warn_of_overdue(at=now)
