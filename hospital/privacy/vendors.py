"""A supplier's login is access given to them: a line in the ledger, whatever they look at."""

from typing import Any

from django.contrib.auth import signals
from django.utils import timezone

from hospital.accounts.models import Staff
from hospital.privacy import disclosing
from hospital.privacy.models import Disclosure


def connect() -> None:
    signals.user_logged_in.connect(_came, dispatch_uid="vendors")


def _came(user: Staff, **_kwargs: Any) -> None:
    if not user.is_vendor:
        return
    disclosing.note(
        Disclosure.Recipient.VENDOR,
        purpose="support",
        fields=[],  # none of patients: OF_VENDORS grants no right to any
        subject=None,
        count=0,
        by=user,
        staff=user.pk,
        at=timezone.now(),
    )
