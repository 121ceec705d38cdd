"""What somebody has to see to while patients are served: the database is the truth meanwhile."""

from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Final

from django.db.models import Max
from django.utils import timezone
from kombu.exceptions import OperationalError

from faceauth import merchant_certificates
from hospital.audit.log import Checkpoint
from hospital.audit.standing import LATE, lag
from hospital.celery import app
from hospital.operations import work
from hospital.operations.part import Part
from hospital.operations.verdicts import Verdict, Words, degraded

OVERDUE: Final = (
    60.0  # seconds; a worker takes a session within one, WeChat's waits are its due time
)


@dataclass(repr=False)
class Broker(Part):
    """Only wakes workers: what is due is in the database, and the sweeper finds it."""

    name: ClassVar = "broker"
    label: ClassVar = Words("消息队列", "broker")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "检查 RabbitMQ 或 Redis 是否在运行、BROKER_URL、网络和证书；恢复后积压会自动处理",
        "see whether it runs; check BROKER_URL and the network; what is due is then taken up",
    )

    def run(self) -> None:
        patience = self.timeout.total_seconds()
        try:
            with app.connection_for_write(connect_timeout=patience) as broker:
                broker.ensure_connection(max_retries=0)
        except (OSError, OperationalError):
            raise degraded(Words("连不上", "unreachable"), self.remedy) from None


@dataclass(repr=False)
class Notary(Part):
    name: ClassVar = "notary"
    label: ClassVar = Words("留痕签名", "notary")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "检查 runnotary 进程及其日志；密钥和 TRAIL_ORIGIN 是否配置，见 docs/audit.md",
        "see whether runnotary runs and what it logs; its key and TRAIL_ORIGIN (docs/audit.md)",
    )

    def run(self) -> None:
        size = Checkpoint.objects.aggregate(last=Max("size"))["last"] or 0
        waits = round(lag(timezone.now(), size=size))
        self.told = Words(f"最早的未签名 {waits} 秒", f"the oldest unsigned event waits {waits} s")
        if waits > LATE.total_seconds():
            raise degraded(self.told, self.remedy)


@dataclass(repr=False)
class Certificates(Part):
    name: ClassVar = "certificates"
    label: ClassVar = Words("商户证书", "merchant's certificates")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "在微信商户平台申请新证书，在后台“微信商户”更换证书和私钥",
        "get a new one from WeChat's merchant platform and upload it, with its key, in the admin",
    )

    def run(self) -> None:
        left = merchant_certificates.days_left(at=timezone.now())
        if not left:
            self.told = Words("没有登记证书", "none on record")
            return
        days = min(left.values())
        self.told = Words(f"最早的还有 {days} 天到期", f"the first ends in {days} days")
        if days < merchant_certificates.NOTICE / timedelta(days=1):
            raise degraded(self.told, self.remedy)


@dataclass(repr=False)
class Work(Part):
    """A worker may be alive, green, and never take anything again: what is due tells."""

    name: ClassVar = "work"
    label: ClassVar = Words("待办建档", "work that is due")
    silent: ClassVar = Verdict.DEGRADED
    remedy: ClassVar = Words(
        "检查工作进程和 beat 的日志；重启工作进程不会丢失或重复任何建档",
        "read the logs of worker and beat; restarting a worker loses nothing and repeats nothing",
    )

    def run(self) -> None:
        due = work.due(timezone.now())
        self.told = Words(
            f"{due.count} 个到期，最久 {round(due.oldest_seconds)} 秒",
            f"{due.count} due, the oldest for {round(due.oldest_seconds)} s",
        )
        if due.oldest_seconds > OVERDUE:
            raise degraded(self.told, self.remedy)


def lagging() -> list[Part]:
    return [Broker(), Notary(), Certificates(), Work()]
