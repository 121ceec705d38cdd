"""
The release before and this one, with their own code, on one database: there, beside, and back.

What the runbook promises of an upgrade that nobody notices and of a way back without a restore
(docs/production.md). Whoever comes meanwhile is put on record, once, by whichever release is there.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house import House, Visit, postgresql, until
from tests.packaging import previous
from tests.packaging.previous import ROOT

pytestmark = pytest.mark.postgresql


@pytest.fixture
def before(tmp_path) -> Path:
    """The files of the release before."""
    place = tmp_path / "before"
    place.mkdir()
    try:
        previous.unpack(place)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("needs git, and a clone with the history of the release before")
    return place


@pytest.fixture
def house(tmp_path, before) -> Iterator[House]:
    """As the release before made it, with its web and its worker at work."""
    with (
        postgresql(os.environ["DATABASE_URL"]) as url,
        House.built(tmp_path / "var", root=before, DATABASE_URL=url) as house,
    ):
        house.start("web")
        house.start("worker")
        yield house


def again(house: House, name: str) -> None:
    house.kill(name)
    house.start(name)


def test_nobody_is_turned_away_on_the_way_there_or_back(house, before):
    people = iter(range(1, 100))
    visits: list[Visit] = []

    def come(when: str) -> None:
        with house.lobby() as lobby:
            visits.append(lobby.authorize(f"stranger-{next(people)}"))
        until(lambda: house.finished(visits), f"somebody is on record {when}")
        house.assert_on_record_once(visits)

    come("by the release before")
    house.run_from(ROOT)
    house.processes.run("migrate", sys.executable, "manage.py", "migrate", "--no-input", "-v0")
    come("by the release before, on the new tables")
    again(house, "worker")
    come("by both: the old web, the new worker")
    again(house, "web")
    come("by this release")

    # Nothing but the program goes back.
    house.run_from(before)
    again(house, "web")
    come("by both: the new worker, the old web")
    again(house, "worker")
    come("by the release before, on tables and rows of this one")
