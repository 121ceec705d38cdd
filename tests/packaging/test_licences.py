"""What we run on, and under whose terms."""

import json
import re
import subprocess
import sys

from hospital.compliance.evidence import sbom
from tests.packaging.licences import ROOT, pinned

# Pinned for other versions of Python, and not installed here.
ELSEWHERE = {"async-timeout"}
PAGE = ROOT / "docs" / "licences.md"
# Terms that would bind the hospital's own systems, or that nobody stated.
UNWANTED = re.compile(r"\bAGPL|(?<!L)\bGPL|Affero|UNKNOWN|Commercial", re.IGNORECASE)


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines][1:]


def test_the_page_is_what_make_licences_writes():
    written = subprocess.run(
        [sys.executable, "-m", "tests.packaging.licences"], cwd=ROOT, capture_output=True, text=True
    )

    assert written.returncode == 0, written.stderr
    assert PAGE.read_text() == written.stdout


def test_every_package_we_install_is_on_it():
    named = {re.sub(r"[-_.]+", "-", name).lower(): version for name, version, *_ in rows()}

    # Some are for other platforms: they are pinned and not installed here.
    missing = {re.sub(r"[-_.]+", "-", name).lower() for name in pinned()} - set(named)
    assert missing <= ELSEWHERE, missing


def test_no_terms_bind_the_hospital():
    assert [row for row in rows() if UNWANTED.search(row[2])] == []


def test_the_list_of_parts_has_every_pinned_package_with_its_hashes():
    parts = {one["name"]: one for one in json.loads(sbom.made().content)["components"]}

    for written, version in pinned().items():
        name = re.sub(r"[-_.]+", "-", written).lower()
        if name in ELSEWHERE - parts.keys():
            continue
        assert parts[name]["version"] == version, name
        assert parts[name]["externalReferences"][0]["hashes"], name
