"""A wrapping key that wraps nothing any more is destroyed when two people decided it."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from hospital.audit.actions import Action
from hospital.audit.proposals import Proposal
from hospital.audit.proposing import Kind
from hospital.audit.recording import SYSTEM, record
from hospital.crypto import destroying
from hospital.roles import May

TAG: Final = "keys.destroy"


def check(facts: Mapping[str, Any], _at: datetime) -> None:
    """:raises Refusal: what `destroying.check` refuses"""
    destroying.check(facts["epoch"])


def told(facts: Mapping[str, Any], _names: Mapping[str, str]) -> str:
    return f"第 {facts['epoch']} 代主密钥"


def carry_out(proposal: Proposal, at: datetime) -> None:
    """:raises Refusal: what `destroying.destroy` refuses"""
    number = proposal.facts["epoch"]
    epoch = destroying.destroy(number)
    record(Action.KEYS_DESTROY, by=SYSTEM, on=epoch, at=at, epoch=number, proposal=proposal.pk)


KIND: Final = Kind(
    tag=TAG,
    label="销毁主密钥",
    asks=May.ASK_KEY_DESTRUCTION,
    decides=May.APPROVE_KEY_DESTRUCTION,
    facts=frozenset({"epoch"}),
    check=check,
    carry_out=carry_out,
    told=told,
)
