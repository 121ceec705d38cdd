"""The ids of all lines a run of the benchmarks can yield, read in its source."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

# What stands in the place of a variable in an id.
VARIABLES = {"w": ("", "w8"), "letter": "cu", "suffix": "ah"}
MAKERS = {"Line", "Line.one", "Ratio", "_count", "_of"}
_ID = re.compile(r"[A-Z]\d+\w*")


def ids(place: Path) -> set[str]:
    trees = [ast.parse(path.read_text()) for path in place.rglob("*.py")]
    found = {one for tree in trees for node in ast.walk(tree) for one in _of(node)}
    return set(filter(_ID.fullmatch, found))


def _of(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func, [first, *_]) if ast.unparse(func) in MAKERS:
            yield from _written_out(first)
        case ast.Call(ast.Name("_sealed"), [ast.Constant(number), _, *kinds]):
            yield from (number, f"{number}p", *(number + ast.literal_eval(kind) for kind in kinds))
        case ast.Assign([ast.Name("RATIOS")], ast.Tuple(rows)):
            yield from (ast.literal_eval(row.elts[0]) for row in rows)
        case ast.For(ast.Tuple([ast.Name("name_id"), *_]), ast.Tuple(rows)):
            yield from (ast.literal_eval(row.elts[0]) for row in rows)


def _written_out(node: ast.expr) -> list[str]:
    """Return what an id may be, each of its variables in turn; none where it is but a variable."""
    found = [""]
    for piece in node.values if isinstance(node, ast.JoinedStr) else [node]:
        match piece:
            case ast.Constant(str(text)):
                parts = [text]
            case ast.FormattedValue(ast.Name(name)):
                parts = [*VARIABLES.get(name, ())]
            case _:
                parts = []
        found = [one + part for one in found for part in parts]
    return found
