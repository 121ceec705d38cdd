from collections.abc import Sequence
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from hospital.audit import trail
from hospital.audit.forwarding import configured, leaves, reconciling, resending
from hospital.audit.forwarding.reconciling import NAMED, Received
from hospital.audit.sent import Forwarded

FOUND, USAGE = 1, 2  # exit codes


class Command(BaseCommand):
    help = "对账：留痕外发到第几条；日志服务器里缺不缺、重不重、同不同；退出码 0 相符 1 不符"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--received",
            type=Path,
            metavar="FILE",
            help="从日志服务器导出的文本，一行一条（原始报文，或序号与散列）",
        )
        parser.add_argument(
            "--start", type=int, default=0, metavar="INDEX", help="从这个序号起对账，默认 0"
        )
        parser.add_argument(
            "--end", type=int, metavar="INDEX",
            help="到这个序号（不含）为止对账：导出时已确认到哪一条；默认到已签名的末尾",
        )  # fmt: skip
        how = parser.add_mutually_exclusive_group()
        how.add_argument(
            "--again", type=int, metavar="INDEX", help="让外发从这个序号起重发，记入留痕"
        )
        how.add_argument(
            "--past-gap", action="store_true", help="缺失的封存查明之后，让外发越过它，记入留痕"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            sink, origin = configured.sink(), trail.origin()
        except trail.NotConfigured as exc:
            raise CommandError(str(exc), returncode=USAGE) from None
        if options["again"] is not None:
            self._again(sink, options["again"])
            return
        if options["past_gap"]:
            self._past(sink)
            return
        row = Forwarded.objects.filter(sink=sink).first()
        if row is None:
            raise CommandError(f"{sink}：从未外发过（FORWARD_ADDRESS 对吗？）", returncode=USAGE)
        sealed = leaves.signed()
        self.stdout.write(
            f"{sink}：已签名 {sealed:,} 条，已发送 {row.sent:,} 条，"
            f"接收方的 TLS 端已读完 {row.acknowledged:,} 条（不等于已存盘），"
            f"还差 {max(sealed - row.acknowledged, 0):,} 条"
        )
        if options["received"]:
            # Not what the table says was acknowledged: who wants less to be missed would lower it.
            end = sealed if options["end"] is None else options["end"]
            if not 0 <= options["start"] < end <= sealed:
                raise CommandError(
                    f"没有可对账的：从 {options['start']:,} 到 {end:,}，已签名 {sealed:,} 条",
                    returncode=USAGE,
                )
            self._compare(options["received"], origin=origin, start=options["start"], end=end)

    def _compare(self, path: Path, *, origin: str, start: int, end: int) -> None:
        try:
            with path.open(encoding="utf-8", errors="replace") as lines:
                found = reconciling.compare(lines, origin=origin, start=start, end=end)
        except OSError as exc:
            raise CommandError(f"{path} 无法读取：{exc.strerror}", returncode=USAGE) from None
        self._show(found)
        if not found.is_complete:
            raise CommandError("日志服务器里的与留痕不符", returncode=FOUND)
        self.stdout.write(f"序号 {start:,} 至 {end:,}（不含）相符")

    def _show(self, found: Received) -> None:
        self.stdout.write(
            f"读取 {found.lines:,} 行：缺 {found.missing_count:,} 条，"
            f"重 {found.doubled:,} 条（重发所致，无妨），不同 {len(found.different):,} 条，"
            f"另一册的 {found.foreign:,} 行，认不出的 {found.unreadable:,} 行"
        )
        self.stdout.write(
            f"核对正文 {found.texts:,} 行；标明正文已不是原文、只核对散列的 {found.marked:,} 行"
        )
        missing = [
            str(start) if end - start == 1 else f"{start}–{end - 1}" for start, end in found.missing
        ]
        for what, named in (("缺", missing), ("不同", [str(one) for one in found.different])):
            if named:
                self.stdout.write(f"✗ {what}：{_first(named)}")

    def _again(self, sink: str, start: int) -> None:
        try:
            resending.again(sink, start=start, at=timezone.now())
        except resending.NotSent:
            raise CommandError("这个序号还没有发过", returncode=USAGE) from None
        self.stdout.write(f"{sink}：将从序号 {start:,} 起重发")

    def _past(self, sink: str) -> None:
        try:
            start = resending.past(sink, at=timezone.now())
        except resending.NoGap:
            raise CommandError("下一条没有缺失，不必越过", returncode=USAGE) from None
        self.stdout.write(f"{sink}：将从序号 {start:,} 起续发，之前缺失的不再等")


def _first(named: Sequence[str]) -> str:
    rest = len(named) - NAMED
    return "、".join(named[:NAMED]) + (f" 等（另有 {rest:,} 处）" if rest > 0 else "")
