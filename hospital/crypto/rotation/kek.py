"""
A new key-encryption key: every data key and index key is wrapped anew, no value is touched.

The old epoch stays, for unwrapping only: a backup may need it. Destroying it is another act.
"""

from collections.abc import Sequence
from typing import Any, Final

from django.db import models, transaction
from django.db.models import QuerySet

from hospital.crypto import data_keys, epochs, index_keys
from hospital.crypto.epochs import Epoch
from hospital.crypto.models import DataKey, IndexKey, KeyEpoch, key_database
from hospital.crypto.rotation import in_flight
from hospital.crypto.rotation.jobs import Finding, Phase, Run, sweep_until_clean
from hospital.crypto.rotation.swapping import Swap, swap
from hospital.crypto.rotation.tables import cursor_at, walk
from hospital.crypto.suites import Mac, Suite
from hospital.crypto.wrapping import WrongKey, checked, unwrap, wrap

_AT_ONCE: Final = 5_000  # rows in one transaction
_DATA: Final = (
    "pk",
    "epoch_id",
    "epoch__check_value",
    "wrapped",
    "check_value",
    "subject",
    "generation",
    "suite",
)
_INDEX: Final = (*_DATA[:5], "label", "version", "algorithm")
_KINDS: Final[Sequence[tuple[type[models.Model], tuple[str, ...]]]] = (
    (DataKey, _DATA),
    (IndexKey, _INDEX),
)


def target() -> str:
    """Return the number of the epoch a rotation that begins now would make."""
    newest = KeyEpoch.objects.using(key_database()).order_by("-epoch").first()
    return str(newest.epoch + 1 if newest else 1)


def left_behind(*, target: str) -> int:
    """Return how many keys are not wrapped by this epoch."""
    return sum(_others(model, target).count() for model, _columns in _KINDS)


def _make_epoch(run: Run) -> str:
    rows, number = KeyEpoch.objects.using(key_database()), int(run.job.target)
    if rows.filter(epoch=number).exists():  # killed right behind the transaction
        return "settle"
    made = epochs.make(number, epochs.configured_suite())
    epochs.prove(made)
    with transaction.atomic(using=key_database()):
        rows.filter(state=KeyEpoch.State.ACTIVE).update(state=KeyEpoch.State.DECRYPT_ONLY)
        made.save(using=key_database(), force_insert=True)
    return "settle"


def _settle(run: Run) -> str:
    # Nobody remembers which epoch is active. But who has just read it may not have committed.
    in_flight.wait(key_database(), tick=lambda: run.renew("等待未结束的事务"))
    return "rewrap"


def _rewrap(run: Run) -> str:
    new = _epoch(run.job.target)

    def sweep() -> None:
        for place, rows in walk(
            run,
            [model for model, _columns in _KINDS],
            lambda place, after: _read(place, run.job.target, after, run.batch_size(_AT_ONCE)),
        ):
            _rewrap_batch(run, place, rows, new)

    sweep_until_clean(run, total=lambda: left_behind(target=run.job.target), sweep=sweep)
    return "prove"


def _prove(run: Run) -> str:
    """A key that appeared since is wrapped by the new epoch, or else it is seen here."""
    left = left_behind(target=run.job.target)
    total = sum(_alive(model).count() for model, _columns in _KINDS)
    run.mark("", total=total, done=total - left)
    return "rewrap" if left > run.job.failed else ""


def _rewrap_batch(run: Run, place: int, rows: Sequence[dict[str, Any]], new: Epoch) -> None:
    model, swaps, findings = _KINDS[place][0], [], []
    for row in rows:
        try:
            wrapped = _wrapped_anew(row, new)
        except WrongKey as exc:
            error = type(exc).__name__
            findings.append(Finding(model._meta.label_lower, str(row["pk"]), "wrapped", error))
            continue
        old = bytes(row["wrapped"])
        swaps.append(Swap(row["pk"], (old, row["epoch_id"]), (wrapped, new.pk)))
    columns = [model._meta.get_field("wrapped"), model._meta.get_field("epoch")]
    with run.batch(key_database()) as step:
        changed = swap(model, columns, swaps, using=key_database())  # type: ignore[arg-type]
        step.cursor = cursor_at(model, rows[-1]["pk"])
        step.done, step.changed = len(rows), changed
        step.conflicts, step.findings = len(swaps) - changed, findings


def _wrapped_anew(row: dict[str, Any], new: Epoch) -> bytes:
    """:raises WrongKey: it does not unwrap; KeyUnavailable"""
    old = epochs.opened(row["epoch_id"], bytes(row["epoch__check_value"]))
    if "subject" in row:
        suite = Suite(row["suite"])
        before, after = (
            data_keys.wrapping_aad(row["subject"], row["generation"], suite, epoch)
            for epoch in (old, new)
        )
        algorithm = suite.mac
    else:
        algorithm = Mac(row["algorithm"])
        before, after = (
            index_keys.wrapping_aad(row["label"], row["version"], algorithm, epoch)
            for epoch in (old, new)
        )
    secret = unwrap(old.key, bytes(row["wrapped"]), aad=before)
    return wrap(
        new.key, checked(secret, algorithm=algorithm, check=bytes(row["check_value"])), aad=after
    )


def _read(place: int, target: str, after: Any, size: int) -> list[dict[str, Any]]:
    model, columns = _KINDS[place]
    rows = _others(model, target).order_by("pk")
    if after is not None:
        rows = rows.filter(pk__gt=after)
    found = rows.values_list(*columns)[:size]
    return [dict(zip(columns, values, strict=True)) for values in found]


def _others(model: type[models.Model], target: str) -> QuerySet[Any]:
    return _alive(model).exclude(epoch__epoch=int(target))


def _alive(model: type[models.Model]) -> QuerySet[Any]:
    return model._meta.base_manager.using(key_database()).filter(wrapped__isnull=False)


def _epoch(target: str) -> Epoch:
    row = KeyEpoch.objects.using(key_database()).get(epoch=int(target))
    return epochs.opened(row.pk, bytes(row.check_value))


PHASES: Final = {
    "epoch": Phase("启用新一代主密钥", _make_epoch),
    "settle": Phase("等待未结束的事务", _settle),
    "rewrap": Phase("重新封装密钥", _rewrap),
    "prove": Phase("核对没有遗漏", _prove),
}
