"""What has to run beside the web, and what it left behind: workers, anchors, backups, the HIS."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final

from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from hospital.audit import trail
from hospital.audit.cosigned import UNWITNESSED
from hospital.audit.standing import WITNESS
from hospital.audit.standing import standing as trail_standing
from hospital.backup import standing as backup
from hospital.celery import app
from hospital.crypto import known_answers
from hospital.crypto import standing as keys
from hospital.operations import life, work
from hospital.operations.part import Part
from hospital.operations.verdicts import Amiss, Verdict, Words, broken, degraded

ANCHORED: Final = 1800.0  # seconds; one goes every ten minutes
HIS_LATE: Final = 900.0  # seconds
SWEPT: Final = 86_400.0  # seconds; it runs every hour


@dataclass(repr=False)
class Workers(Part):
    name: ClassVar = "workers"
    label: ClassVar = Words("工作进程和 beat", "workers and beat")
    remedy: ClassVar = Words(
        "启动或重启工作进程和 beat（beat 可以有几个，同一时间只有一个派发），"
        "看它们的日志；不会丢失或重复建档",
        "start or restart workers and beat, read their logs; nothing is lost or done twice",
    )
    timeout = timedelta(seconds=5)

    def run(self) -> None:
        ago = life.seconds_ago(timezone.now())
        answering = self._answering()
        count = "?" if answering is None else str(answering)
        if ago is None:
            said = Words(f"没有心跳，应答的工作进程 {count} 个", f"no sign of life, {count} answer")
            raise broken(said, self.remedy)
        self.told = Words(
            f"{ago:.0f} 秒前有心跳，应答的工作进程 {count} 个",
            f"alive {ago:.0f} s ago, {count} answer",
        )
        if ago > life.SILENT:
            raise broken(self.told, self.remedy)

    def _answering(self) -> int | None:
        """Return how many workers answer; None where nobody can be asked."""
        if settings.CELERY_BROKER_URL.startswith(("filesystem", "memory")):
            return None
        try:
            return len(app.control.ping(timeout=1.0) or ())
        except (OSError, OperationalError):
            return None


@dataclass(repr=False)
class Anchors(Part):
    """What binds the trail elsewhere: cosignatures, time stamps, copies."""

    name: ClassVar = "anchors"
    label: ClassVar = Words("留痕锚定和见证", "anchors and witness")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "检查见证方、时间戳机构和到它们的网络；看签名进程的日志（notary.sink_away）",
        "see to the witness, the time-stamp authority and the network; read the notary's log",
    )

    def run(self) -> None:
        try:
            stands = trail_standing(timezone.now())
        except trail.NotConfigured:
            said = Words("TRAIL_VERIFIERS 里有一个不是公钥", "TRAIL_VERIFIERS holds what is no key")
            raise degraded(said, self.remedy) from None
        # A witness that was late once is no anchor that anything goes to.
        ages = [age for name, age in stands.anchored.items() if name != WITNESS]
        oldest = max(ages, default=0.0)
        self.told = Words(
            f"已签名 {stands.size}，已见证 {stands.witnessed}，最久的锚定 {oldest:.0f} 秒前",
            f"signed {stands.size}, cosigned {stands.witnessed}, oldest anchor {oldest:.0f} s ago",
        )
        if stands.is_intact is False:
            remedy = Words(
                "审计管理员立即查看“留痕签名状况”", "the auditor looks at the trail at once"
            )
            raise broken(
                Words("最近一次核验发现问题", "the last verification found something"), remedy
            )
        is_unwitnessed = stands.unwitnessed_seconds > UNWITNESSED.total_seconds()
        # Beside the last signature, not beside now: an idle log has nothing new to anchor.
        idle = (stands.at - stands.signed_at).total_seconds() if stands.signed_at else oldest
        if is_unwitnessed or oldest - idle > ANCHORED:
            raise degraded(self.told, self.remedy)


@dataclass(repr=False)
class KeyStore(Part):
    name: ClassVar = "key_store"
    label: ClassVar = Words("密钥提供方和算法", "key provider and algorithms")
    remedy: ClassVar = Words(
        "检查 KEY_PROVIDER；算法自检不通过的，换回发布版本的依赖后再启动",
        "check KEY_PROVIDER; where algorithms fail their test, install the release's dependencies",
    )
    timeout = timedelta(seconds=6)

    def run(self) -> None:
        known_answers.self_test()
        active = [one.number for one in keys.epochs() if one.is_active]
        epochs = ", ".join(map(str, active)) or "-"
        provider = settings.KEY_PROVIDER
        self.told = Words(
            f"{provider}，{settings.CRYPTO_SUITE}，在用纪元 {epochs}，算法自检通过",
            f"{provider}, {settings.CRYPTO_SUITE}, epoch {epochs}, self-test passed",
        )


@dataclass(repr=False)
class Backups(Part):
    name: ClassVar = "backups"
    label: ClassVar = Words("备份", "backups")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "每天运行 manage.py backup（容器：docker compose run --rm backup），"
        "每季度演练恢复，见 docs/backup.md",
        "run manage.py backup (in containers: docker compose run --rm backup) daily, "
        "and drill a restore each quarter (docs/backup.md)",
    )

    def run(self) -> None:
        stands = backup.standing(timezone.now())
        if not stands.is_configured:
            said = Words("没有设置备份公钥", "there is nobody to seal backups to")
            if settings.DEPLOY_LEVEL == "demo":
                self.told = said
                return
            raise degraded(said, self.remedy)
        hours = "-" if stands.age_seconds is None else f"{stands.age_seconds / 3600:.0f}"
        self.told = Words(f"最近一次 {hours} 小时前", f"the last one {hours} h ago")
        amiss = []
        if stands.is_late:
            amiss.append((Verdict.DEGRADED, self.told, self.remedy))
        if stands.is_drill_due:
            said = Words("一个季度没有演练恢复", "no restore was tried for a quarter")
            amiss.append((Verdict.DEGRADED, said, self.remedy))
        if amiss:
            raise Amiss(*amiss)


@dataclass(repr=False)
class HisPart(Part):
    name: ClassVar = "his"
    label: ClassVar = Words("HIS 移交", "hand-offs to the HIS")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "检查 HIS 接口、凭证和网络；未送达的在后台“HIS 移交”逐个处理",
        "see to the HIS, its credential and the network; deal with the undelivered in the admin",
    )

    def run(self) -> None:
        if not settings.HIS_FHIR_URL:
            self.told = Words("没有接入", "not connected")
            return
        due, dead = work.handoffs(timezone.now()), work.undelivered()
        self.told = Words(
            f"待发送 {due.count}，最久 {due.oldest_seconds:.0f} 秒，未送达 {dead}",
            f"{due.count} due, the oldest for {due.oldest_seconds:.0f} s, {dead} given up",
        )
        if due.oldest_seconds > HIS_LATE or dead:
            raise degraded(self.told, self.remedy)


@dataclass(repr=False)
class Retention(Part):
    name: ClassVar = "retention"
    label: ClassVar = Words("到期清理", "retention sweep")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "检查工作进程和 beat；也可以手动运行 manage.py sweepretention",
        "see to workers and beat, or run manage.py sweepretention by hand",
    )

    def run(self) -> None:
        ago = work.swept(timezone.now())
        if ago is None:
            self.told = Words("还没有完成过一次", "none has ended yet")
            return
        self.told = Words(f"{ago / 3600:.0f} 小时前", f"{ago / 3600:.0f} h ago")
        if ago > SWEPT:
            raise degraded(self.told, self.remedy)


def running() -> Iterator[Part]:
    yield from (Workers(), Anchors(), KeyStore(), Backups(), HisPart(), Retention())
