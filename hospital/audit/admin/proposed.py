"""Requests in words: what they are about, what happens next, and why they failed."""

from collections.abc import Iterable

from django.utils import timezone

from hospital.audit import proposing
from hospital.audit.admin import people, words
from hospital.audit.keeping import redacting
from hospital.audit.kept import Archive
from hospital.audit.log import Leaf
from hospital.audit.models import Event
from hospital.audit.proposals import Proposal
from hospital.audit.times import moment
from hospital.errors import Refusal


def label(proposal: Proposal) -> str:
    """Return what a request is for; a kind that no longer exists keeps its tag."""
    known = {kind.tag: kind.label for kind in proposing.kinds()}
    return known.get(proposal.kind, proposal.kind)


def know_people(proposals: Iterable[Proposal]) -> None:
    """Look up everybody these requests name at once, for a list that asks only once."""
    asked = list(proposals)
    names = people.names(key for one in asked for key in _named(one))
    for one in asked:
        one.names = names  # type: ignore[attr-defined] # of this page, no column


def name(proposal: Proposal, person: object) -> str:
    """Return the name and staff number of somebody a request names."""
    return _names(proposal).get(str(person), "—")


def told(proposal: Proposal) -> str:
    """Return the facts of a request in words."""
    facts = proposal.facts
    known = {kind.tag: kind.told for kind in proposing.kinds()}
    if tell := known.get(proposal.kind):
        return tell(facts, _names(proposal))
    match proposal.kind:
        case "audit.prune":
            return f"序号 {facts['start']:,} 至 {facts['end'] - 1:,}"
        case "audit.redact":
            return f"序号 {facts['index']:,}"
    return "，".join(f"{words.FACTS.get(name, name)} {value}" for name, value in facts.items())


def told_in_full(proposal: Proposal) -> str:
    """Return them with what is too long for a list: the hash by which the line is named."""
    hash_ = proposal.facts.get("hash")
    return f"{told(proposal)}，叶散列 {hash_}" if hash_ else told(proposal)


def next_step(kind: proposing.Kind) -> str:
    """Return what happens once it is approved, in one sentence."""
    if kind.command:
        return f"批准后先封存，封存后由人在服务器上运行 {kind.command} 完成。"
    # The web's account is the worker's.
    who = "由后台进程在一分钟内完成" if kind.is_ours() else "由清理账号运行 pruneaudit 完成"
    return f"批准后先封存，封存后执行：{who}{'，不能恢复' if kind.is_final else ''}。"


def archives(proposal: Proposal) -> list[Archive]:
    facts = proposal.facts
    match proposal.kind:
        case "audit.prune":
            rows = Archive.objects.filter(start__gte=facts["start"], end__lte=facts["end"])
            return list(rows.order_by("start", "id"))
        case "audit.redact":
            return redacting.holding(facts["index"])
    return []


def sentence(code: str) -> str:
    """Return what a refusal with this code says; whoever raised it."""
    kinds = [Refusal]
    for kind in kinds:
        if kind.code == code and kind is not Refusal:
            return kind.message
        kinds += kind.__subclasses__()
    return "原因不详"


def line_of(proposal: Proposal) -> dict[str, str]:
    """Return which line is to be redacted, if it is about that."""
    if proposal.kind != "audit.redact":
        return {}
    leaf = Leaf.objects.filter(index=proposal.facts["index"]).first()
    return line(leaf) if leaf else {}


def line(leaf: Leaf) -> dict[str, str]:
    """Return which line it is, and nothing of what it says."""
    event = Event.objects.filter(pk=leaf.event_id).first()
    if event is None or event.action is None:
        return {}
    return {
        "时间": f"{timezone.localtime(moment(event.at_us)):%Y-%m-%d %H:%M:%S}",
        "行为": event.label,
        "行为人": _who(event),
        "对象": f"{words.kind_of_thing(event.object_type or '')} {event.object_id or ''}".strip()
        or "—",
        "结果": words.OUTCOMES.get(event.outcome, "—"),
        "编号": str(event.uid),
    }


def _names(proposal: Proposal) -> dict[str, str]:
    if not hasattr(proposal, "names"):
        know_people([proposal])
    known: dict[str, str] = proposal.names  # type: ignore[attr-defined]
    return known


def _named(proposal: Proposal) -> tuple[object, ...]:
    return proposal.asked_by, proposal.decided_by, proposal.facts.get("staff")


def _who(event: Event) -> str:
    kind = words.ACTORS.get(event.actor_type, "")
    name = people.names([event.actor_id]).get(str(event.actor_id), event.actor_id or "")
    return f"{kind} {name}".strip() or "—"
