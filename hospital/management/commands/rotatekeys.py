from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from hospital.audit.actions import Action
from hospital.audit.recording import SYSTEM, Outcome, record
from hospital.crypto import epochs
from hospital.crypto.models import Job
from hospital.crypto.providers import KeyUnavailable
from hospital.crypto.rotation import errands, indexes, jobs
from hospital.crypto.rotation.errands import Errand
from hospital.crypto.rotation.jobs import Busy, LeaseLost, Run
from hospital.crypto.rotation.progress import duration
from hospital.crypto.rotation.screen import Screen
from hospital.crypto.suites import Suite
from hospital.crypto.wrapping import WrongKey

USAGE = 2  # the exit code of a command that was asked for something impossible
AGAIN = "再次运行同一命令即从中断处继续"


class Command(BaseCommand):
    help = "在线更换密钥（不停机）：主密钥、数据密钥、索引密钥或整套密码算法；中断后再次运行即继续"

    def add_arguments(self, parser: CommandParser) -> None:
        what = parser.add_mutually_exclusive_group(required=True)
        what.add_argument("--kek", action="store_true", help="更换主密钥，重新封装所有密钥")
        what.add_argument("--data", action="store_true", help="更换数据密钥，重新封存所有数据")
        what.add_argument(
            "--index", nargs="?", const="", metavar="LABEL", help="更换索引密钥；不写名称即全部"
        )
        what.add_argument("--suite", metavar="NAME", help="全部换用此密码套件，如 sm4-gcm")
        parser.add_argument("--dry-run", action="store_true", help="只说明要做什么，不作改动")
        parser.add_argument(
            "--forget-thinned",
            action="store_true",
            help="更换索引密钥后，已移交 HIS 并精简的档案不能再按证件找到：仍要更换",
        )
        parser.add_argument("--rate", type=int, default=0, metavar="N", help="每秒最多处理的条数")
        parser.add_argument("--batch", type=int, default=0, metavar="N", help="每个事务的条数")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rate"] < 0 or options["batch"] < 0:
            raise CommandError("--rate 和 --batch 不能是负数", returncode=USAGE)
        with translated():
            wanted = _errands(options)
            if options["dry_run"]:
                self._describe(wanted, rate=options["rate"])
                return
            _demand_agreed(wanted, is_agreed=options["forget_thinned"])
            epochs.open_all()
            if options["kek"] is options["data"] is False:
                self._destroy_old_tokens()
            unproven = [one for one in wanted if not self._do(one, options)]
        if unproven:
            raise CommandError("有未通过的任务，详见上文及后台“密钥任务”")
        if not wanted:
            self.stdout.write("没有需要更换的密钥")

    def _describe(self, wanted: list[Errand], *, rate: int) -> None:
        for one in wanted:
            self.stdout.write(f"{one.kind.label}（{one.target}）")
            for what, rows in one.counts.items():
                self.stdout.write(f"  {what}：{rows:,} 条")
            if one.forgets:
                self.stdout.write(f"  {_forgotten(one.forgets)}")
            self.stdout.write(f"  预计 {duration(one.seconds(rate=rate))}，其间业务照常")
        self.stdout.write("以上是将要做的，未作任何改动")

    def _do(self, errand: Errand, options: dict[str, Any]) -> bool:
        """Return whether it was done, and is proven."""
        job = jobs.opened(errand.kind, errand.target)
        verb = "继续" if job.phase else "开始"
        self.stdout.write(f"{verb}：{errand.kind.label}（{errand.target}）")
        with (
            closing(Screen(self.stdout)) as screen,
            Run(job, rate=options["rate"], batch=options["batch"], told=screen) as run,
        ):
            _record(Action.KEYS_ROTATE_BEGIN, run.job)
            jobs.work(run, errand.phases)
        _record(Action.KEYS_ROTATE_END, job)
        if errand.kind is Job.Kind.INDEX and indexes.is_for_tokens(
            errand.target.rpartition("/")[0]
        ):
            self.stdout.write("  旧版索引密钥仍用于识别已发出的凭据，48 小时后再次运行时销毁")
        return self._conclude(job)

    def _conclude(self, job: Job) -> bool:
        if job.state == Job.State.DONE:
            self.stdout.write(f"完成，已核对：共 {job.total:,} 条，其中重做 {job.conflicts:,} 条")
            return True
        self.stdout.write(f"未通过：{job.failed:,} 处，未改动这些内容，相关旧密钥保留")
        for one in job.findings:
            self.stdout.write(f"  {one['model']} {one['pk']} {one['field']}：{one['error']}")
        return False

    def _destroy_old_tokens(self) -> None:
        now = timezone.now()
        destroyed = indexes.destroy_old_tokens(now=now)
        if destroyed:
            facts: dict[str, Any] = {
                "kind": Job.Kind.INDEX,
                "target": "tokens",
                "total": destroyed,
            }
            with transaction.atomic():
                record(Action.KEYS_ROTATE_END, by=SYSTEM, on=None, at=now, **facts)
            self.stdout.write(f"已销毁 48 小时前停用的凭据索引密钥 {destroyed} 个")


