"""What the doctor prints: a line for each finding, its remedy below, and the sum of it."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from hospital.operations.verdicts import Finding, Verdict, Words

_SIGNS: Final = {
    Verdict.OK: Words("正常", "ok"),
    Verdict.DEGRADED: Words("注意", "look"),
    Verdict.BROKEN: Words("故障", "BAD"),
}
_REMEDY: Final = Words("处理", "remedy")
_SUMMARY: Final = Words(
    "{ok} 项正常，{degraded} 项须处理，{broken} 项故障",
    "{ok} in order, {degraded} to see to, {broken} broken",
)
Labels = Mapping[str, Words]


def lines(found: Sequence[Finding], labels: Labels, language: str) -> Iterator[str]:
    for one in found:
        said = one.said.in_(language)
        line = f"[{_SIGNS[one.verdict].in_(language)}] {labels[one.part].in_(language)}"
        yield f"{line}: {said}" if said else line
        if remedy := one.remedy.in_(language):
            yield f"       {_REMEDY.in_(language)}: {remedy}"
    counts = {
        verdict.name.lower(): sum(one.verdict == verdict for one in found) for verdict in Verdict
    }
    yield _SUMMARY.in_(language).format(**counts)


def as_json(found: Sequence[Finding], labels: Labels, language: str) -> str:
    told = [
        {
            "part": one.part,
            "label": labels[one.part].in_(language),
            "verdict": one.verdict.name.lower(),
            "said": one.said.in_(language),
            "remedy": one.remedy.in_(language),
        }
        for one in found
    ]
    body = {"status": max(one.verdict for one in found).name.lower(), "findings": told}
    return json.dumps(body, ensure_ascii=False, indent=2)
