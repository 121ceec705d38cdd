"""One event in words: what its canonical line says, whatever its columns say."""

import hmac
from typing import Any

from django.utils import timezone

from hospital.audit.actions import BY_TAG
from hospital.audit.admin import people, words
from hospital.audit.models import Event
from hospital.audit.reading import encoded, octets
from hospital.audit.recording import mac
from hospital.audit.stated import said
from hospital.audit.times import moment

Facts = list[tuple[str, str]]


def told(event: Event) -> tuple[list[tuple[str, Facts]], list[str]]:
    """Return the event's fields under headings, and what is wrong with the line."""
    line = said(event.payload)
    actor, thing, context = (_part(line, name) for name in ("actor", "object", "ctx"))
    who = str(actor.get("id", ""))
    known = people.names([who]).get(who, "")
    tag = str(line.get("action", ""))
    action = BY_TAG.get(tag)
    sections = [
        (
            "事件",
            [
                ("时间", _time(line.get("t"))),
                ("行为", f"{action.value.label}（{tag}）" if action else words.value(tag)),
                ("级别", _word(words.SEVERITIES, line.get("severity"))),
                ("结果", _word(words.OUTCOMES, line.get("outcome"))),
                ("理由", words.value(line.get("reason"))),
            ],
        ),
        (
            "谁，对什么，从哪里",
            [
                ("行为人", f"{_word(words.ACTORS, actor.get('type'))} {known}".strip()),
                ("行为人编号", words.value(who)),
                ("当时的角色", words.role(str(actor.get("role", ""))) or "—"),
                ("对象", words.kind_of_thing(str(thing.get("type", ""))) or "—"),
                ("对象编号", words.value(thing.get("id"))),
                ("请求编号", words.value(context.get("req"))),
                ("客户端地址", words.value(context.get("ip"))),
                ("对端地址", words.value(context.get("peer"))),
            ],
        ),
        (
            "事实",
            [
                (words.FACTS.get(name, name), words.value(value))
                for name, value in sorted(_part(line, "facts").items())
            ],
        ),
    ]
    return [(title, facts) for title, facts in sections if facts], _faults(event)


def _faults(event: Event) -> list[str]:
    if hmac.compare_digest(mac(encoded(event.payload)), octets(event.mac)):
        return []
    return ["校验码不符：这一行不是本系统写的，或写后被改过"]


def _part(line: dict[str, Any], name: str) -> dict[str, Any]:
    part = line.get(name)
    return part if isinstance(part, dict) else {}


def _word(known: dict[str, str], stored: object) -> str:
    return known.get(str(stored), words.value(stored))


def _time(at_us: object) -> str:
    if not isinstance(at_us, int):
        return "—"
    at = moment(at_us)
    return f"{timezone.localtime(at):%Y-%m-%d %H:%M:%S.%f}（UTC {at:%Y-%m-%d %H:%M:%S}）"
