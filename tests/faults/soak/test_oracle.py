"""What the oracle finds wherever it is, and that it knows nothing of the product but its tables."""

import base64
import json
import subprocess
import sys

import pytest

from faceauth.simulator import camera, people
from hospital.demo.installation import ROOT
from tests.faults import cast, searching
from tests.faults.servers import Redis, is_installed

SOMEBODY = people.find("stranger-7")
APPID = "wx0000000000000001"
SECRETS = cast.secrets({SOMEBODY.id}, {APPID})[SOMEBODY.id]


def test_the_oracle_imports_none_of_the_product():
    told = "import sys, tests.faults.oracle; print(*{one.partition('.')[0] for one in sys.modules})"

    ended = subprocess.run(
        [sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert not {"hospital", "faceauth", "devices", "django"} & {*ended.stdout.split()}


def test_the_simulator_tells_who_somebody_is():
    assert {*SECRETS} == {
        SOMEBODY.name,
        SOMEBODY.document_number,
        camera.openid(SOMEBODY, APPID),
        camera.union_id(SOMEBODY),
    }


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize("before", ["", "1", "12"])
def test_they_are_found_plainly_escaped_and_in_base64(secret, before):
    message = json.dumps({"before": before, "who": secret}).encode()
    places = {
        "plain": f"{before}{secret}!".encode(),
        "escaped": message,
        "base64": base64.b64encode(message),
        "base64 of the text": base64.b64encode(f"{before}{secret}!".encode()),
        "another's": b"stranger-8",
        "empty": b"",
    }

    found = searching.telling(places, {secret})

    assert found == places.keys() - {"another's", "empty"}


def test_nothing_to_look_for_is_found_nowhere():
    assert searching.telling({"a log": b"x"}, set()) == set()


@pytest.mark.skipif(bool(is_installed(Redis)), reason="needs redis-server")
def test_whatever_redis_keeps_it_is_looked_into():
    with Redis.running() as server:
        client = server.client(database=3)
        client.set("text", "in a text")
        client.lpush("list", "in a list")
        client.hset("hash", "name", "in a hash")
        client.sadd("set", "in a set")
        client.zadd("sorted", {"in a sorted set": 1})

        held = server.held()
        client.close()

    for kind in (b"text", b"list", b"hash", b"set", b"sorted set"):
        assert b"in a " + kind in held
