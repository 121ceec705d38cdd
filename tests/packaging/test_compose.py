"""The compose files by their schema, and by rules of our own that no schema knows."""

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.hospital.test_settings import names_read
from tests.level3 import environment as level3
from tests.packaging.engine import CHOSEN, DOCKER, ROOT, compose, environment_of

FILES = ("compose.yaml", "compose.demo.yaml", "compose.witness.yaml")
SERVICES = [
    pytest.param(name, service, id=f"{file}-{name}")
    for file in FILES
    for name, service in compose(file)["services"].items()
]
OURS = [
    pytest.param(name, service, id=name)
    for name, service in compose()["services"].items()
    if "env_file" in service
]
SECRET = re.compile(r"password|secret|token|_key$|credential", re.IGNORECASE)


@pytest.mark.parametrize("file", FILES)
def test_it_is_what_the_compose_specification_says(file):
    tool = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    checked = subprocess.run([*tool, DOCKER / file], capture_output=True, text=True)

    assert checked.returncode == 0, checked.stdout


@pytest.mark.parametrize(("name", "service"), SERVICES)
class TestEveryService:
    def test_runs_as_nobody(self, name: str, service: dict[str, Any]):
        uid, gid = service["user"].split(":")

        assert int(uid) > 0 < int(gid)

    def test_can_write_nothing_and_gain_nothing(self, name: str, service: dict[str, Any]):
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "cap_add" not in service
        assert "privileged" not in service
        assert service["security_opt"] == ["no-new-privileges:true"]

    def test_has_limits(self, name: str, service: dict[str, Any]):
        assert {"cpus", "memory", "pids"} <= set(service["deploy"]["resources"]["limits"])
        assert {"max-size", "max-file"} <= set(service["logging"]["options"])

    def test_says_whether_it_is_well_unless_it_ends_by_itself(
        self, name: str, service: dict[str, Any]
    ):
        health = service["healthcheck"]

        assert health.get("disable") is (None if health.get("test") else True)
        assert health.get("test") or service["restart"] == "no"

    def test_starts_again_and_ends_in_time(self, name: str, service: dict[str, Any]):
        assert service["restart"] in {"unless-stopped", "no"}
        assert "stop_grace_period" in service or service["healthcheck"].get("disable")

    def test_names_its_image(self, name: str, service: dict[str, Any]):
        assert ":" in service["image"]
        assert ":latest" not in service["image"]

    def test_has_no_secret_in_its_environment(self, name: str, service: dict[str, Any]):
        for variable, value in (service.get("environment") or {}).items():
            assert variable.endswith("_FILE") or not SECRET.search(variable) or "/" in value
            assert "://" not in value or "@" not in value


def test_the_servers_are_out_of_reach_and_the_web_has_no_way_out():
    found = compose()
    shut = {name for name, one in found["networks"].items() if (one or {}).get("internal")}
    on = {name: set(one["networks"]) for name, one in found["services"].items()}

    assert [name for name, one in found["services"].items() if "ports" in one] == ["proxy"]
    for name in ("db", "broker", "cache", "web", "beat", "witness", "migrate"):
        assert on[name] <= shut, name
    assert not on["proxy"] & on["db"]
    assert not on["witness"] & on["db"]


@pytest.mark.parametrize("file", ["compose.yaml", "compose.witness.yaml"])
def test_the_witness_is_told_nothing(file):
    witness = compose(file)["services"]["witness"]

    assert "secrets" not in witness
    assert "env_file" not in witness
    assert set(witness["environment"]) == {"LOG_VERIFIER"}


def test_the_database_takes_every_connection_that_may_be_opened():
    """By two webs, as an upgrade has them that nobody notices; locks, exports, commands besides."""
    services = compose()["services"]
    [most] = [one for one in services["db"]["command"] if one.startswith("-cmax_connections=")]
    counted = {"web": 2, "worker": 1, "beat": 1, "notary": 1, "forwarder": 1}
    pools = sum(pool_of(name) * count for name, count in counted.items())

    asked = {name for name, one in services.items() if "migrate" in one.get("depends_on", {})}
    assert asked == set(counted)
    assert pools + 20 <= int(most.partition("=")[2]) - 3  # which are its superuser's


@pytest.mark.parametrize(
    ("chosen", "pool"),
    [
        ({}, 40),
        ({"WORKER_THREADS": "64"}, 72),
        ({"WORKER_THREADS": "8", "DATABASE_POOL": "12"}, 12),
    ],
)
def test_a_worker_has_a_connection_for_each_of_its_threads(chosen, pool):
    assert pool_of("worker", **chosen) == pool


def pool_of(name: str, **chosen: str) -> int:
    """Return `DATABASE_POOL` as the entry point hands it to a process."""
    with tempfile.TemporaryDirectory() as place:
        for program in ("celery", "granian", "python"):
            path = Path(place) / program
            path.write_text("#!/bin/sh\necho ${DATABASE_POOL:-20}\n")
            path.chmod(0o755)
        [role] = compose()["services"][name]["command"]
        env = {"PATH": f"{place}:/usr/bin:/bin", **chosen}
        ran = subprocess.run(
            [DOCKER / "entrypoint.sh", role], env=env, check=True, capture_output=True
        )
    return int(ran.stdout)


