"""Rules for the Dockerfile, few and our own; that it builds and works, `make image` shows."""

import re
import subprocess

import pytest

from tests.packaging.engine import DOCKER, ROOT

TEXT = (DOCKER / "Dockerfile").read_text()
LINES = re.sub(r"\\\n", " ", re.sub(r"^\s*#.*\n", "", TEXT, flags=re.MULTILINE)).splitlines()
FINAL = LINES[max(i for i, line in enumerate(LINES) if line.startswith("FROM ")) :]


def test_the_base_is_named_by_who_builds_with_its_digest():
    assert [line for line in LINES if line.startswith("FROM ")] == [
        "FROM ${BASE} AS build",
        "FROM ${BASE}",
    ]
    assert "ARG BASE" in LINES


@pytest.mark.parametrize(
    ("base", "builds"),
    [
        ("debian:12-slim@sha256:0123456789abcdef", True),
        ("localhost/debian-bookworm", True),  # made on this machine, from Debian's archive
        ("debian:12-slim", False),
        ("registry.example/localhost/debian:12", False),
        ("", False),
    ],
)
def test_a_tag_alone_builds_nothing(base, builds):
    [line] = [line for line in LINES if line.startswith("RUN case ")]
    script = ["sh", "-c", line.removeprefix("RUN ")]
    ended = subprocess.run(script, env={"BASE": base, "PATH": "/usr/bin:/bin"})

    assert LINES.index(line) < LINES.index("FROM ${BASE}")
    assert (ended.returncode == 0) is builds


def test_what_is_installed_has_its_hash_and_is_not_compiled_here():
    [install] = [line for line in LINES if " -m pip " in line]

    assert "--require-hashes" in install
    assert "--only-binary :all:" in install


def test_the_final_stage_has_no_tools():
    assert not [line for line in FINAL if re.search(r"\b(pip|uv|gcc|build-essential|curl)\b", line)]


def test_it_runs_as_somebody_without_rights_and_says_whether_it_is_well():
    assert "USER 10001:10001" in FINAL
    assert any(line.startswith("HEALTHCHECK ") and "python" in line for line in FINAL)


@pytest.mark.parametrize("word", ["RUN --mount", "<<EOF", "# syntax=", "COPY --chmod", "ADD "])
def test_it_needs_no_buildkit_and_fetches_nothing(word):
    assert word not in TEXT


def test_no_secret_is_built_in():
    kept = [line for line in LINES if line.startswith(("ENV ", "ARG "))]

    assert not [line for line in kept if re.search(r"KEY|PASSWORD|TOKEN|SECRET", line)]


def test_nothing_but_the_program_is_sent_to_the_builder():
    first, *rest = (ROOT / ".dockerignore").read_text().splitlines()

    assert first == "*"
    assert not [one for one in rest if re.search(r"tests|secrets|var|\.git|venv", one)]


@pytest.mark.parametrize("script", sorted(DOCKER.glob("*.sh")), ids=lambda one: one.name)
def test_a_script_is_one_any_shell_reads(script):
    assert subprocess.run(["sh", "-n", script]).returncode == 0
    assert script.stat().st_mode & 0o111


def test_every_role_of_the_entry_point_is_known_and_nothing_else():
    refused = subprocess.run([DOCKER / "entrypoint.sh", "rubbish"], capture_output=True)

    assert refused.returncode == 64
