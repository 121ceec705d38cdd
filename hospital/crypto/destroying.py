"""
The end of an epoch: its wrapped key goes out of the database, and so nothing asks for it again.

No provider holds anything of one epoch: a single root key wraps them all, and stays. A backup
still has what was removed here until its own time is over.
"""

from contextlib import suppress
from typing import Final

from django.db import transaction
from django.db.models import QuerySet

from hospital.crypto import epochs
from hospital.crypto.models import Job, KeyEpoch, key_database
from hospital.crypto.rotation import jobs
from hospital.errors import Refusal

State = KeyEpoch.State
_NOTHING: Final = b""


class NoSuchEpoch(Refusal):
    code = "epoch_unknown"
    message = "没有这一代主密钥"


class EpochActive(Refusal):
    code = "epoch_active"
    message = "使用中的主密钥不能销毁，请先更换（rotatekeys --kek）"


class EpochNeeded(Refusal):
    code = "epoch_needed"
    message = "仍有密钥由这一代主密钥封装，不能销毁"


class RotationOpen(Refusal):
    code = "epoch_rotation_open"
    message = "更换主密钥尚未完成，暂不能销毁"


class DestroyedAlready(Refusal):
    code = "epoch_destroyed"
    message = "这一代主密钥已经销毁"


def destroyable() -> list[int]:
    """Return the numbers of the epochs that wrap nothing any more, the oldest first."""
    needed = epochs.in_use().values_list("pk", flat=True)
    idle = _rows().filter(state=State.DECRYPT_ONLY).exclude(pk__in=needed)
    return list(idle.order_by("epoch").values_list("epoch", flat=True))


def check(number: int) -> None:
    """
    Say whether this epoch could be destroyed.

    :raises NoSuchEpoch, EpochActive, EpochNeeded, RotationOpen, DestroyedAlready:
    """
    _demand_idle(_rows().filter(epoch=number).first())


def destroy(number: int) -> KeyEpoch:
    """
    Destroy this epoch and return it. Where that was done before, and not told, nothing changes.

    :raises NoSuchEpoch, EpochActive, EpochNeeded, RotationOpen:
    """
    with transaction.atomic(using=key_database()):
        # Who is just wrapping something with it holds the row: afterwards we see what.
        row = _rows().select_for_update().filter(epoch=number).first()
        with suppress(DestroyedAlready):
            _demand_idle(row)
            _rows().filter(epoch=number).update(state=State.DESTROYED, wrapped=_NOTHING)
    epochs.forget()
    return _rows().get(epoch=number)


def _demand_idle(row: KeyEpoch | None) -> None:
    if row is None:
        raise NoSuchEpoch
    if row.state == State.DESTROYED:
        raise DestroyedAlready
    if row.state == State.ACTIVE:
        raise EpochActive
    if jobs.unfinished(Job.Kind.KEK):
        raise RotationOpen
    if epochs.in_use().filter(pk=row.pk).exists():
        raise EpochNeeded


def _rows() -> QuerySet[KeyEpoch]:
    return KeyEpoch.objects.using(key_database())
