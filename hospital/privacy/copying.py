"""
个人信息副本: everything held of one person, for them (个人信息保护法 第四十五条).

Made once it was agreed to, encrypted under a password nobody keeps, sealed besides under the
patient's own key, so that erasing takes it along; fetched once, and then gone. It lies in a table
of its own (`RightsCopy`), where every process of the web finds it.
"""

import base64
import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction
from django.db.models import Q, QuerySet

from hospital import retention
from hospital.accounts.models import Staff
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.crypto import keyring
from hospital.crypto.sealing import Unopenable
from hospital.errors import Refusal
from hospital.patients import enrolment
from hospital.privacy import decided, disclosing, packing, subjects
from hospital.privacy.models import Disclosure, RightsCopy, RightsRequest

CATEGORY: Final = "rights_copy"
# Without what is taken for something else when it is read off paper: 0 and O, 1 and I.
_LETTERS: Final = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
_GROUPS: Final = 4  # of four letters: 80 bits

State = RightsRequest.State
# Also one whose request says there is none: nobody can fetch it any more, and it has to go.
THERE: Final = Q(copy_until__isnull=False) | Q(copy__isnull=False)


class NotReady(Refusal):
    code = "copy_not_ready"
    message = "副本还不能制作，或已领取、已过期、已删除"


class Lost(Refusal):
    code = "copy_lost"
    message = "副本不在了或被换过，请重新制作"


def make(request: RightsRequest, *, by: Staff, at: datetime) -> str:
    """
    Make the copy that was agreed to; return its password, which is kept nowhere.

    Made again it replaces the one nobody fetched: a password on paper gets lost.

    :raises NotReady: it is not agreed to, or was handed over
    :raises Unreadable: the person was erased, or cannot be read
    """
    password = _password()
    with transaction.atomic(), enrolment.legible():
        agreed = _agreed(request).select_for_update().first()
        if agreed is None:
            raise NotReady
        content = packing.pack(subjects.places(), subject=agreed.patient, password=password, at=at)
        digest = hashlib.sha256(content).hexdigest()
        until = at + timedelta(hours=retention.value(CATEGORY))
        _agreed(request).update(copy_digest=digest, copy_until=until)
        request.refresh_from_db()
        record(Action.RIGHTS_COPY, by=by, on=request, at=at, patient=request.patient, sha256=digest)
        text = base64.b64encode(content).decode()
        RightsCopy(request=request, patient=request.patient, packed=text).save()
    return password


def fetch(request: RightsRequest, *, by: Staff, at: datetime) -> bytes:
    """
    Hand the copy out, once: that ends the request, and is on record before the first byte.

    :raises NotReady: it was fetched, has expired, or there is none
    :raises Lost: it is not there, or not the one that was made
    """
    content = _opened(request)
    ready = _agreed(request).filter(copy_digest=request.copy_digest, copy_until__gt=at)
    with transaction.atomic():
        if not ready.update(copy_fetched_at=at, copy_until=None, state=State.DONE):
            raise NotReady
        RightsCopy.objects.filter(pk=request.pk).delete()
        patient, digest = request.patient, request.copy_digest
        record(Action.RIGHTS_FETCH, by=by, on=request, at=at, patient=patient, sha256=digest)
        record(Action.RIGHTS_COPY_GONE, by=by, on=request, at=at, code="fetched")
        decided.note(request, State.DONE.value, by=SYSTEM, at=at)
        disclosing.note(
            Disclosure.Recipient.SUBJECT,
            purpose="copy",
            fields=[one.name for one in subjects.places() if one.count(patient)],
            subject=patient,
            reference=str(request.pk),
            by=by,
            staff=by.pk,
            at=at,
        )
    request.refresh_from_db()
    return content


@transaction.atomic
def drop(request: RightsRequest, *, code: str, by: HasActor | Actor = SYSTEM, at: datetime) -> bool:
    """Remove a copy nobody fetched; return whether there was one."""
    RightsRequest.objects.select_for_update().get(pk=request.pk)
    # Only now: who held it may have been fetching the copy.
    if not RightsRequest.objects.filter(THERE, pk=request.pk).exists():
        return False
    RightsCopy.objects.filter(pk=request.pk).delete()
    RightsRequest.objects.filter(pk=request.pk).update(copy_until=None)
    record(Action.RIGHTS_COPY_GONE, by=by, on=request, at=at, code=code)
    return True


def due(*, at: datetime) -> QuerySet[RightsRequest]:
    """Return the requests whose copy was not fetched in time, or cannot be any more."""
    return RightsRequest.objects.filter(THERE).filter(Q(copy_until__lte=at) | Q(copy_until=None))


def _agreed(request: RightsRequest) -> QuerySet[RightsRequest]:
    return RightsRequest.objects.filter(
        pk=request.pk,
        kind=RightsRequest.Kind.COPY,
        state=State.VERIFIED,
        answered_at__isnull=False,
        copy_fetched_at=None,
    )


def _password() -> str:
    groups = ("".join(secrets.choice(_LETTERS) for _ in range(4)) for _ in range(_GROUPS))
    return "-".join(groups)


def _opened(request: RightsRequest) -> bytes:
    if request.copy_until is None:
        raise NotReady
    kept = RightsCopy.objects.filter(pk=request.pk).first()
    if kept is None:
        raise Lost
    try:
        content = base64.b64decode(kept.packed or "")
    except (Unopenable, keyring.SubjectForgotten):
        raise Lost from None
    if hashlib.sha256(content).hexdigest() != request.copy_digest:
        raise Lost
    return content