@contextmanager
def translated() -> Iterator[None]:
    """Say what went wrong with a job to whoever started it."""
    try:
        yield
    except ImproperlyConfigured as exc:
        raise CommandError(f"密钥配置不全：{exc}", returncode=USAGE) from None
    except KeyUnavailable as exc:
        raise CommandError(f"密钥提供方不可用：{exc.reason}。{AGAIN}") from None
    except WrongKey:
        raise CommandError("根密钥与已有的主密钥不符，未作改动") from None
    except Busy:
        raise CommandError("另一个进程正在处理此任务，本次未作改动") from None
    except LeaseLost:
        raise CommandError("此任务已由另一个进程接手，本进程停止") from None
    except KeyboardInterrupt:
        raise CommandError(f"已中断。{AGAIN}") from None


def _errands(options: dict[str, Any]) -> list[Errand]:
    if options["kek"]:
        return [errands.new_kek()]
    if options["data"]:
        return [errands.new_data_keys()]
    if options["suite"] is not None:
        return errands.new_suite(_suite(options["suite"]))
    try:
        return errands.new_index_keys(options["index"])
    except errands.UnknownLabel as exc:
        raise CommandError(f"没有这个索引；现有：{exc}", returncode=USAGE) from None


def _demand_agreed(wanted: list[Errand], *, is_agreed: bool) -> None:
    """A digest cannot be made anew from what the hospital's own system keeps by now."""
    forgets = max((one.forgets for one in wanted), default=0)
    if forgets and not is_agreed:
        raise CommandError(
            f"{_forgotten(forgets)}。未作改动；密钥确有泄露之虞的，加 --forget-thinned",
            returncode=USAGE,
        )


def _forgotten(count: int) -> str:
    return (
        f"{count:,} 份档案已移交 HIS 并精简，原文不在本系统，更换后不能再按证件找到，"
        "只能按患者编号或微信账号"
    )


def _suite(name: str) -> Suite:
    try:
        suite = Suite.named(name)
    except ValueError:
        raise CommandError("密码套件为 aes-256-gcm 或 sm4-gcm", returncode=USAGE) from None
    if suite is not epochs.configured_suite():
        raise CommandError(
            f"先把所有进程的 CRYPTO_SUITE 改为 {name} 并重启（现为 {settings.CRYPTO_SUITE}）",
            returncode=USAGE,
        )
    return suite


def _record(action: Action, job: Job) -> None:
    outcome: Outcome = "failed" if job.state == Job.State.FAILED else "success"
    with transaction.atomic():
        record(action, by=SYSTEM, on=job, at=timezone.now(), outcome=outcome, **job.facts)
