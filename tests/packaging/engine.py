"""
What `docker compose up` would do with docker/compose.yaml, as far as it takes no engine.

Each service is a process in name spaces of its own: root of the image, read-only; volumes and
secrets put where the file says; its user, no way to more rights. Servers that are not ours are
Debian's, with the configuration that compose.yaml mounts. All of it in a network of its own.
"""

import json
import os
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
NAME = "jiandang.hospital.example"
# What a hospital writes into hospital.env, at least.
CHOSEN = {
    "DEPLOY_LEVEL": "3",
    "ALLOWED_HOSTS": f"{NAME},web",  # as monitoring asks
    "CSRF_TRUSTED_ORIGINS": f"https://{NAME}",
    "ADMIN_NETWORKS": "10.20.0.0/16",
    "ACCEPT_FILE_KEYS": "1",
    "TRAIL_ORIGIN": f"{NAME}/trail",
}
NAMES = ("db", "broker", "cache", "web", "witness", "proxy")
# What the images of others bring along.
OTHERS = {
    "db": {
        "PATH": "/usr/lib/postgresql/15/bin:/usr/bin:/bin",
        "PGDATA": "/var/lib/postgresql/data",
    },
    "broker": {"PATH": "/usr/lib/rabbitmq/bin:/usr/bin:/bin", "HOME": "/var/lib/rabbitmq"},
    "cache": {"PATH": "/usr/bin:/bin"},
    "proxy": {"PATH": "/usr/sbin:/usr/bin:/bin"},
}
DEFAULTS = {
    "broker": ["rabbitmq-server"],
    "proxy": ["nginx", "-e", "stderr", "-g", "daemon off;"],
}
TOOL = re.compile(r"\$\{(?P<name>\w+)(?::?[-?](?P<other>[^}]*))?\}")


def compose(name: str = "compose.yaml", **values: str) -> dict[str, Any]:
    """Return the file with its variables filled in from `values`, else with their defaults."""

    def filled(match: re.Match[str]) -> str:
        return values.get(match["name"], match["other"] or "")

    text = TOOL.sub(filled, (DOCKER / name).read_text())
    found: dict[str, Any] = yaml.safe_load(text.replace("$$", "$"))
    return found


def environment_of(service: dict[str, Any], chosen: dict[str, str]) -> dict[str, str]:
    """Return what its process is given: example, the hospital's choices, what the file says."""
    files = {**example(), **chosen} if "env_file" in service else {}
    return {**files, **(service.get("environment") or {})}


def example() -> dict[str, str]:
    """Return what env.example sets: all that is not commented out."""
    lines = (DOCKER / "env.example").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@dataclass
