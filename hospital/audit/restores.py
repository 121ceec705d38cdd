"""
A backup takes the place of what is there when two people decided it.

Nothing here carries it out: a person does, with `manage.py restore` and two keys that are not on
the server. What was decided names one backup by its digest.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hospital.audit import proposing, stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind
from hospital.errors import Refusal
from hospital.roles import May

TAG: Final = "backup.restore"
_MADE: Final = Action.BACKUP_MAKE.value.tag
_SHOWN: Final = 40  # backups to choose from: more than are kept


class NoSuchBackup(Refusal):
    code = "restore_no_such_backup"
    message = "留痕中没有这份备份"


class NotApproved(Exception):
    """No two people stand by it; the text says what is missing, in Chinese."""


def known() -> dict[str, str]:
    """Return the backups the trail knows, id → digest, the newest first."""
    made = Event.objects.filter(action=_MADE, outcome="success").order_by("-at_us", "-id")
    found = map(stated.facts, made.values_list("payload", flat=True)[:_SHOWN])
    return {str(one.get("backup")): str(one.get("digest")) for one in found}


def check(facts: Mapping[str, Any], _at: datetime) -> None:
    """:raises NoSuchBackup:"""
    if known().get(facts["backup"]) != facts["digest"]:
        raise NoSuchBackup


def told(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    return f"备份 {facts['backup']}，摘要 {facts['digest'][:16]}…"


def approved(backup: str, digest: str, *, at: datetime) -> Proposal:
    """
    Return the request that two people stand by, as the sealed trail says.

    :raises NotApproved:
    """
    facts = {"backup": backup, "digest": digest}
    asked = Proposal.objects.filter(kind=TAG, facts=facts, state=Proposal.State.APPROVED)
    proposal = asked.order_by("-id").first()
    if proposal is None:
        raise NotApproved("没有两个人批准恢复此备份：在后台“双人审批”申请，由另一人批准")
    try:
        proposing.demand_standing(proposal, at=at)
    except Refusal as exc:
        raise NotApproved(str(exc)) from None
    return proposal


def carry_out(_proposal: Proposal, _at: datetime) -> None:
    """Nobody gets here: see `Kind.command`."""
    raise NoSuchBackup


KIND: Final = Kind(
    tag=TAG,
    label="恢复备份",
    asks=May.ASK_RESTORE,
    decides=May.APPROVE_RESTORE,
    facts=frozenset({"backup", "digest"}),
    check=check,
    carry_out=carry_out,
    told=told,
    command="restore",
)
