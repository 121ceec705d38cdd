"""What people are told to type exists: commands, their options, targets, services, files."""

import re
import shlex
from pathlib import Path

import pytest
from django.core.management import get_commands, load_command_class

from tests.packaging.engine import DOCKER, ROOT, compose

PAGES = [*sorted((ROOT / "docs").glob("*.md")), *sorted(ROOT.glob("README*.md"))]
PAGES += [*sorted(DOCKER.glob("*.yaml")), *sorted(DOCKER.glob("systemd/*"))]
SOURCES = [
    path
    for folder in ("hospital", "faceauth", "devices", "docker")
    for path in sorted((ROOT / folder).rglob("*"))
    if path.suffix in {".py", ".html", ".yaml", ".sh", ".service"}
]
PRODUCTION = (ROOT / "docs" / "production.md").read_text()
MAKES = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
MANAGE = re.compile(
    r"(?:manage\.py|hospital-manage|--rm (?:-T )?manage) ([a-z]+)\b(?!…)([^\n`|)）]*)"
)
RUN = re.compile(r"docker compose run --rm ((?:-T |-v \S+ |-e \S+ )*)([a-z-]+)([^\n`(）)&]*)")


def pages():
    return [pytest.param(path, id=path.name) for path in PAGES if path.is_file()]


def text_of(path: Path) -> str:
    """Return it with lines put together that a backslash broke."""
    return re.sub(r"\\\n\s*", " ", path.read_text())


def options_of(name: str) -> set[str]:
    command = load_command_class(get_commands()[name], name)
    actions = command.create_parser("manage.py", name)._actions
    return {text for action in actions for text in action.option_strings}


def told_of(text: str) -> list[tuple[str, list[str]]]:
    """Return each command of manage.py that is told of, with its options."""
    found = []
    for name, rest in MANAGE.findall(text):
        its_own = re.split(r" #| \(|[；，（]", rest)[0]  # before a remark
        found.append((name, re.findall(r"(?<= )--[a-z-]+", its_own)))
    return found


@pytest.mark.parametrize("path", pages())
def test_every_command_there_is_told_of_exists_with_its_options(path):
    for name, options in told_of(text_of(path)):
        assert name in get_commands(), name
        assert set(options) <= options_of(name), name


def test_every_command_the_program_tells_people_to_run_exists():
    for path in SOURCES:
        for name, options in told_of(path.read_text()):
            assert name in get_commands(), (path.name, name)
            assert set(options) <= options_of(name), (path.name, name)


@pytest.mark.parametrize("path", pages())
def test_every_target_of_make_there_is(path):
    told = set(re.findall(r"`make ([a-z-]+)", path.read_text()))

    assert told <= MAKES


@pytest.mark.parametrize("path", pages())
def test_what_compose_is_to_run_is_a_service_that_has_what_it_needs(path):
    services = compose()["services"]
    for _, name, rest in RUN.findall(text_of(path)):
        assert name in services, name
        words = shlex.split(rest.split(" #")[0])
        entry = services[name].get("entrypoint") or []
        if words and entry[-1:] != ["manage"]:
            assert words[0] == "manage", (name, words)
            words = words[1:]
        if words and words[0].isalpha() and words[0].islower():
            assert words[0] in get_commands(), words
            if words[0] in {"restore", "drillrestore"}:
                assert "root_key" in services[name]["secrets"]
            if words[0] in {"restore", "drillrestore", "backup", "migrate"}:
                assert "database_url_admin" in services[name]["secrets"], name


@pytest.mark.parametrize("path", pages())
def test_an_account_of_the_database_is_one_its_command_can_be(path):
    text = path.read_text()
    held = set(compose()["services"]["manage"]["secrets"])
    kept = re.search(r"^Secrets go to .*?^$", PRODUCTION, re.DOTALL | re.MULTILINE)
    assert kept

    assert set(re.findall(r"DATABASE_ACCOUNT=(\w+)", text)) <= held
    assert set(re.findall(r"\bDATABASE=(\w+)", text)) <= set(re.findall(r"`(\w+)`", kept[0]))


@pytest.mark.parametrize("path", pages())
def test_every_page_there_is_pointed_to_exists(path):
    for link in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / link).exists(), link


@pytest.mark.parametrize("path", pages())
def test_every_file_of_ours_there_is_named_exists(path):
    folders = "docs|docker|hospital|faceauth|devices|tests|templates"
    for name in re.findall(rf"`((?:{folders})/[\w./-]+\w)`", path.read_text()):
        assert (ROOT / name).exists() or name.startswith("docker/secrets"), name


def test_every_page_a_remedy_points_to_exists():
    for path in SOURCES:
        for name in re.findall(r"docs/([a-z-]+)\.md", path.read_text()):
            assert (ROOT / "docs" / f"{name}.md").exists(), (path.name, name)
