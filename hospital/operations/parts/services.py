"""What we stand on: database, broker, cache, clock; more than whether they answer."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, ClassVar, Final

import httpx
from django.conf import settings
from django.core.cache import caches
from django.db import connection, connections
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from faceauth.models import Merchant
from hospital import egress
from hospital.celery import app
from hospital.operations.part import Part
from hospital.operations.verdicts import Verdict, Words, broken, degraded

OLDEST: Final = 140000  # PostgreSQL 14, the oldest that Django 5.2 knows
SKEW: Final = 5.0  # seconds between us and the database: half a lease on a visit
LONGEST_SKEW: Final = 240.0  # seconds; WeChat refuses from 300 on
_PATIENT: Final = timedelta(seconds=5)
_HTTP: Final = 3.0  # seconds
_NOT_REDIS: Final = Words("由数据库保存", "kept in the database")


@dataclass(repr=False)
class Schema(Part):
    """Which PostgreSQL, over which line, and whether it has the tables of this release."""

    name: ClassVar = "schema"
    label: ClassVar = Words("数据库版本和表", "version and tables of the database")
    remedy: ClassVar = Words("运行 manage.py migrate", "run manage.py migrate")
    timeout = _PATIENT

    def run(self) -> None:
        behind = sum(_behind(alias) for alias in connections)
        if behind:
            said = Words(f"有 {behind} 个迁移没有执行", f"{behind} migrations are not applied")
            raise broken(said, self.remedy)
        if connection.vendor != "postgresql":
            self.told = Words(f"{connection.vendor}，表已是最新", f"{connection.vendor}, current")
            return
        number, version, tls = _postgresql()
        self.told = Words(f"PostgreSQL {version}，{tls}", f"PostgreSQL {version}, {tls}")
        if number < OLDEST:
            remedy = Words("升级 PostgreSQL 到 14 以上", "upgrade PostgreSQL to 14 or later")
            raise degraded(self.told, remedy)


@dataclass(repr=False)
class Queue(Part):
    """Whether what was published outlives the broker; what does not is swept up, later."""

    name: ClassVar = "queue"
    label: ClassVar = Words("队列", "queue")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "先启动工作进程，由它建立队列；仲裁队列须 RabbitMQ 3.10 以上；Redis 打开 appendonly",
        "start a worker, which declares it; RabbitMQ 3.10 for quorum queues; appendonly for Redis",
    )
    timeout = _PATIENT

    def run(self) -> None:
        scheme = settings.CELERY_BROKER_URL.partition(":")[0]
        if scheme in {"filesystem", "memory"}:
            self.told = Words("演示用的文件夹", "a demonstration's folder")
        elif scheme.startswith("redis"):
            self._redis()
        else:
            self._rabbitmq()

    def _rabbitmq(self) -> None:
        patience = self.timeout.total_seconds() / 2
        with app.connection_for_write(connect_timeout=patience) as line:
            try:
                line.ensure_connection(max_retries=0)
            except (OSError, OperationalError):
                raise degraded(Words("连不上", "unreachable"), self.remedy) from None
            with line.channel() as channel:
                try:
                    for queue in app.amqp.queues.consume_from.values():
                        queue(channel).queue_declare()  # is refused where another kind is there
                except line.channel_errors:
                    said = Words(
                        "队列的类型与配置不同，不是仲裁队列",
                        "the queue is of another kind than configured, no quorum queue",
                    )
                    raise degraded(said, self.remedy) from None
        self.told = Words("持久的仲裁队列", "durable, quorum")

    def _redis(self) -> None:
        patience = self.timeout.total_seconds() / 2
        with app.connection_for_write(connect_timeout=patience) as line:
            try:
                channel: Any = line.default_channel
                told = channel.client.info("persistence")
            except (OSError, OperationalError, RedisError):
                raise degraded(Words("连不上", "unreachable"), self.remedy) from None
        if not told.get("aof_enabled"):
            said = Words(
                "Redis 重启会丢失消息，要等定时巡检补发",
                "a restart loses messages; the sweeper finds them",
            )
            raise degraded(said, self.remedy)
        self.told = Words("Redis，已持久化", "Redis, persistent")


@dataclass(repr=False)
class CachePolicy(Part):
    """A cache that forgets on its own forgets nonces, and lets a request in twice."""

    name: ClassVar = "cache_policy"
    label: ClassVar = Words("缓存淘汰", "eviction of the cache")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "Redis 设置 maxmemory-policy noeviction，并留足内存",
        "set maxmemory-policy noeviction in Redis, and give it memory enough",
    )
    timeout = _PATIENT

    def run(self) -> None:
        if not settings.CACHES["default"]["BACKEND"].endswith("RedisCache"):
            self.told = _NOT_REDIS
            return
        shared: Any = caches["default"]
        client = shared._cache.get_client(write=True)  # noqa: SLF001 (no other way)
        policy = str(client.info("memory").get("maxmemory_policy", ""))
        self.told = Words(policy, policy)
        if policy != "noeviction":
            raise degraded(self.told, self.remedy)


@dataclass(repr=False)
class Clock(Part):
    """Ours beside the database's and WeChat's, which refuses what is five minutes off."""

    name: ClassVar = "clock"
    label: ClassVar = Words("时钟", "clock")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "校准本机时间（chrony、NTP）；与数据库相差不得超过五秒，与微信相差不得超过五分钟",
        "set the clock by NTP (chrony): within five seconds of the database's, since hosts take"
        " over from each other by it; WeChat refuses what is five minutes off",
    )
    timeout = _PATIENT

    def run(self) -> None:
        database = _skew_of_database()
        wechat = _skew_of_wechat()
        words = [f"数据库 {database:+.1f} 秒"], [f"database {database:+.1f} s"]
        if wechat is None:
            words[0].append("微信没有应答，未比较")
            words[1].append("WeChat not reached, not compared")
        else:
            words[0].append(f"微信 {wechat:+.0f} 秒")
            words[1].append(f"WeChat {wechat:+.0f} s")
        self.told = Words("，".join(words[0]), ", ".join(words[1]))
        if abs(database) > SKEW or abs(wechat or 0) > LONGEST_SKEW:
            raise broken(self.told, self.remedy)
        if abs(wechat or 0) > SKEW:
            raise degraded(self.told, self.remedy)


def _behind(alias: str) -> int:
    executor = MigrationExecutor(connections[alias])
    return len(executor.migration_plan(executor.loader.graph.leaf_nodes()))


def _postgresql() -> tuple[int, str, str]:
    """Return its version as a number and as a text, and the TLS version of this connection."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT current_setting('server_version_num')::int, current_setting('server_version'),"
            " (SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl)"
        )
        number, version, tls = cursor.fetchone()
    return number, str(version).split(" ")[0], tls or "no TLS"


def _skew_of_database() -> float:
    if connection.vendor != "postgresql":
        return 0.0  # it asks this machine
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        [theirs] = cursor.fetchone()
    return float((timezone.now() - theirs).total_seconds())


def _skew_of_wechat() -> float | None:
    """Return how far ahead of WeChat's `Date` we are; a second is nothing, they are whole."""
    merchant = Merchant.objects.filter(is_active=True).first()
    if merchant is None or not egress.covers(merchant.v3_base_url):
        return None
    try:
        with egress.client(timeout=_HTTP) as http:
            said = http.head(merchant.v3_base_url).headers.get("Date", "")
        theirs = parsedate_to_datetime(said)
    except (httpx.HTTPError, ValueError, OSError):
        return None
    return (datetime.now(UTC) - theirs).total_seconds()


def services() -> Iterator[Part]:
    yield from (Schema(), Queue(), CachePolicy(), Clock())
