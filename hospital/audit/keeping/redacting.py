"""
A value that should never have been written goes out of an event, when two people decided it.

What is left of the line is the hash of its leaf, so the log and every proof over it stay as they
are. Copies elsewhere, archives among them, still have the line: see `holding`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from django.db import IntegrityError, connection, transaction

from hospital.audit import canonical
from hospital.audit.actions import Action
from hospital.audit.keeping import keeper, permitted
from hospital.audit.keeping.pruning import DatabaseRefused
from hospital.audit.kept import Archive, Redacted
from hospital.audit.log import Leaf
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind
from hospital.audit.recording import MAC_KEY_ID, SYSTEM, mac, record
from hospital.errors import Refusal
from hospital.roles import May


class NoSuchLine(Refusal):
    code = "redact_no_such_line"
    message = "没有这个序号的留痕，或散列不符"


class NotThere(Refusal):
    code = "redact_not_there"
    message = "该留痕已清理、已遮盖或不在库中"


class Protected(Refusal):
    code = "redact_protected"
    message = "这类留痕不能遮盖：只有业务留痕（会话、患者、终端、门店、微信商户、告知书）可以"


def redacted(leaf: bytes) -> str:
    """Return the canonical line that is left of the one with this leaf's hash."""
    return canonical.line({"redacted": leaf.hex(), "v": 1})


def holding(index: int) -> list[Archive]:
    """Return the archives that hold this line, the oldest first; each was made before or after."""
    return list(Archive.objects.filter(start__lte=index, end__gt=index).order_by("id"))


def check(facts: Mapping[str, Any], _at: datetime) -> None:
    """:raises NoSuchLine, NotThere, Protected:"""
    leaf = Leaf.objects.filter(index=facts["index"]).first()
    if leaf is None or bytes(leaf.hash).hex() != facts["hash"]:
        raise NoSuchLine
    event = Event.objects.filter(pk=leaf.event_id).first()
    if event is None or event.action is None:
        raise NotThere
    if not event.action.startswith(permitted.REDACTABLE):
        raise Protected


def concerned(facts: Mapping[str, Any]) -> frozenset[str]:
    """Return whose act the line tells of, and what it was done to: ids."""
    leaves = Leaf.objects.filter(index=facts["index"])
    event = Event.objects.filter(pk__in=leaves.values("event_id")).first()
    return frozenset(filter(None, (event.actor_id, event.object_id))) if event else frozenset()


def carry_out(proposal: Proposal, at: datetime) -> None:
    """:raises Refusal: what `check` refuses, or the database"""
    check(proposal.facts, at)
    index, hash_ = proposal.facts["index"], proposal.facts["hash"]
    row = Redacted.objects.create(index=index, proposal=proposal.pk, at=at)
    try:
        with transaction.atomic():
            _replace(proposal, index, redacted(bytes.fromhex(hash_)))
    except IntegrityError:
        raise DatabaseRefused from None
    record(
        Action.AUDIT_REDACT,
        by=SYSTEM,
        on=row,
        at=at,
        index=index,
        hash=hash_,
        proposal=proposal.pk,
        asked_by=proposal.asked_by,
        approved_by=str(proposal.decided_by),
    )


def _replace(proposal: Proposal, index: int, payload: str) -> None:
    code = mac(payload)
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SELECT audit_redact(%s, %s, %s)", [proposal.pk, code, MAC_KEY_ID])
        else:
            cursor.execute(
                "UPDATE audit_event SET payload = %s, mac = %s, mac_key = %s WHERE id ="
                ' (SELECT event_id FROM audit_leaf WHERE "index" = %s)',
                [payload, code, MAC_KEY_ID, index],
            )


KIND: Final = Kind(
    tag="audit.redact",
    label="遮盖留痕中的内容",
    asks=May.KEEP_TRAIL,
    decides=May.APPROVE_KEEPING,
    facts=frozenset({"index", "hash"}),
    check=check,
    carry_out=carry_out,
    concerned=concerned,
    is_ours=keeper.may_redact,
)
