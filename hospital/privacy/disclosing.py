"""To whom what was given: a line in the ledger, in the transaction in which it was given."""

from collections.abc import Collection
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import transaction

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.privacy.models import Disclosure


@transaction.atomic
def note(
    recipient: Disclosure.Recipient,
    *,
    purpose: str,
    fields: Collection[str],
    subject: UUID | None,
    count: int = 1,
    reference: str = "",
    by: HasActor | Actor = SYSTEM,
    staff: UUID | None = None,
    at: datetime,
) -> Disclosure:
    """
    Note that these fields of a patient, or of `count` people, were given to somebody.

    :param fields: names of fields, no values
    :param purpose: a slug
    :param reference: number of a contract or an enquiry; nobody's data
    :param staff: who gave it, where somebody did
    """
    row = Disclosure.objects.create(
        recipient=recipient,
        purpose=purpose,
        fields=sorted(fields),
        count=count,
        subject=subject,
        by=staff,
        reference=reference,
        at=at,
    )
    whose: dict[str, Any] = {"patient": subject} if subject else {}
    record(
        Action.DISCLOSE,
        by=by,
        on=row,
        at=at,
        recipient=recipient.value,
        purpose=purpose,
        fields=fields,
        count=count,
        **whose,
    )
    return row
