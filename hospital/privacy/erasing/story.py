"""What was done of one erasure so far, as the trail says, and what is still to come."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from hospital.audit import stated
from hospital.audit.actions import Action
from hospital.audit.models import Event
from hospital.audit.times import moment
from hospital.patients.models import Patient
from hospital.privacy.models import Erasure

State = Erasure.State

_WORDS: Final = {
    State.BEGUN: "开始：写入台账，不能再取消",
    State.KEYS: "销毁密钥",
    State.ROWS: "清除记录和检索索引",
    State.TRACES: "等待各进程放下密钥，再清除一遍",
    State.DONE: "由新进程核验：都打不开，都查不到",
}
_FAILED: Final = "核验未通过：仍有内容可以读取"


@dataclass(frozen=True)
class Step:
    words: str
    at: datetime | None  # None: not yet
    is_bad: bool = False


def steps(erasure: Erasure) -> list[Step]:
    """Return the steps in their order, those to come after those that were taken."""
    taken = list(_taken(erasure))
    begun = [Step("决定删除", erasure.decided_at)]
    if erasure.state == State.CANCELLED:
        return [*begun, Step("取消", erasure.done_at)]
    done = {step.words for step in taken}
    to_come = [Step(words, None) for words in _WORDS.values() if words not in done]
    return [*begun, *taken, *to_come]


def _taken(erasure: Erasure) -> Iterator[Step]:
    events = Event.objects.on(Patient(pk=erasure.subject)).filter(
        action=Action.ERASURE_STEP.value.tag
    )
    for event in events.order_by("id"):
        facts = stated.facts(event.payload)
        if facts.get("erasure") == str(erasure.pk) and facts.get("step") in _WORDS:
            is_bad = event.outcome == "failed"
            words = _FAILED if is_bad else _WORDS[State(str(facts["step"]))]
            yield Step(words, moment(event.at_us), is_bad=is_bad)