def test_the_witness_elsewhere_is_the_one_here_and_can_be_reached():
    """By a proxy on its own host: a network that is internal publishes no port."""
    one = {"LOG_VERIFIER": "log", "WITNESS_NAME": "name"}
    there = compose("compose.witness.yaml", **one)
    here, witness = compose(**one)["services"]["witness"], there["services"]["witness"]

    assert set(there["services"]) == {"witness"}
    assert witness["ports"] == ["127.0.0.1:8100:8100"]
    assert "networks" not in {*there, *witness}
    ours = {"build", "init", "ports", "networks"}
    assert {key: here[key] for key in {*here} - ours} == {
        key: witness[key] for key in {*witness} - ours
    }


def test_the_witness_elsewhere_asks_for_nothing_of_the_hospitals():
    text = (DOCKER / "compose.witness.yaml").read_text()
    asked = set(re.findall(r"\$\{(\w+):\?", text))

    assert asked == {"BASE_IMAGE", "LOG_VERIFIER", "WITNESS_NAME"}
    assert set(re.findall(r"\$\{(\w+)", text)) == asked | {"HOSPITAL_IMAGE"}


def test_how_many_proxies_there_are_is_for_the_hospital_to_say():
    def counted(**values: str) -> str:
        return str(compose(**values)["services"]["web"]["environment"]["TRUSTED_PROXIES"])

    assert (counted(), counted(TRUSTED_PROXIES="2")) == ("1", "2")


def test_single_keys_are_with_single_processes():
    def holders(secret: str) -> set[str]:
        services = compose()["services"].items()
        return {name for name, one in services if secret in one.get("secrets", [])}

    assert holders("worker_key") == {"worker"}
    assert holders("notary.pem") == {"notary"}
    assert holders("root_key") == {"web", "worker", "restore"}
    assert holders("database_url_admin") == {"migrate", "backup", "restore"}
    assert holders("proxy.key") == {"proxy"}


def test_the_worker_reads_the_anchors_and_only_the_notary_writes_them():
    services = compose()["services"]
    notary, worker = services["notary"], services["worker"]
    name, place = notary["volumes"][0].split(":")

    assert worker["environment"]["ANCHOR_FILE"] == notary["environment"]["ANCHOR_FILE"]
    assert notary["environment"]["ANCHOR_FILE"].startswith(f"{place}/")
    held = {
        key: volume
        for key, one in services.items()
        for volume in one.get("volumes", [])
        if volume.startswith(f"{name}:")
    }
    assert held.pop("notary") == f"{name}:{place}"
    assert held == dict.fromkeys(("worker", "manage"), f"{name}:{place}:ro")


def test_every_secret_is_made_by_somebody_and_used():
    found = compose()
    used = {
        one if isinstance(one, str) else one["source"]
        for service in found["services"].values()
        for one in service.get("secrets", [])
    }

    assert used == set(found["secrets"])


@pytest.mark.parametrize(("name", "service"), OURS)
def test_it_sets_what_the_settings_read(name, service):
    known = names_read()
    for variable in service["environment"]:
        assert variable in known or variable.removesuffix("_FILE") in known, variable


@pytest.mark.parametrize("name", ["web", "worker", "beat"])
def test_with_the_example_filled_in_nothing_is_missing_at_level_3(name, tmp_path):
    """The file's own environment, its secrets lying elsewhere."""
    service = compose()["services"][name]
    env = environment_of(service, CHOSEN)
    known = {key.removesuffix("_FILE"): value for key, value in level3(str(tmp_path)).items()}
    for variable, value in env.items():
        if value.startswith("/run/secrets/"):
            file = tmp_path / value.rsplit("/", 1)[1]
            file.write_text(known.get(variable.removesuffix("_FILE"), "x" * 64))
            env[variable] = str(file)
    env |= {"PATH": "/usr/bin:/bin", "DJANGO_SETTINGS_MODULE": "hospital.settings"}
    del env["SERVICES_CA"]  # read when somebody connects
    checked = subprocess.run(
        [sys.executable, "manage.py", "check", "--deploy", "--fail-level", "ERROR"],
        cwd=ROOT,
        env=env,
        capture_output=True,
        text=True,
    )

    assert checked.returncode == 0, checked.stderr


def test_what_it_is_filled_in_with_is_in_the_example():
    line = re.compile(r"^(\w+)=", re.MULTILINE)
    named = set(line.findall((DOCKER / "compose.env.example").read_text()))
    text = (DOCKER / "compose.yaml").read_text()

    assert set(re.findall(r"\$\{(\w+)", text)) == named


def test_every_image_of_somebody_elses_is_asked_for_by_digest():
    text = (DOCKER / "compose.yaml").read_text()
    example = (DOCKER / "compose.env.example").read_text()
    for variable, hint in re.findall(r"\$\{(\w+_IMAGE):\?([^}]*)\}", text):
        assert hint.endswith("@sha256:…"), variable
        assert f"# {hint}" in example, variable
        # Whoever makes RabbitMQ's image builds it on Ubuntu and Alpine: it has no such tag.
        assert not hint.startswith("rabbitmq:") or "bookworm" not in hint
    images = {one["image"] for one in compose()["services"].values()}

    assert {one for one in images if one and "@sha256:" not in one} == {"face-onboarding:1"}


def test_no_choice_of_the_example_stands_beside_a_secret_of_the_same_name():
    """A value and the file of it at once: which one counts would be anybody's guess."""
    for service in compose()["services"].values():
        given = environment_of(service, CHOSEN)
        assert [one for one in given if f"{one}_FILE" in given] == []
