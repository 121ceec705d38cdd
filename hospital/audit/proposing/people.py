"""Who may: by right, and only where it is not about themselves."""

from collections.abc import Mapping
from typing import Any, Protocol
from uuid import UUID

from hospital import roles
from hospital.audit.proposing.kind import Kind
from hospital.audit.recording import HasActor
from hospital.errors import Refusal
from hospital.roles import May


class Person(HasActor, Protocol):
    """Somebody with an account: a person has one account, and one role."""

    @property
    def pk(self) -> UUID: ...


class NotAllowed(Refusal):
    code = "proposal_not_allowed"
    message = "当前角色不能申请或批准此事项"


class OwnAct(Refusal):
    code = "proposal_own_act"
    message = "事项涉及本人的留痕，申请和批准须由其他人办理"


def demand_right(by: Person, right: May) -> None:
    """:raises NotAllowed:"""
    if not roles.may(by, right):
        raise NotAllowed


def demand_others(kind: Kind, facts: Mapping[str, Any], *people: UUID | None) -> None:
    """:raises OwnAct: it is about one of these"""
    if kind.concerned(facts) & set(map(str, people)):
        raise OwnAct
