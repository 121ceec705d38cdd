"""
What must be nowhere: who the people of a soak are, as the simulator knows them.

`python -m tests.faults.cast`, a process of its own, reads a JSON object of people and the appids
they were asked about under, and prints for each person what says who they are. Nobody who imports
this has imported the simulator, or anything else of the product.
"""

import json
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

ROOT = Path(__file__).parents[2]


_known: dict[frozenset[str], dict[str, list[str]]] = {}  # by appids


def secrets(people: Collection[str], appids: Collection[str]) -> dict[str, list[str]]:
    """Return names, document numbers, openids and union ids, by person; none has a phone."""
    known = _known.setdefault(frozenset(appids), {})
    if unknown := set(people) - known.keys():
        known |= _asked(unknown, appids)
    return {person: known[person] for person in people}


def _asked(people: Collection[str], appids: Collection[str]) -> dict[str, list[str]]:
    asked = json.dumps({"people": sorted(people), "appids": sorted(appids)})
    ended = subprocess.run(
        [sys.executable, "-m", "tests.faults.cast"],
        cwd=ROOT,
        input=asked,
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, list[str]] = json.loads(ended.stdout)
    return found


def _main() -> None:
    from faceauth.simulator import camera, people  # noqa: PLC0415 (in this process alone)

    asked, known = json.load(sys.stdin), {}
    for person_id in asked["people"]:
        person = people.find(person_id)
        assert person, f"nobody is {person_id}"
        openids = [camera.openid(person, appid) for appid in asked["appids"] if appid]
        ids = (person.document_number, camera.union_id(person), *openids)
        known[person_id] = [person.name, *ids]
    print(json.dumps(known))


if __name__ == "__main__":
    _main()
