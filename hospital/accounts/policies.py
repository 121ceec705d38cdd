"""The security administrator sets a parameter of the policy; beyond its line nobody does."""

from datetime import datetime

from django.db import IntegrityError, transaction

from hospital import policy
from hospital.accounts.models import PolicyChoice
from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Actor, HasActor, record
from hospital.errors import Refusal
from hospital.parameters import BY_KEY, Parameter


class BeyondLine(Refusal):
    code = "beyond_line"

    def __init__(self, parameter: Parameter) -> None:
        super().__init__()
        self.message = f"{parameter.label}须为 {parameter.line}"  # type: ignore[misc]


class ChangedMeanwhile(Refusal):
    code = "changed_meanwhile"
    message = "这项策略刚被改过，请核对现在的值后再改"


def change(key: str, value: int, *, was: int, by: HasActor, at: datetime, reason: str = "") -> None:
    """
    Set a parameter; in force in every process after at most `policy.REMEMBERED`.

    :param was: what whoever decides has seen it to be
    :raises BeyondLine: and that somebody tried is on record
    :raises ChangedMeanwhile: it is something else by now
    """
    parameter = BY_KEY[key]
    if not parameter.allows(value):
        reject({key: value}, source="admin", by=by, at=at)
        raise BeyondLine(parameter)
    with transaction.atomic():
        row = PolicyChoice.objects.select_for_update().filter(pk=key).first()
        policy.forget()
        if policy.value(key) != was:
            raise ChangedMeanwhile
        if value == was:
            return
        if row:
            row.value, row.set_at = value, at
            row.save()
        else:
            row = _first(key, value, at)
        record(
            Action.POLICY_CHANGE,
            by=by, on=row, at=at, reason=" ".join(reason.split()),
            key=key, before=was, after=value,
        )  # fmt: skip
        transaction.on_commit(policy.forget)


def reject(
    values: dict[str, int], *, source: str, at: datetime, by: HasActor | Actor = SYSTEM
) -> None:
    """Record what was refused, each in a transaction of its own: what it was part of is undone."""
    for key, value in values.items():
        # Whoever writes past the pages writes any name, and none is to hide the others.
        named = key if canonical.SLUG.fullmatch(key) else "unknown"
        with transaction.atomic():
            record(
                Action.POLICY_REJECT,
                by=by, on=None, at=at, outcome="denied",
                key=named, value=value, source=source,
            )  # fmt: skip


def look_over(*, at: datetime) -> None:
    """Record what was written into the table past its pages, as long as it is there."""
    if forced := policy.forced():
        reject(forced, source="database", at=at)


def _first(key: str, value: int, at: datetime) -> PolicyChoice:
    """Make the row there was none of to lock: of two at once the second looks again."""
    try:
        with transaction.atomic():
            return PolicyChoice.objects.create(key=key, value=value, set_at=at)
    except IntegrityError:
        raise ChangedMeanwhile from None