class Engine:
    place: Path  # scratch
    built: Path  # what build-without-engine.sh made
    secrets: Path  # what prepare.sh made
    chosen: dict[str, str]  # hospital.env
    values: dict[str, str]  # docker/.env
    file: str = "compose.yaml"
    running: dict[str, "subprocess.Popen[bytes]"] = field(default_factory=dict)

    @property
    def services(self) -> dict[str, dict[str, Any]]:
        services: dict[str, dict[str, Any]] = compose(self.file, **self.values)["services"]
        return services

    @property
    def image(self) -> dict[str, Any]:
        config: dict[str, Any] = json.loads((self.built / "config.json").read_text())
        return config["Docker"]["config"]

    def up(self, *names: str) -> None:
        """Start them, and wait until their health checks say so."""
        for name in names:
            self.running[name] = self._start(name)
        for name in names:
            self._wait(name)

    def run(self, name: str, *command: str, **env: str) -> "subprocess.CompletedProcess[str]":
        """Let one work and end, as `docker compose run --rm`."""
        process = self._start(name, *command, env=env, stdout=subprocess.PIPE)
        out, err = process.communicate(timeout=300)
        return subprocess.CompletedProcess(command, process.returncode, out.decode(), err.decode())

    def inside(self, name: str, command: list[str]) -> "subprocess.CompletedProcess[bytes]":
        """As `docker compose exec`."""
        script = f"exec {self._entered(name, command)}"
        target = str(self._first(name))
        return subprocess.run(
            ["nsenter", "--target", target, "--mount", "--uts", "sh", "-c", script],
            capture_output=True,
            timeout=120,
        )

    def health(self, name: str) -> list[str]:
        test = self.services[name]["healthcheck"]["test"]
        return ["sh", "-c", test[1]] if test[0] == "CMD-SHELL" else list(test[1:])

    def stop(self, name: str) -> int:
        """End it as `docker compose stop`; return its exit code, or fail when time is up."""
        process = self.running.pop(name)
        process.send_signal(signal.SIGTERM)
        grace = self.services[name]["stop_grace_period"].removesuffix("s")
        return process.wait(timeout=int(grace))

    def down(self) -> None:
        for process in self.running.values():
            process.kill()
            process.wait()

    def _wait(self, name: str) -> None:
        until = time.monotonic() + 240
        while (found := self.inside(name, self.health(name))).returncode:
            if self.running[name].poll() is not None or time.monotonic() > until:
                log = (self.place / f"{name}.log").read_text()[-4000:]
                raise AssertionError(f"{name} is not healthy: {found}\n{log}")
            time.sleep(0.5)

    def _start(
        self, name: str, *command: str, env: dict[str, str] | None = None, stdout: Any = None
    ) -> "subprocess.Popen[bytes]":
        made = self.place / f"{name}.made"
        made.unlink(missing_ok=True)
        script = self._script(name, list(command), env or {}, made)
        with (self.place / f"{name}.log").open("ab") as log:
            os.fchmod(log.fileno(), 0o666)  # nginx opens what it was given anew
            process = subprocess.Popen(
                ["unshare", "--mount", "--uts", "--propagation", "private", "sh", "-euc", script],
                stdout=stdout or log,
                stderr=subprocess.PIPE if stdout else log,
                stdin=subprocess.DEVNULL,
            )
        # Who looks inside sooner may hold a file open that is about to be read-only.
        while process.poll() is None and not made.exists():
            time.sleep(0.02)
        return process

    def _is_ours(self, name: str) -> bool:
        return name not in OTHERS

    def _root(self, name: str) -> str:
        return str((self.built / "image").resolve()) if self._is_ours(name) else ""

    def _script(self, name: str, command: list[str], env: dict[str, str], made: Path) -> str:
        service, root = self.services[name], self._root(name)
        entry = service.get("entrypoint") or (self.image["Entrypoint"] if root else [])
        what = [*entry, *(command or service.get("command") or DEFAULTS.get(name, []))]
        lines = [f"hostname {service.get('hostname', name)}", *self._files(name)]
        if root:
            lines += [
                f"mount -t proc proc {root}/proc",
                f"mount --rbind /dev {root}/dev",
                f"mount -o remount,bind,ro {root}",
            ]
        self.place.joinpath(f"{name}.env").write_text(
            json.dumps({**environment_of(service, self.chosen), **env})
        )
        lines += [f"touch {made}"]
        return "\n".join([*lines, f"exec {self._entered(name, what)}"])

    def _files(self, name: str) -> list[str]:
        """Put volumes, secrets and what else is mounted in their places."""
        service, root = self.services[name], self._root(name)
        uid = int(service["user"].split(":")[0])
        lines = [f"mount --bind {root} {root}"] if root else []
        places = [f"{root}/run", *(root + one.split(":")[0] for one in service.get("tmpfs", []))]
        if not root:  # this machine's: its /tmp is where everything is, its settings are not meant
            places.remove("/tmp")  # noqa: S108 (it is that)
            places += ["/etc/rabbitmq", "/etc/nginx", "/etc/postgresql"]
        for path in places:
            lines += [f"mkdir -p {path}", f"mount -t tmpfs -o mode=1777 tmpfs {path}"]
        lines += [f"mkdir {root}/run/secrets"]
        hosts = self.place / "hosts"
        hosts.write_text("127.0.0.1 localhost\n" + "".join(f"127.0.0.1 {one}\n" for one in NAMES))
        lines += self._bound(hosts, f"{root}/etc/hosts")
        if not root:  # who they are inside their own image
            passwd = self.place / "passwd"
            passwd.write_text(
                "root:x:0:0::/root:/bin/sh\nserver:x:999:999::/tmp:/bin/sh\n"
                "proxy:x:101:101::/tmp:/bin/sh\n"
            )
            lines += self._bound(passwd, "/etc/passwd")
        for one in service.get("secrets", []):
            given = {"source": one, "target": one} if isinstance(one, str) else one
            path = (
                given["target"]
                if given["target"].startswith("/")
                else f"/run/secrets/{given['target']}"
            )
            file = compose()["secrets"][given["source"]]["file"].removeprefix("secrets/")
            lines += self._bound(self.secrets / file, root + path)
        for one in service.get("volumes", []):
            source, target = one.split(":")[:2]
            if source.startswith("./secrets/"):
                here = self.secrets / source.removeprefix("./secrets/")
            elif source.startswith("./"):
                lines += self._bound(DOCKER / source, root + target)
                continue
            else:
                here = self.place / "volumes" / source
                if not here.exists():
                    here.mkdir(parents=True)
                    os.chown(here, uid, uid)
            lines += [f"mkdir -p {root}{target}", f"mount --bind {here} {root}{target}"]
        return lines

    def _bound(self, source: Path, target: str) -> list[str]:
        return [
            f"mkdir -p {Path(target).parent}",
            f"[ -e {target} ] || touch {target}",
            f"mount --bind {source} {target}",
        ]

    def _entered(self, name: str, command: list[str]) -> str:
        """Return the words that make a process of this service, in its name spaces, do it."""
        service = self.services[name]
        env = json.loads((self.place / f"{name}.env").read_text())
        of_image = dict(one.split("=", 1) for one in self.image["Env"])
        env = {**(of_image if self._is_ours(name) else OTHERS[name]), **env}
        uid, gid = service["user"].split(":")
        root, there = self._root(name) or "/", self.image["WorkingDir"] if self._root(name) else "/"
        words = [
            "setpriv",
            "--no-new-privs",
            "chroot",
            f"--userspec={uid}:{gid}",
            f"--groups={gid}",
        ]
        words += [root, "env", "-i", "-C", there, *(f"{key}={value}" for key, value in env.items())]
        return shlex.join([*words, *command])

    def _first(self, name: str) -> int:
        return self.running[name].pid
