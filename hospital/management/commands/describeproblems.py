"""The tables of codes in docs/terminal-api.md, written from what the code declares."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from drf_spectacular.generators import SchemaGenerator

from faceauth import reasons
from hospital.api import PROBLEM_JSON

MANY = 4  # operations that are named one by one; of more, those that are left out


class Command(BaseCommand):
    help = "把错误码表写进接口文档（由代码生成，make openapi 会运行）"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("page", type=Path)

    def handle(self, *args: Any, **options: Any) -> None:
        page: Path = options["page"]
        text = page.read_text()
        for name, table in (("problems", problems()), ("reasons", ends())):
            text = _between(f"<!-- {name}: make openapi -->\n", f"<!-- /{name} -->", text, table)
        page.write_text(text)


def problems() -> str:
    """Return the table of what each call may be refused with."""
    described = SchemaGenerator().get_schema(request=None, public=True)
    answers = {
        code: example["value"] for code, example in described["components"]["examples"].items()
    }
    where: dict[str, list[str]] = {}
    everywhere = []
    for path in described["paths"].values():
        for operation in path.values():
            everywhere.append(operation["operationId"])
            for code in _codes(operation):
                where.setdefault(code, []).append(operation["operationId"])
    rows = []
    for answer in sorted(answers.values(), key=lambda answer: (answer["status"], answer["code"])):
        of = _of(where[answer["code"]], everywhere)
        rows.append((answer["status"], _quoted(answer["code"]), answer["detail"], of))
    return _table(("status", "code", "detail", "of"), rows)


def ends() -> str:
    """Return the table of why a session may have ended without a patient."""
    told = reasons.sentences().items()
    return _table(("code", "detail"), ((_quoted(code), detail) for code, detail in told))


def _between(begin: str, end: str, text: str, table: str) -> str:
    """Return `text` with `table` where something else was; its marks stay."""
    before, found, rest = text.partition(begin)
    _, also_found, after = rest.partition(end)
    if not (found and also_found):
        raise CommandError(f"文档里没有 {begin.strip()} … {end}")
    return before + begin + table + end + after


def _codes(operation: Mapping[str, Any]) -> Iterable[str]:
    for response in operation["responses"].values():
        yield from response.get("content", {}).get(PROBLEM_JSON, {}).get("examples", {})


def _of(named: list[str], everywhere: list[str]) -> str:
    others = [operation for operation in everywhere if operation not in named]
    if not others:
        return "any call"
    if len(named) <= MANY:
        return ", ".join(map(_quoted, named))
    return "all but " + ", ".join(map(_quoted, others))


def _table(head: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)


def _quoted(word: str) -> str:
    return f"`{word}`"
