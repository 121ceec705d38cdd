"""The units for a hospital without containers, as systemd itself reads them."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.packaging.engine import compose

UNITS = Path(__file__).resolve().parents[2] / "docker" / "systemd"
STARTED = "/opt/hospital/app/docker/entrypoint.sh"
EXPOSED = 20  # of 100, as `systemd-analyze security` counts

needs_systemd = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not on this machine"
)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units in a directory of their own; what they start is there and does nothing."""
    place = tmp_path / "units"
    shutil.copytree(UNITS, place)
    for unit in place.glob("*.service"):
        unit.write_text(unit.read_text().replace(STARTED, "/bin/true"))
    return place


def analyzed(place: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        ["systemd-analyze", *words],
        env={**os.environ, "SYSTEMD_UNIT_PATH": f"{place}:", "SYSTEMD_LOG_LEVEL": "warning"},
        capture_output=True,
        text=True,
    )


@needs_systemd
@pytest.mark.parametrize("unit", sorted(one.name for one in UNITS.iterdir() if one.is_file()))
def test_systemd_understands_every_line(installed, unit):
    said = analyzed(installed, "verify", "--man=no", str(installed / unit))
    ours = [line for line in said.stderr.splitlines() if "hospital" in line]

    assert (said.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", sorted(one.name for one in UNITS.glob("*.service")))
def test_a_unit_is_shut_in(installed, unit):
    said = analyzed(
        installed, "security", "--offline=yes", f"--threshold={EXPOSED}", str(installed / unit)
    )

    assert said.returncode == 0, said.stdout[-200:]


def test_each_process_has_its_own_keys_only():
    texts = {one.stem.removeprefix("hospital-"): one.read_text() for one in UNITS.glob("*.service")}

    assert [name for name, text in texts.items() if "NOTARY_KEY_FILE" in text] == ["notary"]
    assert [name for name, text in texts.items() if "WORKER_KEY_FILE" in text] == ["worker"]
    assert "/etc/hospital/secrets" not in texts["witness"]


def test_the_worker_reads_a_copy_of_the_anchors_where_it_may():
    worker, notary = (
        (UNITS / f"hospital-{name}.service").read_text() for name in ("worker", "notary")
    )
    page = (UNITS.parents[1] / "docs" / "production.md").read_text()
    [copy] = re.findall(r"ANCHOR_FILE=(/var/lib/hospital/\S+)", worker)
    [own] = re.findall(r"ANCHOR_FILE=(/var/lib/hospital-notary/\S+)", notary)

    # Not by root, into a directory that is another's.
    assert f"runuser -u hospital -- tee {copy} < {own}" in page


def test_no_secret_is_written_into_a_unit():
    for unit in UNITS.glob("*.service"):
        for line in unit.read_text().splitlines():
            assert "PASSWORD=" not in line
            assert "SECRET_KEY=" not in line


def test_the_file_of_the_hospitals_choices_undoes_nothing_a_unit_sets():
    """What EnvironmentFile= says counts more than Environment=, wherever it stands."""
    env = (UNITS.parent / "env.example").read_text().splitlines()
    # docs/production.md: grep -v /run/secrets docker/env.example
    chosen = dict(
        line.split("=", 1) for line in env if line[:1].isupper() and "/run/secrets" not in line
    )

    for unit in UNITS.glob("*.service"):
        words = [
            word
            for line in unit.read_text().splitlines()
            if line.startswith("Environment=")
            for word in line.removeprefix("Environment=").split()
        ]
        ours = dict(word.split("=", 1) for word in words)
        assert {name for name in ours if chosen.get(name, ours[name]) != ours[name]} == set(), unit


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """What `hospital-manage` sees of a host; what a systemd would be told to run is run."""
    for name in ("etc/secrets", "new/app/docker", "bin"):
        (tmp_path / name).mkdir(parents=True)
    for account in ("app", "keeper"):
        (tmp_path / f"etc/secrets/password_{account}").write_text("x")
    script = (UNITS.parent / "hospital-manage.sh").read_text()
    made = {
        "hospital-manage": script.replace("/etc/hospital", str(tmp_path / "etc")),
        "bin/systemd-run": f"""#!/bin/sh
            : > {tmp_path}/told
            while [ "$1" != -- ]; do echo "$1" >> {tmp_path}/told; shift; done
            shift
            export CREDENTIALS_DIRECTORY={tmp_path}/etc/secrets
            case " $* " in *" grantroles "*) ;; *) CREDENTIALS_DIRECTORY=/credentials ;; esac
            exec "$@"
        """,
        "bin/id": "#!/bin/sh\necho ${UID_OF:-10001}\n",
        "new/app/docker/entrypoint.sh": """#!/bin/sh
            pwd; umask; echo "$PATH $STATIC_ROOT $DATABASE_URL_FILE"
            for word in "$@"; do echo "$word"; done
        """,
    }
    for name, text in made.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    return tmp_path


def managed(host: Path, *words: str, **env: str) -> tuple[list[str], list[str]]:
    """Return what systemd is told, and what the program's entry point is given."""
    env = {"PATH": f"{host}/bin:/usr/bin:/bin", "PLACE": f"{host}/new", **env}
    ran = subprocess.run(
        ["sh", "-c", 'umask 077; exec "$0" "$@"', host / "hospital-manage", *words],
        env=env,
        check=True,
        capture_output=True,
        text=True,
    )
    return (host / "told").read_text().splitlines(), ran.stdout.splitlines()


def test_a_command_of_manage_has_what_the_units_have(host):
    told, given = managed(host, "restore", "a b", DATABASE="database_url_admin", WRITES="/x")

    web = (UNITS / "hospital-web.service").read_text()
    loaded = {line for line in web.splitlines() if line.startswith("LoadCredential=")}
    names = {line.split("=")[1].split(":")[0] for line in loaded}
    words = [word for word in told if word.startswith("--property=LoadCredential=")]
    assert {word.split("=")[2].split(":")[0] for word in words} == names
    assert any(word.endswith("secrets/database_url_admin") for word in words)
    assert "--property=ReadWritePaths=/x" in told
    assert "--property=StateDirectory=hospital ledger hospital-backups" in told
    assert given[2].endswith(" /credentials/database_url")
    assert given[3:] == ["manage", "restore", "a b"]


def test_a_command_of_manage_is_one_of_the_release_it_is_asked_of(host):
    """Of the new one, beside the one that serves: whose place is in the drop-in and comes first."""
    served = {"PATH": f"{host}/bin:/opt/hospital/venv/bin:/usr/bin:/bin"}
    _, given = managed(host, "migrate", **served)

    assert given[0] == f"{host}/new/app"
    assert given[2].startswith(f"{host}/new/venv/bin:/usr/bin:/bin {host}/new/static ")
    script = (UNITS.parent / "hospital-manage.sh").read_text()
    assert "${PLACE:-/opt/hospital}" in script
    run_by_systemd = script.split("given='")[1].split("'\n")[0]
    assert not re.search(r"\$[{$]", run_by_systemd)  # which it fills in, or halves


@pytest.mark.parametrize(
    ("account", "directories", "mask"),
    [
        ("hospital", "hospital ledger hospital-backups", "0077"),
        ("hospital-notary", "hospital-notary", "0077"),
        ("root", None, "0022"),  # the files for browsers, which the web has to read
    ],
)
def test_nobody_is_given_the_directories_of_those_who_serve(host, account, directories, mask):
    told, given = managed(
        host, "collectstatic", AS=account, UID_OF="0" if account == "root" else "10001"
    )

    asked = "--property=StateDirectory="
    found = [word.removeprefix(asked) for word in told if word.startswith(asked)]
    assert found == ([directories] if directories else [])
    assert f"--uid={account}" in told
    assert given[1] == mask


def test_the_accounts_of_the_database_get_the_passwords_that_are_there(host):
    told, given = managed(host, "grantroles", "--app", "hospital_app")

    words = {word for word in told if "password_" in word}
    held = host / "etc/secrets"
    assert words == {
        f"--property=LoadCredential=password_{one}:{held}/password_{one}"
        for one in ("app", "keeper")
    }
    assert given[4:] == [
        "grantroles",
        "--keeper-password-file",
        f"{held}/password_keeper",
        "--app-password-file",
        f"{held}/password_app",
        "--app",
        "hospital_app",
    ]
    told, given = managed(host, "verifyaudit")
    assert not [word for word in [*told, *given] if "password_" in word]


def test_a_unit_has_as_much_time_and_room_as_its_service_in_a_container():
    services = compose()["services"]
    for unit in UNITS.glob("*.service"):
        name = unit.stem.removeprefix("hospital-")
        said = dict(line.split("=", 1) for line in unit.read_text().splitlines() if "=" in line)
        limits = services[name]["deploy"]["resources"]["limits"]
        grace = services[name].get("stop_grace_period", "").removesuffix("s")

        assert said.get("TimeoutStopSec", "") == grace, name
        assert said["MemoryMax"] == limits["memory"], name
        assert float(said["CPUQuota"].removesuffix("%")) == 100 * float(limits["cpus"]), name
